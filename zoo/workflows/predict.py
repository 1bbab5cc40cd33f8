"""`zoo predict`: predict images with a run (in PyTorch) or an exported model (in its runtime, without torch).

Both use the same preprocessing functions.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import runtime
from zoo.errors import UsageError
from zoo.runs.provided_objects import provide_again
from zoo.support.atomic_files import replacement, storage_errors
from zoo.support.html_tables import html_line, html_table
from zoo.workflows.open_predictor import Network, Predictor, data_errors, open_predictor

if TYPE_CHECKING:
    from torch import nn

SHOWN = 20
"""Predictions that a notebook shows."""
DRAWN = 50
"""The maximum number of images in a drawing."""


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
    in_memory: bool = False
    """Whether the images were no files; the paths of ``rows`` are then their numbers."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def values(self) -> np.ndarray:
        """The values of all images, (N, …); for masks of different sizes an array of arrays."""
        found = [values for _, values in self.rows]
        if len({each.shape for each in found}) <= 1:
            return np.stack(found) if found else np.empty((0, len(self.classes)))
        whole = np.empty(len(found), object)
        whole[:] = found
        return whole

    @property
    def answers(self) -> list[Any]:
        """The answer for each image: a class (None if the model abstains), a list of labels, a mapping of values by
        name, or for other decisions the values."""
        return [self._answer(values) for _, values in self.rows]

    def _answer(self, values: np.ndarray) -> Any:
        facts = self.facts(values, 1) if self.decision["kind"] != "pixel_argmax" else {}
        return facts.get("answer", facts.get("values", values)) if facts else values

    def _repr_html_(self) -> str:
        """A table of the first answers, for notebooks."""
        rows = [[path.name, self.answer(values, 3)] for path, values in self.rows[:SHOWN]]
        more = f" and {len(self.rows) - SHOWN:,} more" if len(self.rows) > SHOWN else ""
        return html_table(["image", "prediction"], rows) + html_line(f"predicted by {self.engine}{more}")

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
        ``shares`` of the pixels by class. Otherwise: all ``values``, and for an embedding with a gallery the
        ``matches``, the ``count`` closest images with their cosine similarity.
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
        found = [each._asdict() for each in runtime.matches(values, self.decision, count)]
        return {"values": values.tolist(), **({"matches": found} if found else {})}

    def write_csv(self, file: Path) -> None:
        with replacement(file) as temporary:
            runtime.write_csv(temporary, self.rows, self.decision)

    def write_masks(self, folder: Path) -> list[Path]:
        """Write the mask of each image to ``folder`` as PNG and return the files. Raises UsageError for a decision
        without masks."""
        require_masks(self.decision)
        with storage_errors(folder):
            return runtime.write_masks(folder, self.rows, self.decision)

    def draw(self, file: Path) -> None:
        """Draw the first images (at most `DRAWN`) after resizing and cropping, each with its prediction as title; masks
        are drawn over the images in colour, with a legend."""
        from zoo.workflows.draw_predictions import draw

        self._require_files()
        draw(file, self.rows[:DRAWN], self.decision, self.spec, self.engine)

    def explain(self, file: Path) -> None:
        """Draw the first images (at most `DRAWN`), each beside the Grad-CAM map of its top-1 class.

        Raises UsageError for a decision other than softmax, for an exported model, which has no gradients, and for a
        network without feature maps.
        """
        from zoo.workflows.draw_predictions import explain

        self._require_files()
        network = require_gradients(self.decision, self.network)
        explain(file, self.rows[:DRAWN], self.decision, self.spec, network, self.engine)

    def _require_files(self) -> None:
        if self.in_memory:
            raise UsageError("only predictions of image files are drawn", fix="save the images, and predict the files")


def predict(
    target: str | Path,
    images: Sequence[str | Path],
    *,
    model: nn.Module | Any = None,
    weights: str | None = None,
    weights_key: str | None = None,
    keep_going: bool = False,
    max_pixels: int | None = None,
    window: float | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    device: str = "auto",
) -> Predictions:
    """Predict image files and folders of images, and return all predictions; for many images, see `predict_batches`.

    ``target`` is a bundle's folder, an exported model, a run (path or name), or a recipe without a run, for its
    pretrained weights. With ``weights`` (a name, a safetensors file or the address of one), it is an architecture or a
    recipe; ``weights_key`` selects one of several networks in the file.
    ``max_pixels`` replaces the model's limit. ``window`` slides a model that gives masks over the whole of each image,
    with windows that overlap by this share, such as 0.25. ``provider`` is the execution provider of an exported model,
    and ``threads`` its number of CPU threads (None: the runtime's default). ``device`` is the device of any other
    model: auto, cpu, cuda, cuda:N or mps. If the network of a run was a Python object, pass it again as ``model``, as
    for `zoo.load`.

    Raises DataError for an image that cannot be read (with ``keep_going``, it is added to ``failures`` instead), and
    CheckpointError for a model that was changed or cannot be loaded.
    """
    found = find_images(images)
    provide_again(target, model)
    predictor = open_predictor(
        target,
        weights=weights,
        weights_key=weights_key,
        max_pixels=max_pixels,
        window=window,
        provider=provider,
        threads=threads,
        device=device,
    )
    whole = predictions_of(predictor, notes=(found.skipped,) if found.skipped else ())
    with data_errors():
        failures = whole.failures if keep_going else None
        whole.rows.extend(runtime.predict(predictor.run, predictor.description, found.files, failures))
    return whole


def predict_batches(
    target: str | Path,
    images: Sequence[str | Path],
    *,
    model: nn.Module | Any = None,
    weights: str | None = None,
    weights_key: str | None = None,
    max_pixels: int | None = None,
    window: float | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    device: str = "auto",
) -> Generator[Predictions, None, None]:
    """Predict any number of images, and yield the predictions of each batch as soon as it is done.

    The parameters are those of `predict`, and so are the predictions. A batch has 32 images, in the order of the files
    (an exported model with a fixed batch: as many). Images are decoded in threads while the model runs, only those of
    a few batches are held in memory. Images that cannot be read are in the ``failures`` of their batch.
    """
    found = find_images(images)
    provide_again(target, model)
    predictor = open_predictor(
        target,
        weights=weights,
        weights_key=weights_key,
        max_pixels=max_pixels,
        window=window,
        provider=provider,
        threads=threads,
        device=device,
    )
    return batches_of(predictor, runtime.split_files(found.files, predictor.description))


def require_masks(decision: dict[str, Any]) -> None:
    """Raise UsageError for a decision without masks."""
    if decision["kind"] != "pixel_argmax":
        raise UsageError(
            f"a model with the decision {decision['kind']} has no masks",
            where="--masks",
            fix="remove --masks, or use a segmentation model",
        )


def require_gradients(decision: dict[str, Any], network: Network | None) -> Network:
    """Return the network of a classifier in PyTorch. Raises UsageError for other models."""
    if decision["kind"] not in ("softmax", "sigmoid"):
        raise UsageError(
            f"Grad-CAM needs a classifier, but the model has the decision {decision['kind']}",
            where="--explain",
            fix="remove --explain",
        )
    if network is None:
        raise UsageError(
            "Grad-CAM needs gradients, which an exported model does not have",
            where="--explain",
            fix="use the run it was exported from",
        )
    return network


def find_images(images: Sequence[str | Path]) -> runtime.Found:
    """Find image files. Raises DataError if there are none."""
    with data_errors(fix="name an image, or a folder that contains images"):
        return runtime.find_images([Path(image) for image in images])


def predictions_of(
    predictor: Predictor, batch: runtime.Batch | None = None, notes: tuple[str, ...] = ()
) -> Predictions:
    """Return the predictions of a batch, or none so far."""
    rows, failed = ([], []) if batch is None else batch
    failures = [(file, str(error)) for file, error in failed]
    spec = predictor.spec
    if "window" in predictor.description:  # the masks are of whole images, which are drawn so
        spec = {**spec, "resize": runtime.SQUASH, "scale": None}
    return Predictions(
        predictor.decision,
        list(rows),
        predictor.engine,
        spec,
        failures,
        predictor.network,
        (*predictor.notes, *notes),
    )


def batches_of(predictor: Predictor, groups: Sequence[Sequence[Path]]) -> Generator[Predictions, None, None]:
    """Yield the predictions of each group of files."""
    with data_errors(), closing(runtime.predict_batches(predictor.run, predictor.description, groups)) as batches:
        for batch in batches:
            yield predictions_of(predictor, batch)
