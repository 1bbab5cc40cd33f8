"""Describe a ``.pt2`` archive of unknown origin without torch, and without loading any of it."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from zoo.api import FileContents
from zoo.plugin import open_regular
from zoo_torch_export.archive import Archive
from zoo_torch_export.program import operators

TENSORS = ("data/weights/", "data/constants/")
MOST_METADATA = 50


def inspect(path: Path) -> FileContents | None:
    """None if it is neither called ``.pt2`` nor an archive of torch.export."""
    with open_regular(path) as stream:
        zipped = stream.read(4) == b"PK\x03\x04"
    if path.suffix != ".pt2" and not (zipped and _has_format(path)):
        return None
    found = FileContents("torch.export archive")
    archive = Archive(path)
    found.refused += archive.refused
    found.facts |= _facts(archive)
    shapes = _shapes(archive)
    found.contents += [
        (name, f"{size:,} bytes" + (f", {shapes[name]}" if name in shapes else ""))
        for name, size in archive.members.items()
    ]
    return found


def _has_format(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/archive_format") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError):
        return False


def _facts(archive: Archive) -> dict[str, Any]:
    program = archive.program
    version = program.get("schema_version")
    facts: dict[str, Any] = {}
    if program:
        facts["torch version"] = str(program.get("torch_version"))[:40]
        facts["opsets"] = program.get("opset_version")
        facts["operators"] = dict(Counter(operators(program)).most_common(50))
    if isinstance(version, dict):
        facts["schema version"] = f"{version.get('major')}.{version.get('minor')}"
    facts["tensors"] = sum(name.startswith(TENSORS) and not name.endswith(".json") for name in archive.members)
    if archive.metadata:
        facts["metadata"] = {name[:80]: text[:200] for name, text in list(archive.metadata.items())[:MOST_METADATA]}
    return facts


def _shapes(archive: Archive) -> dict[str, str]:
    """The name and shape of the first tensor in each member; empty for an archive that is refused."""
    found: dict[str, str] = {}
    for folder, table in zip(TENSORS, (archive.weights, archive.constants), strict=True):
        for name, entry in {} if archive.refused else table["config"].items():
            sizes = (size.get("as_int") for size in (entry.get("tensor_meta") or {}).get("sizes", ()))
            shape = "×".join(map(str, sizes)) or "a number"
            found.setdefault(f"{folder}{entry['path_name']}", f"{name} {shape}")
    return found
