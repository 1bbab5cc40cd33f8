"""`zoo index` and `zoo search`: the vectors of the images of a folder, and the images most similar to another one.

An index is one safetensors file: ``vectors``, float32 (N, D) of length 1, and in its metadata the names of the images,
their sizes and times, the folder, and the model with a digest. Only new and changed files are computed again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo import runtime
from zoo.errors import CheckpointError, DataError, StorageError, UsageError
from zoo.support.atomic_files import write_bytes
from zoo.support.progress import tracked
from zoo.support.untrusted_files import check_regular
from zoo.support.vector_files import gallery_bytes
from zoo.workflows.embedder import identity_of, open_embedder
from zoo.workflows.open_predictor import Predictor, data_errors
from zoo.workflows.predict import find_images

INDEX = Path("index.safetensors")
"""The default file, in the current folder."""
FORMAT = "zoo index 1"
BLOCK = 1024
"""The number of images that are compared with all others at once."""


@dataclass(frozen=True)
class Model:
    """The names that open a model, and the digest that its vectors have (`zoo.workflows.embedder.identity_of`)."""

    target: str
    weights: str | None = None
    weights_key: str | None = None
    digest: str = ""

    def open(self, provider: str = "cpu") -> Predictor:
        return open_embedder(self.target, weights=self.weights, weights_key=self.weights_key, provider=provider)

    @property
    def text(self) -> str:
        return self.target if self.weights is None else f"{self.target} --weights {self.weights}"


@dataclass(frozen=True)
class ImageIndex:
    """``states`` are the size in bytes and the modification time (ns) of each file; ``names`` are relative to
    ``folder``."""

    folder: Path
    model: Model
    names: list[str]
    states: list[tuple[int, int]]
    vectors: np.ndarray

    def path(self, index: int) -> Path:
        return self.folder / self.names[index]

    def write(self, file: Path) -> None:
        more = {
            "format": FORMAT,
            "folder": str(self.folder),
            "model": json.dumps(vars(self.model)),
            "states": json.dumps(self.states),
        }
        write_bytes(file, gallery_bytes(self.vectors, self.names, [""] * len(self.names), more))


@dataclass(frozen=True)
class Indexed:
    """The result of `index_folder`. ``computed`` and ``reused`` count images, ``removed`` those that are gone."""

    file: Path
    index: ImageIndex
    computed: int
    reused: int
    removed: int
    failures: list[tuple[Path, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Match:
    path: Path
    similarity: float


def index_folder(
    folder: str | Path,
    *,
    model: str | Path | None = None,
    weights: str | None = None,
    weights_key: str | None = None,
    index: str | Path = INDEX,
    provider: str = "cpu",
) -> Indexed:
    """Write or update the index of all images under ``folder``.

    ``model`` is a run, an exported embedding or, with ``weights``, an architecture; None: that of the existing index.
    Vectors of unchanged files are kept if model and folder are those of the index. What was computed before an
    interruption is written. Raises UsageError, DataError for a folder without images, StorageError.
    """
    file, root = Path(index), Path(folder).absolute()
    old = read_index(file) if file.exists() else None
    wanted = _model(model, weights, weights_key, old, file)
    found = find_images([root])
    embedder = wanted.open(provider)
    settled = Model(wanted.target, wanted.weights, wanted.weights_key, identity_of(embedder))
    kept = _known(old, settled, root)
    states = {path: _state(path) for path in found.files}
    due = [path for path in found.files if kept.get(_name(path, root), (None, None))[0] != states[path]]
    vectors, missing = dict[Path, np.ndarray](), set(due)
    failures: list[tuple[Path, str]] = []
    try:
        for path, vector in compute_vectors(embedder, due, failures):
            vectors[path] = vector  # those before an interruption stay
    finally:
        rows = [
            (path, vectors[path] if path in vectors else kept[_name(path, root)][1])
            for path in found.files
            if path in vectors or path not in missing
        ]
        made = _made(root, settled, rows, states)
        if rows:
            made.write(file)
    if not rows:
        raise DataError("none of the images can be read", where=root, fix="repair, convert or remove them")
    gone = 0 if old is None else len(set(old.names) - set(made.names))
    notes = (*embedder.notes, *((found.skipped,) if found.skipped else ()))
    return Indexed(file, made, len(vectors), len(rows) - len(vectors), gone if kept else 0, failures, notes)


def _model(model: str | Path | None, weights: str | None, key: str | None, old: ImageIndex | None, file: Path) -> Model:
    if model is not None:
        return Model(str(model), weights, key)
    if weights is not None or key is not None:
        raise UsageError("weights without an architecture", where="--weights", fix="add --model ARCHITECTURE")
    if old is None:
        raise UsageError(
            "there is no index yet, so the model must be named",
            where=file,
            fix="add --model RUN, or --model ARCHITECTURE --weights W",
        )
    return old.model


def _known(old: ImageIndex | None, model: Model, root: Path) -> dict[str, tuple[tuple[int, int], np.ndarray]]:
    """Return the state and vector of each indexed file, if they are of this model and folder."""
    if old is None or old.model.digest != model.digest or old.folder != root:
        return {}
    return {name: (state, vector) for name, state, vector in zip(old.names, old.states, old.vectors, strict=True)}


def _made(
    root: Path, model: Model, rows: Sequence[tuple[Path, np.ndarray]], states: dict[Path, tuple[int, int]]
) -> ImageIndex:
    vectors = np.stack([vector for _, vector in rows]) if rows else np.zeros((0, 1), np.float32)
    return ImageIndex(root, model, [_name(path, root) for path, _ in rows], [states[path] for path, _ in rows], vectors)


def compute_vectors(
    embedder: Predictor, files: Sequence[Path], failures: list[tuple[Path, str]]
) -> Iterator[tuple[Path, np.ndarray]]:
    groups = runtime.split_files(files, embedder.description)
    if not groups:
        return
    batches = runtime.predict_batches(embedder.run, embedder.description, groups)
    with data_errors(), closing(batches):
        for _ in tracked(groups, f"computing the vectors of {len(files):,} images"):
            batch = next(batches)
            failures += [(file, str(error)) for file, error in batch.failures]
            yield from batch.rows


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)  # reported when it is read
    return status.st_size, status.st_mtime_ns


def read_index(file: str | Path) -> ImageIndex:
    """Read an index. Raises CheckpointError if it is missing or damaged."""
    from safetensors import safe_open

    file = Path(file)
    if not file.exists():
        raise CheckpointError("there is no index", where=file, fix="write one: zoo index FOLDER --model RUN")
    try:
        check_regular(file)
        gallery = runtime.read_gallery(file)
        with safe_open(file, framework="np") as opened:
            told: dict[str, Any] = opened.metadata()
        if told.get("format") != FORMAT:
            raise ValueError(f"its format is {told.get('format')!r}, not {FORMAT!r}")
        model = Model(**json.loads(told["model"]))
        states = [(int(size), int(time)) for size, time in json.loads(told["states"])]
        if len(states) != len(gallery.names):
            raise ValueError(f"it has {len(gallery.names)} names and {len(states)} states")
        return ImageIndex(Path(told["folder"]), model, gallery.names, states, gallery.vectors)
    except OSError as error:
        raise StorageError(
            f"the index cannot be read: {error.strerror or error}", where=file, fix="check the path and its permissions"
        ) from error
    except (ValueError, LookupError, TypeError) as error:
        reason = str(error).removeprefix(f"{file} is damaged: ")
        raise CheckpointError(
            f"the index is damaged: {reason}", where=file, fix="remove it, and index again"
        ) from error


def search(
    images: Sequence[str | Path], *, index: str | Path = INDEX, top: int = 5, provider: str = "cpu"
) -> list[tuple[Path, list[Match]]]:
    """Return the ``top`` most similar images of an index for each image, by cosine similarity, best first.

    Raises CheckpointError if the index is damaged, or if its model has changed since.
    """
    if top < 1:
        raise UsageError(f"--top must be at least 1, not {top}", fix="for example --top 5")
    opened, found = read_index(index), find_images(images)
    embedder = opened.model.open(provider)
    if identity_of(embedder) != opened.model.digest:
        raise CheckpointError(
            f"the model {opened.model.text} has changed since the index was written",
            where=index,
            fix=f"update the index: zoo index {opened.folder}",
        )
    gallery = runtime.Gallery(opened.vectors, [str(opened.path(row)) for row in range(len(opened.names))], opened.names)
    with data_errors():
        rows = list(runtime.predict(embedder.run, embedder.description, found.files))
    return [
        (path, [Match(Path(each.name), each.similarity) for each in runtime.closest(vector, gallery, top)])
        for path, vector in rows
    ]


def near_duplicates(index: ImageIndex, threshold: float) -> list[list[Match]]:
    """Return the groups of images that are connected by cosine similarities of at least ``threshold``, largest first;
    each image with its largest similarity to another of its group."""
    if not 0 < threshold <= 1:
        raise UsageError(
            f"the cosine similarity of duplicates must be above 0 and at most 1, not {threshold}",
            where="--duplicates",
            fix="for example --duplicates 0.97",
        )
    parent = list(range(len(index.names)))
    best = np.zeros(len(parent))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = row = parent[parent[row]]
        return row

    for start in range(0, len(parent), BLOCK):
        block = index.vectors[start : start + BLOCK] @ index.vectors.T
        rows = np.arange(len(block))
        block[rows, start + rows] = -1
        for row, other in zip(*np.nonzero(block >= min(threshold, 1 - 1e-6)), strict=True):
            best[start + row] = max(best[start + row], float(block[row, other]))
            parent[root(start + int(row))] = root(int(other))
    groups: dict[int, list[int]] = {}
    for row in range(len(parent)):
        groups.setdefault(root(row), []).append(row)
    found = [[Match(index.path(row), float(best[row])) for row in rows] for rows in groups.values() if len(rows) > 1]
    return sorted(found, key=len, reverse=True)
