"""The commit of a folder, read from git's files. Git itself is not started, because a repository's configuration can
make it run programs (a file system monitor, filters, hooks)."""

from __future__ import annotations

import re
from pathlib import Path

from zoo.support.untrusted_files import read_text

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
REF = re.compile(r"ref: (refs/\S+)")
SMALL, PACKED = 1 << 12, 64 << 20
"""Bytes that a reference, and the file of all packed references, may have."""


def commit_of(folder: Path) -> str | None:
    """Return the checked-out commit of the repository of ``folder``, as 40 or 64 hexadecimal digits, or None."""
    try:
        git = _git_folder(folder.absolute())
        return None if git is None else _commit(git)
    except OSError:
        return None


def _git_folder(folder: Path) -> Path | None:
    for above in (folder, *folder.parents):
        place = above / ".git"
        if place.is_dir():
            return place
        if place.exists():  # a work tree beside the repository, or a submodule: a file that says where
            named = read_text(place, SMALL).removeprefix("gitdir:").strip()
            return above / named
    return None


def _commit(git: Path) -> str | None:
    head = read_text(git / "HEAD", SMALL).strip()
    ref = REF.fullmatch(head)
    if ref is None:
        return head if COMMIT.fullmatch(head) else None
    if ".." in ref[1]:
        return None
    for place in (git, _common(git)):
        try:
            found = read_text(place / ref[1], SMALL).strip()
        except FileNotFoundError:
            continue
        return found if COMMIT.fullmatch(found) else None
    lines = (line.split(" ", 1) for line in read_text(_common(git) / "packed-refs", PACKED).splitlines())
    return next((line[0] for line in lines if line[1:] == [ref[1]] and COMMIT.fullmatch(line[0])), None)


def _common(git: Path) -> Path:
    """Return the folder of a repository that all its work trees share."""
    try:
        return git / read_text(git / "commondir", SMALL).strip()
    except FileNotFoundError:
        return git
