"""`zoo predict`: pictures through a run (by torch) or an exported model (by onnxruntime, with no torch), prepared by the same functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zoo import runtime
from zoo.errors import CheckpointError, DataError, UsageError
from zoo.files import sha256, storage_errors

if TYPE_CHECKING:
    from torch import nn

    from zoo.preprocessing import Preprocessing

BUNDLE = "bundle.json"
Run = Callable[[np.ndarray], np.ndarray]
T = TypeVar("T")


@dataclass(frozen=True)
class Predictions:
    """``rows`` holds each picture with its probabilities, float32 (K,), in order; ``engine`` is what computed them.

    ``spec`` is the ``input`` part of the model's description: how pictures are prepared.
    """

    classes: tuple[str, ...]
    rows: list[tuple[Path, np.ndarray]]
    engine: str
    spec: dict[str, Any]

    def write_csv(self, file: Path) -> None:
        with storage_errors(file):
            runtime.write_csv(file, self.rows, self.classes)

    def draw(self, file: Path) -> None:
        """The pictures as the network saw them, but in colour, under the likeliest class of each and its probability."""
        from zoo import plots

        shown = [np.asarray(runtime.fit(runtime.read_picture(path, 3), self.spec)) for path, _ in self.rows]
        best = [runtime.top(probabilities, self.classes, 1)[0] for _, probabilities in self.rows]
        with storage_errors(file):
            titles = [f"{name} {share:.1%}" for name, share in best]
            plots.grid(file, np.stack(shown), titles, f"predicted by {self.engine}", columns=min(5, len(shown)))


def predict(target: str | Path, pictures: Sequence[str | Path], *, weights: str | None = None) -> Predictions:
    """Predict picture files and folders of them. ``target`` is a bundle's folder, an exported model, or a run (path or name); with ``weights``,
    the name of weights or a safetensors file, it is an architecture.

    Raises DataError for a picture that cannot be read, CheckpointError for a model that was altered or cannot be loaded.
    """
    files = _data_errors(lambda: runtime.find_pictures([Path(picture) for picture in pictures]))
    run, description, engine = _open(target) if weights is None else _open_pretrained(str(target), weights)
    spec, classes = description["input"], tuple(description["output"]["classes"])
    rows = _data_errors(lambda: list(runtime.predict(run, spec, files, spec.get("batch"))))
    return Predictions(classes, rows, engine, spec)


def _open(target: str | Path) -> tuple[Run, dict[str, Any], str]:
    path = Path(target)
    if path.is_file():
        return _open_exported(path)
    if (path / BUNDLE).is_file():
        return _open_exported(_checked_model(path))
    return _open_run(target)


def _open_exported(model: Path) -> tuple[Run, dict[str, Any], str]:
    try:
        run, description = runtime.open_model(model)
    except ValueError as error:
        raise CheckpointError(str(error), fix="give a model that `zoo export` wrote") from error
    import onnxruntime

    return run, description, f"onnxruntime {onnxruntime.__version__}"


def _checked_model(bundle: Path) -> Path:
    """The model file of a bundle, every file of the model itself known to be what was proved."""
    try:
        index = json.loads((bundle / BUNDLE).read_text(encoding="utf-8"))
        name, files = str(index["model"]), dict(index["files"])
        due = {file: entry["sha256"] for file, entry in files.items() if file.startswith(name)}
        if Path(name).name != name or name not in due:
            raise ValueError("it names no model of its own")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"the bundle's {BUNDLE} is damaged: {error}", where=bundle, fix="export again") from error
    for file, digest in due.items():
        path = bundle / Path(file).name
        if not path.is_file():
            raise CheckpointError(f"{file} is missing from the bundle", where=bundle, fix="export again")
        if sha256(path) != digest:
            raise CheckpointError(f"{file} was altered after it was exported and proved", where=bundle, fix="export again")
    return bundle / name


def _open_run(target: str | Path) -> tuple[Run, dict[str, Any], str]:
    from zoo import rundir

    if Path(target).is_dir() and not (Path(target) / "run.json").is_file() and not rundir.is_run(target):
        raise UsageError("this folder is neither a run nor a bundle", where=target, fix="give a run, a bundle's folder or a model.onnx")
    found = rundir.find(target)

    import torch

    from zoo.loading import load_run

    loaded = load_run(found)
    return _by_torch(loaded.model), _description(loaded.preprocessing, loaded.classes), f"torch {torch.__version__}"


def _open_pretrained(name: str, weights: str) -> tuple[Run, dict[str, Any], str]:
    import torch

    from zoo.loading import load_pretrained
    from zoo.registry import registry

    found = load_pretrained(registry(), name, weights)
    return _by_torch(found.model), _description(found.preprocessing, found.classes), f"{found.origin}, torch {torch.__version__}"


def _by_torch(model: nn.Module) -> Run:
    import torch

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(inputs)).float().numpy())

    return run


def _description(preprocessing: Preprocessing, classes: Sequence[str]) -> dict[str, Any]:
    return {"input": preprocessing.describe(), "output": {"classes": list(classes)}}


def _data_errors(work: Callable[[], T]) -> T:
    try:
        return work()
    except ValueError as error:
        raise DataError(str(error), fix="give readable pictures") from error
