"""Describe an ONNX file of unknown origin by its protobuf fields, without onnx: versions, inputs, outputs, operators,
weights and their location."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from zoo.api import FileContents
from zoo.plugin import open_regular

MOST_FIELDS = 2_000_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
Field = tuple[int, int, int, int]
"""Number, wire type, and the value (of a varint) or the place of its bytes: start and end."""


class Unreadable(ValueError):
    """A file that is not a complete ONNX model; the text is the reason."""


def inspect(path: Path) -> FileContents | None:
    """None if neither its name nor its first bytes are those of an ONNX model."""
    if not _looks_like_onnx(path):
        return None
    found = FileContents("ONNX model")
    try:
        _read(path, found)
    except Unreadable as error:
        found.refused.append(str(error))
    return found


def _looks_like_onnx(path: Path) -> bool:
    """A ModelProto begins with its IR version, a small number, or is named so."""
    with open_regular(path) as stream:
        head = stream.read(3)
    return path.suffix == ".onnx" or (
        head[:1] == b"\x08" and 0 < head[1] < 64 and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42")
    )


class Reader:
    """Fields of messages in a mapped file; at most `MOST_FIELDS` are read."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self._left = content, MOST_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        while start < end:
            self._left -= 1
            if self._left < 0:
                raise Unreadable(f"it has more than {MOST_FIELDS:,} fields: the rest was not read")
            key, start = self._varint(start, end)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                value, start = self._varint(start, end)
                yield number, wire, value, 0
                continue
            length, start = (
                (8, start) if wire == FIXED64 else (4, start) if wire == FIXED32 else self._varint(start, end)
            )
            if wire not in (FIXED64, FIXED32, BYTES) or start + length > end:
                raise Unreadable("it is damaged, cut off, or no ONNX model")
            yield number, wire, start, start + length
            start += length

    def text(self, start: int, end: int) -> str:
        return bytes(self.content[start : min(end, start + 500)]).decode("utf-8", "replace")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise Unreadable("it is damaged, cut off, or no ONNX model")
            byte = self.content[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise Unreadable("it is damaged, or no ONNX model")


def _read(path: Path, found: FileContents) -> None:
    if not path.stat().st_size:
        raise Unreadable("it is empty")
    with open_regular(path) as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        reader = Reader(content)
        for number, wire, start, end in reader.fields(0, len(content)):
            match number, wire:
                case 1, 0:
                    found.facts["IR version"] = start
                case 2, 2:
                    found.facts["producer"] = reader.text(start, end)
                case 7, 2:
                    _read_graph(reader, start, end, found)
                case 8, 2:
                    domain, version = _pair(reader, start, end)
                    found.facts.setdefault("opsets", {})[domain or "ai.onnx"] = version
                case 14, 2:
                    name, value = _pair(reader, start, end)
                    if len(found.facts.setdefault("metadata", {})) < 50:
                        found.facts["metadata"][str(name)] = str(value)[:200]
                case 25, 2:
                    found.facts["local functions"] = found.facts.get("local functions", 0) + 1
        if "operators" not in found.facts:
            raise Unreadable("it has no graph: it is no ONNX model, or damaged")


def _pair(reader: Reader, start: int, end: int) -> tuple[str | int, str | int]:
    """The first two fields of a small message: texts or numbers."""
    values: dict[int, str | int] = {1: "", 2: ""}
    for number, wire, one, other in reader.fields(start, end):
        if number in values:
            values[number] = one if wire == VARINT else reader.text(one, other)
    return values[1], values[2]


def _read_graph(reader: Reader, start: int, end: int, found: FileContents) -> None:
    operators, domains, outside, weights = Counter[str](), set[str](), set[str](), 0
    for number, wire, one, other in reader.fields(start, end):
        if wire != BYTES:
            continue
        match number:
            case 1:
                operator, domain = _node(reader, one, other)
                operators[operator] += 1
                domains.add(domain)
            case 5:
                weights += 1
                outside |= _outside(reader, one, other)
            case 11 | 12:
                name = next(
                    (
                        reader.text(*place)
                        for field, kind, *place in reader.fields(one, other)
                        if field == 1 and kind == BYTES
                    ),
                    "",
                )
                found.contents.append((name, "input" if number == 11 else "output"))
    found.facts |= {"operators": dict(operators.most_common(50)), "weights": weights}
    if outside:
        found.facts["external data"] = sorted(outside)[:20]
    for location in sorted(outside):
        if location.startswith(("/", "\\")) or ".." in location.replace("\\", "/").split("/") or location[1:2] == ":":
            found.refused.append(f"its weights lie outside of its folder: {location[:80]}")
    custom = sorted(domain for domain in domains if domain not in ("", "ai.onnx", "ai.onnx.ml"))
    if custom:
        found.refused.append(f"it needs operators that are not of ONNX: {', '.join(custom[:5])}")


def _node(reader: Reader, start: int, end: int) -> tuple[str, str]:
    texts = {4: "", 7: ""}
    for number, wire, one, other in reader.fields(start, end):
        if number in texts and wire == BYTES:
            texts[number] = reader.text(one, other)
    return texts[4], texts[7]


def _outside(reader: Reader, start: int, end: int) -> set[str]:
    """The files that a tensor's values lie in, where these are not in the model."""
    pairs = [
        _pair(reader, one, other)
        for number, wire, one, other in reader.fields(start, end)
        if number == 13 and wire == BYTES
    ]
    return {str(value) for name, value in pairs if name == "location"}
