"""Galleries: the vectors of known images, with which the vector of an image is compared."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.runtime.bundles import INDEX, ModelError, refuse_special

VECTORS, NAMES_KEY, LABELS_KEY = "vectors", "names", "labels"
HEADER_BYTES = 100 << 20


class Gallery(NamedTuple):
    """``vectors`` float32 (N, D) of length 1, and the name and label (empty if it has none) of each image."""

    vectors: np.ndarray
    names: list[str]
    labels: list[str]


class Match(NamedTuple):
    """An image of a gallery, and the cosine similarity to it."""

    name: str
    label: str
    similarity: float


def read_gallery(file: Path) -> Gallery:
    """Read a safetensors file with the tensor ``vectors`` and, in its metadata, lists of names and labels as JSON.

    Raises ModelError if it is missing or damaged.
    """
    refuse_special(file)
    content = file.read_bytes()
    try:
        size = int.from_bytes(content[:8], "little")
        if size > HEADER_BYTES:
            raise ValueError(f"its header has {size:,} bytes")
        header = json.loads(content[8 : 8 + size].decode("utf-8"))
        entry, told = header[VECTORS], header["__metadata__"]
        start, end = entry["data_offsets"]
        data = np.frombuffer(content[8 + size + start : 8 + size + end], "<f4")
        vectors = data.reshape(entry["shape"])
        names, labels = json.loads(told[NAMES_KEY]), json.loads(told[LABELS_KEY])
        if entry["dtype"] != "F32" or vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("its vectors are not finite numbers in rows of float32")
        if not len(vectors) == len(names) == len(labels):
            raise ValueError(f"it has {len(vectors)} vectors, {len(names)} names and {len(labels)} labels")
        if not all(isinstance(text, str) for text in [*names, *labels]):
            raise ValueError("a name or label is no text")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{file} is damaged: {error}") from error
    return Gallery(vectors, names, labels)


@lru_cache(maxsize=4)
def opened_gallery(file: str, _size: int, _modified: int) -> Gallery:
    """The gallery of an opened model, read once for as long as the file stays the same."""
    return read_gallery(Path(file))


def closest(values: np.ndarray, gallery: Gallery, count: int) -> list[Match]:
    """The ``count`` images of a gallery that are most similar to a vector (D,) of length 1, best first; equal ones in
    the order of the gallery. Raises ModelError for vectors of another length."""
    if values.size != gallery.vectors.shape[1]:
        raise ModelError(f"the model gives {values.size} values, and its gallery has {gallery.vectors.shape[1]}")
    similarities = gallery.vectors.astype(np.float64) @ values.ravel().astype(np.float64)
    order = np.argsort(-similarities, kind="stable")[:count]
    return [Match(gallery.names[index], gallery.labels[index], float(similarities[index])) for index in order]


def matches(values: np.ndarray, decision: dict[str, Any], count: int) -> list[Match]:
    """The closest images for an embedding whose decision names a gallery; otherwise none."""
    name = decision.get("gallery") if decision["kind"] == "embedding" else None
    if not name:
        return []
    state = Path(name).stat()
    return closest(values, opened_gallery(name, state.st_size, state.st_mtime_ns), count)


def locate_gallery(model: Path, index: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """The description with the path of the bundle's gallery, whose sha256 must be the one in bundle.json; without a
    bundle.json, there is no gallery. Raises ModelError."""
    output = description["output"]
    name = output.get("decision", {}).get("gallery")
    if name is None:
        return description
    if not index:
        return {**description, "output": {**output, "decision": {**output["decision"], "gallery": None}}}
    file = model.parent / Path(name).name
    refuse_special(file)
    due = index.get("files", {}).get(file.name, {}).get("sha256")
    if hashlib.sha256(file.read_bytes()).hexdigest() != due:
        raise ModelError(
            f"{file}: was altered after it was exported and verified: its sha256 is not the one in {INDEX}"
        )
    return {**description, "output": {**output, "decision": {**output["decision"], "gallery": str(file.resolve())}}}
