"""Open a model whose files have the digests in its bundle.json, also while the bundle is being replaced."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.runtime.answers import printable
from zoo.runtime.bundles import INDEX, ModelError, model_digests, parse_index, read_index_bytes, refuse_special
from zoo.runtime.decisions import decision_of
from zoo.runtime.descriptions import check_description, due_shape, has_shape, wrong_shape
from zoo.runtime.gallery import locate_gallery

METADATA_KEY = "zoo"
INPUT, OUTPUT = "input", "output"
"""The names of the images and of the main output in a runner."""
ATTEMPTS = 10
"""Times a bundle that is being replaced is read anew."""


class Model(NamedTuple):
    """An opened model: ``run`` gives the main output for inputs float32 (N, C, H, W); ``description`` says how images
    become inputs and outputs predictions; ``runner`` is what ``load`` returned."""

    run: Callable[[np.ndarray], np.ndarray]
    description: dict[str, Any]
    runner: Any


def open_model(model: Path, load: Callable[[Path], Any], note: Callable[[str], None] | None = None) -> Model:
    """Open an exported file with ``load``, a function that returns a runner for a path (`zoo.api.Runner`).

    The outputs have the shape that the decision in the description needs (see `due_shape`).

    Every file that is loaded has the sha256 that the bundle.json beside it gives. A model without a bundle.json is
    loaded unchecked, with the description that it carries, and ``note`` is called with a sentence that says so
    (default: print to stderr). Raises ModelError, or SetupError.
    """
    model = Path(model)
    runner, index = _open_checked(model, load, note or _to_stderr)
    try:
        description = _description(model, runner, index)
        check_description(description)
        description = locate_gallery(model, index, description)
        decision, output = decision_of(description), description["output"]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{model}: its description is damaged: {error}") from error

    def run(inputs: np.ndarray) -> np.ndarray:
        try:
            outputs = np.asarray(runner({INPUT: inputs})[OUTPUT])
        except Exception as error:
            raise ModelError(
                f"{model}: it cannot be run on inputs of the shape {inputs.shape}: {_one_line(error)}"
            ) from error
        due = due_shape(decision, output.get("kind"), inputs.shape)
        if not has_shape(outputs.shape, due):
            raise ModelError(f"{model}: {wrong_shape(outputs.shape, due, decision)}")
        return outputs

    return Model(run, description, runner)


def _description(model: Path, runner: Any, index: dict[str, Any]) -> dict[str, Any]:
    """From bundle.json, and from the model's metadata if there is none."""
    if "description" in index:
        return dict(index["description"])
    text = runner.metadata.get(METADATA_KEY)
    if text is None:
        raise ModelError(f"{model}: it has no '{METADATA_KEY}' metadata, so the preprocessing of images is unknown")
    return dict(json.loads(text))


class _MovedError(ModelError):
    """Files that changed while they were read; they are read again."""


def _open_checked(model: Path, load: Callable[[Path], Any], note: Callable[[str], None]) -> tuple[Any, dict[str, Any]]:
    """The runner, and the content of bundle.json, empty without one.

    If the bundle is replaced while it is read, it is read again: the complete old or the complete new one is loaded.
    """
    for attempt in range(ATTEMPTS):
        state = file_state(model.parent / INDEX)
        content = read_index_bytes(model.parent)
        try:
            if content is not None:
                index = parse_index(content, model.parent / INDEX)
                return _load_checked(model, model_digests(index, model), load), index
            runner = _load(model, load)
        except Exception as error:  # whatever a runtime raises for a file that goes while it reads it
            last = attempt + 1 == ATTEMPTS or not isinstance(error, _MovedError)
            if last and file_state(model.parent / INDEX) == state:
                raise
            continue
        if read_index_bytes(model.parent) is None:
            note(f"no {INDEX} lies beside {model}, so whether it was altered is not checked")
            return runner, {}
    raise ModelError(f"{model}: the bundle is replaced again and again while it is read")


def file_state(path: Path) -> tuple[int, ...] | None:
    """What differs once a file was replaced, also by one of the same content; None where it is missing."""
    try:
        return _state(path.stat())
    except OSError:
        return None


def _load_checked(model: Path, digests: dict[str, str], load: Callable[[Path], Any]) -> Any:
    """A runner of files whose digests are right, and which were the same files before and after they were loaded."""
    for name in digests:
        refuse_special(model.with_name(name))
    try:
        if any(_hidden(model.with_name(name), due).is_file() for name, due in digests.items()):
            return _load_copies(model, digests, load)
        files = [model.with_name(name) for name in digests]
        before = {file: _hash_file(file, digests[file.name]) for file in files}
        runner = _load(model, load)
        changed = [file for file, state in before.items() if _state(file.stat()) != state]
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ModelError(
            f"{error.filename or model}: "
            f"{'is missing' if missing else 'cannot be read: ' + str(error.strerror or error)}"
        ) from error
    if changed:
        runner.close()
        raise _MovedError(f"{changed[0]}: was altered while it was loaded")
    return runner


def _hidden(file: Path, due: str) -> Path:
    """Where a file of a bundle lies for a moment while the bundle is being replaced."""
    return file.with_name(f".{file.name}.{due[:16]}")


def _load_copies(model: Path, digests: dict[str, str], load: Callable[[Path], Any]) -> Any:
    """A runner of copies, while the bundle is being replaced and its files have two places."""
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        for name, due in digests.items():
            Path(folder, name).write_bytes(_read_checked(model.with_name(name), due))
        return _load(Path(folder, model.name), load)


def _read_checked(file: Path, due: str) -> bytes:
    """The bytes with this sha256, from either place."""
    for place in (_hidden(file, due), file):  # in this order, since the first takes the name of the second
        try:
            content = place.read_bytes() if place.is_file() else b""
        except FileNotFoundError:
            continue
        if hashlib.sha256(content).hexdigest() == due:
            return content
    raise _altered(file)


def _hash_file(file: Path, due: str) -> tuple[int, ...]:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        state = _state(os.fstat(stream.fileno()))
        for block in iter(partial(stream.read, 1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != due:
        raise _altered(file)
    return state


def _state(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _altered(file: Path) -> ModelError:
    return ModelError(f"{file}: was altered after it was exported and verified: its sha256 is not the one in {INDEX}")


def _load(model: Path, load: Callable[[Path], Any]) -> Any:
    refuse_special(model)
    return load(model)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _to_stderr(text: str) -> None:
    print(f"note: {printable(text)}", file=sys.stderr)
