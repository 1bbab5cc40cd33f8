"""`zoo predict`: pictures through a run (by torch) or an exported model (by onnxruntime, with no torch), prepared by
the same functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from zoo import runtime
from zoo.errors import CheckpointError, DataError, SetupError, UsageError
from zoo.support.atomic_files import replacement, storage_errors
from zoo.support.untrusted_files import RECORD_LIMIT, read_text

if TYPE_CHECKING:
    from torch import nn

    from zoo.data.preprocessing import Preprocessing

Run = Callable[[np.ndarray], np.ndarray]
T = TypeVar("T")
Network = tuple["nn.Module", "str | None"]
"""A model, and the name of the module that gives its logits, where that is known."""


class Opened(NamedTuple):
    """What pictures go through, its description, what computes it and, where that is torch, the network itself."""

    run: Run
    description: dict[str, Any]
    engine: str
    network: Network | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """``rows`` holds each image with its probabilities, float64 (K,), in order; ``engine`` is what computed them.

    ``spec`` is the ``input`` part of the model's description: how images are prepared. ``notes`` say what could not be
    checked, a line each.
    """

    classes: tuple[str, ...]
    rows: list[tuple[Path, np.ndarray]]
    engine: str
    spec: dict[str, Any]
    failures: list[tuple[Path, str]] = field(default_factory=list)
    """Images that cannot be read or are not taken, and why."""
    network: Network | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def write_csv(self, file: Path) -> None:
        with replacement(file) as temporary:
            runtime.write_csv(temporary, self.rows, self.classes)

    def draw(self, file: Path) -> None:
        """The pictures as the network saw them, but in colour, under the likeliest class of each and its
        probability."""
        from zoo.reporting import plots

        with storage_errors(file):
            plots.grid(
                file, self._pictures(), self._titles(), f"predicted by {self.engine}", columns=min(5, len(self.rows))
            )

    def explain(self, file: Path) -> None:
        """Beside each picture, where the network found what speaks for its likeliest class (Grad-CAM).

        Raises UsageError for an exported model, which gives no gradients, and for a network without maps.
        """
        if self.network is None:
            raise UsageError(
                "an exported model gives no gradients to explain itself by",
                where="--explain",
                fix="give the run it was exported from",
            )
        from zoo.reporting import plots

        images, titles = self._pictures(), self._titles()
        with storage_errors(file):
            # a picture, then its map
            sides = np.stack([images, plots.heated(images, self._maps())], 1).reshape(-1, *images.shape[1:])
            beside = [text for title in titles for text in (title, "what speaks for it")]
            plots.grid(file, sides, beside, f"Grad-CAM, {self.engine}", columns=2 * min(3, len(images)))

    def _maps(self) -> np.ndarray:
        """float32 (n, H, W), 0 to 1."""
        import torch

        from zoo.reporting.grad_cam import grad_cam

        model, head = self.network or (None, None)
        inputs = (torch.from_numpy(runtime.prepare(path, self.spec)) for path, _ in self.rows)
        return np.concatenate([grad_cam(model, each, head)[1].numpy() for each in inputs])  # type: ignore[arg-type]

    def _pictures(self) -> np.ndarray:
        return np.stack([np.asarray(runtime.read(path, {**self.spec, "channels": 3})) for path, _ in self.rows])

    def _titles(self) -> list[str]:
        best = (runtime.top(probabilities, self.classes, 1)[0] for _, probabilities in self.rows)
        return [f"{name} {share:.1%}" for name, share in best]


def predict(
    target: str | Path,
    images: Sequence[str | Path],
    *,
    weights: str | None = None,
    weights_key: str | None = None,
    keep_going: bool = False,
    max_pixels: int | None = None,
) -> Predictions:
    """Predict image files and folders of them.

    ``target`` is a bundle's folder, an exported model, or a run (path or name); with ``weights``, the name of weights
    or a safetensors file, it is an architecture, and ``weights_key`` chooses where that file holds several networks.
    ``max_pixels`` replaces the model's limit.

    Raises DataError for an image that cannot be read (with ``keep_going`` it is one of the ``failures``),
    CheckpointError for a model that was altered or cannot be loaded.
    """
    found = _data_errors(lambda: runtime.find_images([Path(image) for image in images]))
    run, description, engine, network, notes = (
        _open(target) if weights is None else _open_pretrained(str(target), weights, weights_key)
    )
    spec, classes = description["input"], tuple(description["output"]["classes"])
    if max_pixels is not None:
        spec = {**spec, "max_pixels": max_pixels}
    failures: list[tuple[Path, str]] = []
    kept = failures if keep_going else None
    rows = _data_errors(lambda: list(runtime.predict(run, spec, found.files, spec.get("batch"), kept)))
    return Predictions(
        classes, rows, engine, spec, failures, network, (*notes, *([found.skipped] if found.skipped else []))
    )


def _open(target: str | Path) -> Opened:
    path = Path(target)
    if path.is_file():
        return _open_exported(path)
    if (path / runtime.INDEX).is_file():
        return _open_exported(path / _model_name(path))
    return _open_run(target)


def _open_exported(model: Path) -> Opened:
    """Every file of it is compared with the digests in the bundle.json beside it, by `zoo.runtime`."""
    notes: list[str] = []
    try:
        run, description = runtime.open_model(model, notes.append)
    except runtime.ModelError as error:
        raise CheckpointError(str(error), fix="export again, or give a model that `zoo export` wrote") from error
    except runtime.SetupError as error:
        raise SetupError(str(error), fix="free some memory, or raise the limit of processes (ulimit -u)") from error
    import onnxruntime

    return Opened(run, description, f"onnxruntime {onnxruntime.__version__}", None, tuple(notes))


def _model_name(bundle: Path) -> str:
    try:
        name = json.loads(read_text(bundle / runtime.INDEX, RECORD_LIMIT))["model"]
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError("it names no model of its own")
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"the bundle's {runtime.INDEX} is damaged: {error}", where=bundle, fix="export again"
        ) from error
    return name


def _open_run(target: str | Path) -> Opened:
    from zoo.runs import run_directory

    if Path(target).is_dir() and not (Path(target) / "run.json").is_file() and not run_directory.is_run(target):
        raise UsageError(
            "this folder is neither a run nor a bundle",
            where=target,
            fix="give a run, a bundle's folder or a model.onnx",
        )
    found = run_directory.find(target)

    import torch

    from zoo.registry.lookup import registry
    from zoo.runs.load_model import load_run, require_network

    require_network(found)
    loaded = load_run(found)
    architecture = loaded.config.architecture
    head = None if architecture is None else registry().architecture(architecture.name).spec.head
    description = _description(loaded.preprocessing, loaded.classes)
    return Opened(_by_torch(loaded.model), description, f"torch {torch.__version__}", (loaded.model, head))


def _open_pretrained(name: str, weights: str, key: str | None) -> Opened:
    import torch

    from zoo.registry.lookup import registry
    from zoo.runs.load_model import load_pretrained

    found = load_pretrained(registry(), name, weights, key)
    head, description = registry().architecture(name).spec.head, _description(found.preprocessing, found.classes)
    return Opened(
        _by_torch(found.model), description, f"{found.origin}, torch {torch.__version__}", (found.model, head)
    )


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
    except runtime.ModelError as error:
        raise CheckpointError(str(error), fix="export again") from error
    except (ValueError, OSError) as error:
        cause = error.__cause__
        limit = isinstance(cause, runtime.OutsideLimitError) and cause.option == "max_pixels"
        raise DataError(
            str(error), fix="give a smaller image, or raise --max-pixels" if limit else "give readable images"
        ) from error
