"""Check the files of a bundle against their recorded digests, opening none of them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from zoo import runtime
from zoo.exporting.atomic_publish import INDEX, JOURNAL, LITTER, LOCK, SIGNATURE, VERIFICATION
from zoo.support.atomic_files import sha256
from zoo.support.untrusted_files import RECORD_LIMIT, UnsuitableFileError, check_regular, read_bytes

PATIENCE = 5.0
"""Seconds for which a bundle that is being replaced is checked again."""


class Finding(NamedTuple):
    """``state`` is ok, damaged, differs or unchecked; ``detail`` is the reason, or what was found."""

    part: str
    state: str = "ok"
    detail: str = ""


class Contents(NamedTuple):
    """The findings, and the contents of bundle.json and verify.json; empty if they are damaged."""

    findings: list[Finding]
    record: dict[str, Any]
    verification: dict[str, Any]


def check_files(bundle: Path) -> Contents:
    """Check every file of a bundle: bundle.json and verify.json against the sha256 at their end, the others against
    bundle.json. Files that no digest covers are damage, too.

    A bundle that is replaced meanwhile is checked again.
    """
    end = time.monotonic() + PATIENCE
    while True:
        before = _state(bundle)
        contents = _check(bundle)
        if all(finding.state == "ok" for finding in contents.findings):
            return contents
        unfinished = (bundle / JOURNAL).exists()
        if _state(bundle) == before and not unfinished:
            return contents
        if time.monotonic() > end:
            interrupted = Finding(JOURNAL, "damaged", "the replacement of the bundle was interrupted")
            return Contents([interrupted], {}, {}) if unfinished else contents
        time.sleep(0.01)


def _state(bundle: Path) -> tuple[tuple[int, ...] | None, ...]:
    """Return what differs once the bundle was replaced, in one step or file by file; None for what is missing."""
    return tuple(runtime.file_state(path) for path in (bundle, bundle / INDEX, bundle / JOURNAL))


def _check(bundle: Path) -> Contents:
    index, fault = _sealed(bundle / INDEX)
    findings = [Finding(INDEX) if fault is None else Finding(INDEX, "damaged", fault)]
    if not index:
        return Contents(findings, {}, {})
    findings += _listed(bundle, index)
    if index.get("format", 1) < 3:  # verify.json is one of the listed files
        return Contents(findings, index, {})
    verification, fault = _sealed(bundle / VERIFICATION)
    if fault is None and verification.get("bundle", {}).get("sha256") != sha256(bundle / INDEX):
        fault = f"it was written for another {INDEX}"
    findings.append(Finding(VERIFICATION) if fault is None else Finding(VERIFICATION, "damaged", fault))
    return Contents(findings, index, {} if fault else verification)


def _sealed(file: Path) -> tuple[dict[str, Any], str | None]:
    try:
        return runtime.parse_index(read_bytes(file, RECORD_LIMIT), file), None
    except FileNotFoundError:
        return {}, "it is missing"
    except UnsuitableFileError as error:
        return {}, f"it {error}"
    except OSError as error:
        return {}, f"it cannot be read: {error.strerror or error}"
    except runtime.ModelError as error:
        return {}, str(error).removeprefix(str(file)).lstrip(": ")


def _listed(bundle: Path, index: dict[str, Any]) -> Iterator[Finding]:
    files = index.get("files")
    if not isinstance(files, dict) or not files:
        yield Finding("files", "damaged", f"{INDEX} lists no files")
        return
    for name, entry in files.items():
        due = entry.get("sha256") if isinstance(entry, dict) else None
        fault = _fault(bundle / name, due) if Path(name).name == name else "its name leads out of the bundle"
        yield Finding(name) if fault is None else Finding(name, "damaged", fault)
    known = {*files, INDEX, VERIFICATION, SIGNATURE} | LITTER
    for path in sorted(bundle.iterdir()):
        if path.name not in known and not _is_lock(path):
            yield Finding(path.name, "damaged", f"it is not listed in {INDEX}")


def _is_lock(path: Path) -> bool:
    """Return whether it is the empty file that publishing locks, and that some systems keep."""
    try:
        return path.name == LOCK and path.is_file() and path.stat().st_size == 0
    except FileNotFoundError:
        return False


def _fault(file: Path, due: Any) -> str | None:
    try:
        check_regular(file)
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    except FileNotFoundError:
        return "it is missing"
    except UnsuitableFileError as error:
        return f"it {error}"
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"
    return None if digest.hexdigest() == due else f"its sha256 is not the one in {INDEX}"
