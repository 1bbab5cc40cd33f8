"""Check the files of a bundle against their recorded digests, opening none of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from zoo import runtime
from zoo.exporting.atomic_publish import INDEX, LITTER, SIGNATURE, VERIFICATION
from zoo.support.atomic_files import sha256
from zoo.support.untrusted_files import RECORD_LIMIT, UnsuitableFileError, check_regular, read_bytes


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
    bundle.json. Files that no digest covers are damage, too."""
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
        if path.name not in known:
            yield Finding(path.name, "damaged", f"it is not listed in {INDEX}")


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
