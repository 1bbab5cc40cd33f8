"""The commit that git itself would name, without starting git or anything that a repository's configuration names."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from zoo.registry.lookup import registry
from zoo.reporting import run_results
from zoo.support.git_commit import commit_of

GIT = shutil.which("git")
pytestmark = pytest.mark.skipif(GIT is None, reason="git is what the answers are compared with")
SETTINGS = [
    "-c",
    "user.name=a",
    "-c",
    "user.email=a@b.c",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "init.defaultBranch=main",
]
ENVIRONMENT = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        [str(GIT), *SETTINGS, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "inner" / "deeper").mkdir(parents=True)
    (folder / "file").write_text("1\n", encoding="utf-8")
    git(folder, "init", "-q")
    git(folder, "add", "file")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def test_the_commit_is_git_s_however_it_is_kept(repository: Path, tmp_path: Path) -> None:
    due = git(repository, "rev-parse", "HEAD")
    assert len(due) == 40
    assert commit_of(repository) == commit_of(repository / "inner" / "deeper") == due
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists()
    assert commit_of(repository) == due
    git(repository, "worktree", "add", "-q", "-b", "topic/two", str(tmp_path / "beside"))
    git(tmp_path / "beside", "commit", "-q", "--allow-empty", "-m", "two")
    other = git(tmp_path / "beside", "rev-parse", "HEAD")
    assert (commit_of(tmp_path / "beside"), commit_of(repository)) == (other, due)
    git(repository, "pack-refs", "--all")
    assert commit_of(tmp_path / "beside") == other
    git(repository, "checkout", "-q", "--detach")
    assert commit_of(repository) == due


def test_a_folder_without_a_commit_has_none(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert commit_of(tmp_path) is None


@pytest.mark.parametrize(
    "head", ["", "ref: refs/heads/../../../secret", "ref: /etc/passwd", "not a commit", "\xff\xfe"]
)
def test_a_head_that_is_none_is_no_error(repository: Path, head: str) -> None:
    (repository / ".git" / "HEAD").write_bytes(head.encode("latin-1"))
    assert commit_of(repository) is None


@pytest.mark.skipif(os.name == "nt", reason="pipes have no names there")
@pytest.mark.parametrize("place", [".git/HEAD", ".git/refs/heads/main"])
def test_a_pipe_in_its_place_does_not_hang(repository: Path, place: str) -> None:
    (repository / place).unlink()
    os.mkfifo(repository / place)
    assert commit_of(repository) is None


def test_nothing_that_a_repository_names_is_started(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due, ran = git(repository, "rev-parse", "HEAD"), tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $0 $* >> {ran}\ncat\n", encoding="utf-8")
    program.chmod(0o755)
    keys = (
        "core.fsmonitor", "core.pager", "core.sshCommand", "core.editor", "core.askPass", "core.gitProxy",
        "filter.any.clean", "filter.any.smudge",
        "filter.any.process", "diff.external", "diff.any.textconv", "diff.any.command", "alias.describe",
        "alias.rev-parse", "credential.helper",
        "gpg.program", "uploadpack.packObjectsHook", "trace2.eventTarget",
    )  # fmt: skip
    for key in keys:
        git(repository, "config", key, f"!{program}" if key.startswith("alias") else str(program))
    (repository / ".gitattributes").write_text("* filter=any diff=any\n", encoding="utf-8")
    for hook in ("post-index-change", "post-checkout", "fsmonitor-watchman", "reference-transaction"):
        shutil.copy(program, repository / ".git" / "hooks" / hook)
    (repository / "file").write_text("changed\n", encoding="utf-8")

    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.chdir(repository)
    assert run_results.facts(registry())["git_commit"] == due
    for name in ("Popen", "run", "check_output", "call"):
        monkeypatch.setattr(subprocess, name, refuse)
    for name in ("system", "posix_spawn", "execv", "fork"):
        monkeypatch.setattr(os, name, refuse, raising=False)
    assert commit_of(Path.cwd()) == due
    assert not ran.exists()
