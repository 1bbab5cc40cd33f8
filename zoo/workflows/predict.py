"""`zoo predict`: predict images with a run (in PyTorch) or an exported model (in its runtime, without torch).

Both use the same preprocessing functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from zoo import runtime
from zoo.errors import CheckpointError, DataError, UsageError
from zoo.exporting.opening import check_provider, exported_at, runtime_errors
from zoo.runs.run_directory import RunDir
from zoo.support.atomic_files import replacement, storage_errors

if TYPE_CHECKING:
    from torch import nn

    from zoo.contract.decisions import Decision
    from zoo.contract.targets import Output
    from zoo.data.preprocessing import Preprocessing
    from zoo.workflows.model_argument import Found

Run = Callable[[np.ndarray], np.ndarray]
T = TypeVar("T")
Network = tuple["nn.Module", "str | None"]
"""A model, and the name of its head, or None."""


class Opened(NamedTuple):
    """An opened model: the function for inputs, its description, the name of the engine and, for PyTorch, the
    network."""

    run: Run
    description: dict[str, Any]
    engine: str
    network: Network | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """Predictions, in the order of the images.

    ``rows`` has each image with its values, the result of `zoo.runtime.decide` for ``decision``: for a classifier the
    probabilities, float64 (K,). ``engine`` names the runtime. ``spec`` is the preprocessing, the ``input`` part of the
    model's description. ``notes`` list what could not be checked.
    """

    decision: dict[str, Any]
    rows: list[tuple[Path, np.ndarray]]
    engine: str
    spec: dict[str, Any]
    failures: list[tuple[Path, str]] = field(default_factory=list)
    """Images that cannot be read or are refused, with the reason."""
    network: Network | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty for a decision without classes."""
        return tuple(self.decision.get("classes", ()))

    def answer(self, values: np.ndarray, count: int) -> str:
        """Return the prediction for one image as one line, with at most ``count`` classes, labels or values."""
        return runtime.answer_text(values, self.decision, count)

    def facts(self, values: np.ndarray, count: int) -> dict[str, Any]:
        """Return the prediction for one image as JSON.

        For softmax and sigmoid: ``top``, the ``count`` classes with the largest probabilities, and ``answer``, the
        class (None if the model abstains) or the labels. For affine: the ``values`` by name. For pixel_argmax: the
        ``shares`` of the pixels by class. Otherwise: all ``values``.
        """
        kind = self.decision["kind"]
        if kind in ("softmax", "sigmoid"):
            best = runtime.top(values, self.classes, count)
            names = [self.classes[index] for index in runtime.chosen(values, self.decision)]
            answer = names if kind == "sigmoid" else next(iter(names), None)
            return {"answer": answer, "top": [{"class": name, "probability": p} for name, p in best]}
        if kind == "affine":
            return {"values": dict(zip(self.decision["names"], values.tolist(), strict=True))}
        if kind == "pixel_argmax":
            return {"shares": dict(zip(self.classes, runtime.shares(values, self.classes).tolist(), strict=True))}
        return {"values": values.tolist()}

    def write_csv(self, file: Path) -> None:
        with replacement(file) as temporary:
            runtime.write_csv(temporary, self.rows, self.decision)

    def write_masks(self, folder: Path) -> list[Path]:
        """Write the mask of each image to ``folder`` as PNG and return the files. Raises UsageError for a decision
        without masks."""
        if self.decision["kind"] != "pixel_argmax":
            raise UsageError(
                f"a model with the decision {self.decision['kind']} has no masks",
                where="--masks",
                fix="remove --masks, or use a segmentation model",
            )
        with storage_errors(folder):
            return runtime.write_masks(folder, self.rows)

    def draw(self, file: Path) -> None:
        """Draw the images after resizing and cropping, each with its prediction as title."""
        from zoo.reporting import plots

        with storage_errors(file):
            plots.grid(
                file, self._images(), self._titles(), f"predicted by {self.engine}", columns=min(5, len(self.rows))
            )

    def explain(self, file: Path) -> None:
        """Draw each image beside the Grad-CAM map of its top-1 class.

        Raises UsageError for a decision other than softmax, for an exported model, which has no gradients, and for a
        network without feature maps.
        """
        if self.decision["kind"] not in ("softmax", "sigmoid"):
            raise UsageError(
                f"Grad-CAM needs a classifier, but the model has the decision {self.decision['kind']}",
                where="--explain",
                fix="remove --explain",
            )
        if self.network is None:
            raise UsageError(
                "Grad-CAM needs gradients, which an exported model does not have",
                where="--explain",
                fix="use the run it was exported from",
            )
        from zoo.reporting import plots

        images, titles = self._images(), self._titles()
        with storage_errors(file):
            # an image, then its map
            sides = np.stack([images, plots.heated(images, self._maps())], 1).reshape(-1, *images.shape[1:])
            beside = [text for title in titles for text in (title, "Grad-CAM")]
            plots.grid(file, sides, beside, f"Grad-CAM, {self.engine}", columns=2 * min(3, len(images)))

    def _maps(self) -> np.ndarray:
        """float32 (n, H, W), 0 to 1."""
        import torch

        from zoo.reporting.grad_cam import grad_cam

        model, head = self.network or (None, None)
        inputs = (torch.from_numpy(runtime.prepare(path, self.spec)) for path, _ in self.rows)
        return np.concatenate([grad_cam(model, each, head)[1].numpy() for each in inputs])  # type: ignore[arg-type]

    def _images(self) -> np.ndarray:
        return np.stack([np.asarray(runtime.read(path, {**self.spec, "channels": 3})) for path, _ in self.rows])

    def _titles(self) -> list[str]:
        return [self.answer(values, 1) for _, values in self.rows]


def predict(
    target: str | Path,
    images: Sequence[str | Path],
    *,
    weights: str | None = None,
    weights_key: str | None = None,
    keep_going: bool = False,
    max_pixels: int | None = None,
    provider: str = "cpu",
    threads: int | None = None,
) -> Predictions:
    """Predict image files and folders of images.

    ``target`` is a bundle's folder, an exported model, a run (path or name), or a recipe without a run, for its
    published weights. With ``weights`` (a name, a safetensors file or the address of one), it is an architecture or a
    recipe; ``weights_key`` selects one of several networks in the file.
    ``max_pixels`` replaces the model's limit. ``provider`` is the execution provider of an exported model, and
    ``threads`` its number of CPU threads (None: the runtime's default).

    Raises DataError for an image that cannot be read (with ``keep_going``, it is added to ``failures`` instead), and
    CheckpointError for a model that was changed or cannot be loaded.
    """
    found = _data_errors(lambda: runtime.find_images([Path(image) for image in images]))
    run, description, engine, network, notes = (
        _open(target, provider, threads) if weights is None else _open_pretrained(str(target), weights, weights_key)
    )
    if max_pixels is not None:
        description = {**description, "input": {**description["input"], "max_pixels": max_pixels}}
    failures: list[tuple[Path, str]] = []
    kept = failures if keep_going else None
    rows = _data_errors(lambda: list(runtime.predict(run, description, found.files, kept)))
    notes = (*notes, *([found.skipped] if found.skipped else []))
    decision, spec = runtime.decision_of(description), description["input"]
    return Predictions(decision, rows, engine, spec, failures, network, notes)


def _open(target: str | Path, provider: str, threads: int | None) -> Opened:
    exported = exported_at(Path(target))
    if exported is None:
        if provider != "cpu":
            raise UsageError(
                "a run is predicted by PyTorch, which has no providers", where="--provider", fix="use an exported model"
            )
        return _open_run(target)
    check_provider(exported.exporter, provider, exported.item.spec.name)
    notes: list[str] = []
    with runtime_errors():
        found = runtime.open_model(
            exported.model, lambda path: exported.exporter.open(path, provider, threads), notes.append
        )
    engine = found.runner.runtime if provider == "cpu" else f"{found.runner.runtime} on {found.runner.provider}"
    return Opened(found.run, found.description, engine, None, tuple(notes))


def _open_run(target: str | Path) -> Opened:
    """A run, or a recipe without a run, for its published weights."""
    from zoo.workflows.model_argument import find_model

    return _open_in_torch(find_model(target))


def _open_pretrained(name: str, weights: str, key: str | None) -> Opened:
    from zoo.workflows.model_argument import find_model

    return _open_in_torch(find_model(name, weights, key))


def _open_in_torch(found: Found) -> Opened:
    from zoo.registry.lookup import registry
    from zoo.runs.load_model import require_network
    from zoo.workflows.model_argument import loaded_model

    if isinstance(found, RunDir):
        require_network(found)
    with loaded_model(found) as loaded:
        architecture = loaded.config.architecture
        head = None if architecture is None else registry().architecture(architecture.name).spec.head
        description = _description(loaded.preprocessing, loaded.decision, loaded.output)
        engine = loaded.engine if loaded.run is not None else f"{loaded.label}, {loaded.engine}"
        return Opened(_by_torch(loaded.model), description, engine, (loaded.model, head))


def _by_torch(model: nn.Module) -> Run:
    import torch

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(inputs)).float().numpy())

    return run


def _description(preprocessing: Preprocessing, decision: Decision, output: Output) -> dict[str, Any]:
    """Return the description in the form of a bundle."""
    return {
        "input": preprocessing.describe(),
        "output": {"kind": output.kind, "decision": decision.model_dump(mode="json")},
    }


def _data_errors(work: Callable[[], T]) -> T:
    try:
        return work()
    except runtime.ModelError as error:
        raise CheckpointError(str(error), fix="export again") from error
    except (ValueError, OSError) as error:
        cause = error.__cause__
        limit = isinstance(cause, runtime.OutsideLimitError) and cause.option == "max_pixels"
        raise DataError(
            str(error), fix="use a smaller image, or raise --max-pixels" if limit else "use readable images"
        ) from error
