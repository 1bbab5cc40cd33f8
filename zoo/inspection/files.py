"""Single files, by their first bytes: weights, models, pickles, archives, configurations, images."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.inspection.archives import read_rar, read_tar, read_zip
from zoo.inspection.findings import Found, Unreadable, guarded, load_json, mapping
from zoo.inspection.pickles import read_pickle
from zoo.support.formatting import size
from zoo.support.untrusted_files import open_regular

if TYPE_CHECKING:
    from zoo.registry.catalogue import Item

HEADER_LIMIT = 32 << 20
"""Bytes of a safetensors header that are parsed."""
BYTES = {
    "F64": 8,
    "I64": 8,
    "U64": 8,
    "F32": 4,
    "I32": 4,
    "U32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "U16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
IMAGES = {
    b"\x89PNG\r\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
COMPRESSED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}


def inspect(path: Path, head: bytes) -> Found | None:
    kind, read = _kind(path, head)
    failed: list[str] = []
    if kind is None or _exporters(path.suffix):
        model = _exported_model(path, failed)
        if model is not None:
            return model
    if kind is None and not failed:
        return None
    found = Found(kind or f"{path.suffix} file", str(path), path.stat().st_size, refused=failed)
    return found if kind is None else guarded(lambda each: read(path, each), found)


def _exporters(suffix: str) -> list[Item[Any]]:
    from zoo.registry.lookup import registry

    return [item for item in registry().items("exporter") if item.spec.suffix == suffix]


def _exported_model(path: Path, failed: list[str]) -> Found | None:
    """A model in the format of an installed exporter; those of the same suffix are asked first.

    An exporter of the same suffix that fails is added to ``failed``; it does not stop the others.
    """
    from zoo.config.item_options import build_exporter
    from zoo.registry.lookup import registry

    for item in sorted(registry().items("exporter"), key=lambda each: each.spec.suffix != path.suffix):
        try:
            contents = build_exporter(item).inspect(path)
        except Exception as error:  # whatever a plugin does
            if item.spec.suffix == path.suffix:
                failed.append(f"exporter {item.canonical} cannot describe it: {error or type(error).__name__}")
            continue
        if contents is not None:
            found = Found(contents.kind, str(path), path.stat().st_size, facts=dict(contents.facts))
            found.refused += contents.refused
            found.list(contents.contents)
            return found
    return None


def _kind(path: Path, head: bytes) -> tuple[str | None, Any]:
    compression = next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)
    image = next(
        (name for magic, name in IMAGES.items() if head.startswith(magic)), "WebP" if head[8:12] == b"WEBP" else None
    )
    choices: tuple[tuple[bool, str, Any], ...] = (
        (_looks_like_safetensors(path, head), "safetensors weights", read_safetensors),
        (head.startswith((b"PK\x03\x04", b"PK\x05\x06")), "zip archive", read_zip),
        (head.startswith(b"Rar!\x1a\x07"), "rar archive", read_rar),
        (
            compression is not None,
            f"compressed archive ({compression})",
            lambda file, found: read_tar(file, found, compression),
        ),
        (head[257:262] == b"ustar", "tar archive", lambda file, found: read_tar(file, found, None)),
        (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"), "pickle", read_pickle),
        (image is not None, f"image ({image})", lambda _file, _found: None),
        (head.lstrip()[:1] in (b"{", b"[") or path.suffix in (".yaml", ".yml", ".json"), "text", read_text_record),
    )
    return next(((name, read) for fits, name, read in choices if fits), (None, None))


def _looks_like_safetensors(path: Path, head: bytes) -> bool:
    if path.suffix == ".safetensors":
        return True
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size


def read_safetensors(path: Path, found: Found) -> None:
    with open_regular(path) as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > HEADER_LIMIT:
            raise Unreadable(f"its header has {size(length)}, and {size(HEADER_LIMIT)} are read")
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise Unreadable("its header is not JSON") from error
    if not isinstance(header, dict):
        raise Unreadable("its header names no tensors")
    metadata = header.pop("__metadata__", None)
    if isinstance(metadata, dict):
        found.facts["metadata"] = {str(key): str(value)[:200] for key, value in list(metadata.items())[:20]}
    tensors = {name: mapping(value) for name, value in header.items()}
    found.facts["tensors"] = len(tensors)
    found.list(
        (name, f"{value.get('dtype')} {'×'.join(map(str, _shape(value))) or 'a number'}")
        for name, value in tensors.items()
    )
    found.facts["numbers"] = sum(math.prod(_shape(value)) for value in tensors.values())
    wrong = _wrong_offsets(tensors, (found.size or 0) - 8 - length)
    if wrong:
        found.refused.append(wrong)


def _shape(value: dict[str, Any]) -> list[int]:
    shape = value.get("shape")
    return (
        shape
        if isinstance(shape, list)
        and all(isinstance(side, int) and 0 <= side < 1 << 40 for side in shape)
        and len(shape) < 20
        else []
    )


def _wrong_offsets(tensors: dict[str, dict[str, Any]], total: int) -> str | None:
    """Return a fault of the offsets, or None: tensors must be contiguous, match their shapes, and fill the file."""
    places = []
    for name, value in tensors.items():
        match value.get("data_offsets"):
            case [int(start), int(end)] if 0 <= start <= end:
                places.append((start, end, name))
            case _:
                return f"tensor {name[:80]} has no place in the file"
        if value.get("dtype") in BYTES and end - start != math.prod(_shape(value)) * BYTES[value["dtype"]]:
            return f"tensor {name[:80]} is of another size than its shape says"
    at = 0
    for start, end, name in sorted(places):
        if start != at:
            return f"tensor {name[:80]} does not begin where the one before ends"
        at = end
    return (
        None
        if at == total
        else f"its tensors end at {at:,} of {total:,} bytes: it is cut off, or something follows them"
    )


def read_text_record(path: Path, found: Found) -> None:
    """YAML (a configuration) or JSON (a record of a run or bundle)."""
    from zoo.errors import ConfigError
    from zoo.support.yaml_files import read_yaml

    try:
        values = mapping(load_json(path)) if path.suffix == ".json" else read_yaml(path)
    except ConfigError as error:
        raise Unreadable(error.what) from error
    found.kind = (
        "configuration of a run"
        if {"dataset", "task"} <= values.keys()
        else f"{'JSON' if path.suffix == '.json' else 'YAML'} record"
    )
    if found.kind.startswith("configuration"):
        describe_configuration(values, found)
    else:
        found.list((str(key), type(value).__name__) for key, value in values.items())


def describe_configuration(values: dict[str, Any], found: Found) -> None:
    for key in ("schema", "recipe", "weights", "seed"):
        if values.get(key) is not None:
            found.facts[key] = str(values[key])[:200]
    for section in ("architecture", "dataset", "task"):
        name = mapping(values.get(section)).get("name", values.get(section))
        if isinstance(name, str):
            found.facts[section] = name[:200]
    found.needs = plugins_of(
        [str(found.facts[key]) for key in ("architecture", "dataset", "task") if key in found.facts]
    )


def plugins_of(names: list[str]) -> list[str]:
    """Return the plugins of canonical names (``namespace/name``), and whether each is installed."""
    from zoo.registry.lookup import registry

    here = {plugin.namespace: plugin.state for plugin in registry().plugins}
    wanted = dict.fromkeys(
        name.partition("/")[0] for name in names if "/" in name and ":" not in name.partition("/")[0]
    )
    return [f"plugin {namespace[:80]}: {here.get(namespace, 'not installed')}" for namespace in list(wanted)[:20]]
