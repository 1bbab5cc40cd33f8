"""Folders: a run, a bundle, a checkpoint, or images by class."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from zoo.inspection.files import plugins_of
from zoo.inspection.findings import DIFFERS, MISSING, Found, Unreadable, check_digests, guarded, load_json, mapping
from zoo.runs.frozen_weights import copies
from zoo.support.formatting import size

MOST_FILES = 20_000
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".jfif")


def inspect(path: Path) -> Found | None:
    for marker, kind, read in (
        ("run.json", "run", _read_run),
        ("bundle.json", "bundle", _read_bundle),
        ("MANIFEST.json", "checkpoint", _read_checkpoint),
    ):
        if (path / marker).is_file():
            found = Found(kind, str(path))
            _list_files(path, found)
            return guarded(lambda each, read=read: read(path, each), found)  # type: ignore[misc]
    return _folder_of_images(path)


def _entries(folder: Path, limit: int = MOST_FILES) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from islice(entries, limit)


def _list_files(folder: Path, found: Found) -> None:
    """List the direct entries by name; links and special files are refused."""
    for entry in sorted(_entries(folder), key=lambda each: each.name):
        if entry.is_symlink():
            word = "link"
            found.refused.append(
                f"{entry.name}: a link to {str(Path(entry.path).readlink())[:200]}; nothing is written through it"
            )
        elif entry.is_dir():
            word = "folder"
        elif entry.is_file():
            word = size(entry.stat().st_size)
        else:
            word = "pipe, device or socket"
            found.refused.append(f"{entry.name}: a {word}; it is not opened")
        found.list([(entry.name, word)])


def _read_run(path: Path, found: Found) -> None:
    record = mapping(load_json(path / "run.json"))
    for key in (
        "id",
        "status",
        "created",
        "architecture",
        "dataset",
        "task",
        "checkpoint",
        "parameters",
        "fingerprint",
        "git_commit",
    ):
        if isinstance(record.get(key), (str, int)):
            found.facts[key] = str(record[key])[:200]
    _describe_target(record, found)
    found.facts["versions"] = {
        str(key)[:80]: str(value)[:80] for key, value in list(mapping(record.get("versions")).items())[:20]
    }
    for part, metrics in list(mapping(record.get("results")).items())[:10]:
        found.facts[f"results ({str(part)[:40]})"] = {
            str(name)[:40]: value for name, value in list(mapping(metrics).items())[:10]
        }
    found.needs = plugins_of(
        [str(found.facts[key]) for key in ("architecture", "dataset", "task") if key in found.facts]
    )
    found.facts["root record"] = (
        "there: `zoo verify` compares all of the run with it" if (path / "root.json").is_file() else "none"
    )
    if not (path / "checkpoints").is_dir():
        return
    for folder in sorted(
        (each for each in _entries(path / "checkpoints") if each.name.startswith("step-")), key=lambda each: each.name
    )[-20:]:
        inside = Found("checkpoint", folder.path)
        guarded(lambda each, folder=folder: _read_checkpoint(Path(folder.path), each), inside)  # type: ignore[misc]
        found.digests |= {f"checkpoints/{folder.name}/{name}": state for name, state in inside.digests.items()}
        found.refused += [f"checkpoints/{folder.name}: {line}" for line in inside.refused]


def _describe_target(record: dict[str, Any], found: Found) -> None:
    """Describe target, adaptations and decision of a run; for a run from before contract 2.0, its classes."""
    target, adaptations = mapping(record.get("target")), record.get("adaptations")
    if "classes" in record and not target:
        target = {"kind": "classes", "names": record["classes"]}
        found.refused.append("it was written by a version of zoo with plugin API 1: this zoo cannot open it")
    names = target.get("names")
    found.facts["target"] = str(target.get("kind"))[:40]
    found.facts["classes"] = len(names) if isinstance(names, list) and target.get("kind") in ("classes", "mask") else 0
    if isinstance(adaptations, list) and adaptations:
        found.facts["adaptations"] = len(adaptations)
    if isinstance(record.get("decision"), dict):
        found.facts["decision"] = str(record["decision"].get("kind"))[:40]


def _read_bundle(path: Path, found: Found) -> None:
    bundle = mapping(load_json(path / "bundle.json"))
    description = mapping(bundle.get("description"))
    for key in ("name", "model", "exporter"):
        value = bundle.get(key)
        found.facts[key] = (
            {str(name)[:40]: str(each)[:80] for name, each in value.items()}
            if isinstance(value, dict)
            else str(value)[:200]
        )
    output = mapping(description.get("output"))
    decision = mapping(output.get("decision")) or {**output, "kind": "softmax"}  # format 1 has classes alone
    names = decision.get("classes", decision.get("names"))
    found.facts["decision"] = str(decision.get("kind"))[:40]
    found.facts["classes"] = len(names) if isinstance(names, list) else 0
    found.facts["provenance"] = {
        str(key)[:40]: str(value)[:120] for key, value in list(mapping(bundle.get("provenance")).items())[:20]
    }
    found.facts["requires"] = {
        str(key)[:40]: str(value)[:40] for key, value in list(mapping(bundle.get("requires")).items())[:20]
    }
    recorded = mapping(bundle.get("files"))
    check_digests(path, recorded, found)
    if not recorded:
        found.refused.append("bundle.json records no files")
    if any(state in (DIFFERS, MISSING) for state in found.digests.values()):
        found.refused.append("it is not what was published: `zoo predict` refuses it")
    own = {"bundle.json", "verify.json", *recorded}
    extra = [name for name, word in found.contains if name not in own and word != "folder"]
    if recorded and extra:
        found.refused.append(f"files that bundle.json does not record: {', '.join(extra[:5])}")


def _read_checkpoint(path: Path, found: Found) -> None:
    manifest = mapping(load_json(path / "MANIFEST.json"))
    recorded, frozen = mapping(manifest.get("files")), mapping(manifest.get("frozen")).get("sha256")
    check_digests(path, recorded, found)
    if isinstance(frozen, str):  # weights that the run does not train lie beside its checkpoints, twice
        check_digests(path.parent, {each.name: frozen for each in copies(path.parent, frozen)}, found)
    if not recorded:
        raise Unreadable("MANIFEST.json records no files")


def _folder_of_images(path: Path) -> Found | None:
    """Subfolders with images are classes, one level or two (train/, val/) deep."""
    counts: Counter[str] = Counter()
    links = others = seen = 0
    pending: list[tuple[Path, str, int]] = [(path, "", 0)]
    while pending and seen < MOST_FILES:
        folder, name, depth = pending.pop()
        for entry in _entries(folder, MOST_FILES - seen):
            seen += 1
            if entry.is_symlink():
                links += 1
            elif entry.is_dir():
                if depth < 3:
                    pending.append((Path(entry.path), f"{name}/{entry.name}".lstrip("/"), depth + 1))
            elif entry.name.lower().endswith(IMAGES):
                counts[name or "."] += 1
            else:
                others += 1
    if not counts:
        return None
    found = Found(
        "folder of images", str(path), facts={"images": sum(counts.values()), "other files": others, "links": links}
    )
    found.list((name, f"{count:,} images") for name, count in sorted(counts.items()))
    if seen >= MOST_FILES:
        found.refused.append(f"counting stopped after {MOST_FILES:,} entries")
    return found
