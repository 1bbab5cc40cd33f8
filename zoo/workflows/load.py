"""`zoo.load`: a trained model, from a run, a bundle or named weights, as an object that predicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zoo import runtime
from zoo.data.memory_arrays import CHANNELS, as_array, as_image
from zoo.errors import DataError, UsageError
from zoo.runs.provided_objects import provide_again
from zoo.support.html_tables import html_facts
from zoo.support.python_words import python_errors
from zoo.workflows.open_predictor import Predictor, data_errors, open_predictor
from zoo.workflows.predict import Predictions, find_images, predictions_of

if TYPE_CHECKING:
    from torch import nn

BATCH = 32


class Model:
    """A trained model with its preprocessing and decision; create it with `zoo.load`."""

    def __init__(self, source: str, predictor: Predictor) -> None:
        self.source, self._predictor = source, predictor

    @property
    @python_errors
    def module(self) -> nn.Module:
        """The network in eval mode on the CPU. Its inputs are normalised: use `predict` for images.

        Raises UsageError for an exported model.
        """
        if self._predictor.network is None:
            raise UsageError(
                "an exported model has no torch module", where=self.source, fix="load the run that it was exported from"
            )
        return self._predictor.network[0]

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The preprocessing of images, as in a bundle's description."""
        return self._predictor.spec

    @property
    def decision(self) -> dict[str, Any]:
        """The decision, which turns outputs into predictions, as in a bundle's description."""
        return self._predictor.decision

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of classes or labels; empty for other decisions."""
        return tuple(self.decision.get("classes", ()))

    @property
    def engine(self) -> str:
        """What computes the outputs: PyTorch or the runtime of an exported file, with its version."""
        return self._predictor.engine

    @python_errors
    def predict(self, images: Any) -> Predictions:
        """Predict images, preprocessed as in the training.

        ``images`` is a path or PIL image; an array or tensor: a batch (N, H, W), (N, C, H, W) or (N, H, W, C), uint8 or
        float from 0 to 1, or one gray image (H, W); or a list of paths (also of folders), PIL images and single images.

        Raises DataError for an image that cannot be read or has another shape.
        """
        given = _listed(images)
        if given and all(isinstance(each, str | Path) for each in given):
            found = find_images(given)
            whole = predictions_of(self._predictor, notes=(found.skipped,) if found.skipped else ())
            with data_errors():
                whole.rows.extend(runtime.predict(self._predictor.run, self._predictor.description, found.files))
            return whole
        whole = predictions_of(self._predictor)
        rows = [(Path(str(number)), values) for number, values in enumerate(self._values(given))]
        return Predictions(whole.decision, rows, whole.engine, whole.spec, notes=whole.notes, in_memory=True)

    def _values(self, images: Sequence[Any]) -> Iterator[np.ndarray]:
        spec, fixed = self._predictor.spec, self._predictor.spec.get("batch")
        size = fixed or BATCH
        for start in range(0, len(images), size):
            opened = [_opened(each, spec) for each in images[start : start + size]]
            pixels = np.stack([runtime.to_chw(runtime.fit(each, spec)) for each in opened])
            if spec.get("permute_pixels") is not None:
                pixels = runtime.permute(pixels, spec["permute_pixels"])
            inputs = runtime.normalise(pixels, spec["mean"], spec["std"])
            if fixed and len(inputs) < fixed:  # a file with a fixed batch takes no fewer
                inputs = np.concatenate([inputs, np.zeros((fixed - len(inputs), *inputs.shape[1:]), np.float32)])
            values = runtime.decide(self._predictor.run(inputs)[: len(opened)], self.decision)
            yield from (self._at_own_size(each, image) for each, image in zip(values, opened, strict=True))

    def _at_own_size(self, values: np.ndarray, image: Image.Image) -> np.ndarray:
        """A mask at the size of its image where the model says so, as `zoo.runtime.predict` does."""
        decision = self.decision
        whole = decision["kind"] == "pixel_argmax" and decision["size"] == "image"
        return (
            runtime.resize_mask(values, image.size)
            if whole and self._predictor.spec["resize"] == runtime.SQUASH
            else values
        )

    def __repr__(self) -> str:
        return f"Model({self.source!r}, engine={self.engine!r})"

    def _repr_html_(self) -> str:
        spec = self.preprocessing
        size = "×".join(str(spec[side]) for side in ("channels", "height", "width"))
        shown = ", ".join(self.classes[:10]) + (
            f" and {len(self.classes) - 10:,} more" if len(self.classes) > 10 else ""
        )
        facts = {"input": size, "decision": self.decision["kind"], "classes": shown or None, "engine": self.engine}
        return html_facts(self.source, facts)


def load(
    target: str | Path,
    *,
    model: nn.Module | Any = None,
    data: Any = None,
    weights: str | None = None,
    weights_key: str | None = None,
    provider: str = "cpu",
    threads: int | None = None,
) -> Model:
    """Load a trained model.

    ``target`` is a run (a path, a ``label/name``, or a label for its newest run), a bundle's folder, an exported file,
    or a recipe for its published weights. With ``weights`` (a name, a safetensors file or the address of one), it is an
    architecture or a recipe. ``provider`` and ``threads`` are those of an exported model.

    If the network of a run was a Python object, pass ``model`` again: the module, a function that returns one, or
    ``"package.module:function"``. Names and shapes of its tensors are checked. ``data`` is needed only for what reads
    it, such as `zoo.evaluate`. Both then serve all functions of this process.

    Raises UsageError if there is no such model, CheckpointError if its files are damaged or do not fit the network.
    """
    provide_again(target, model, data)
    found = open_predictor(target, weights=weights, weights_key=weights_key, provider=provider, threads=threads)
    return Model(str(target), found)


def _listed(images: Any) -> list[Any]:
    if isinstance(images, str | Path) or hasattr(images, "getbands"):
        return [images]
    if isinstance(images, list | tuple):
        return list(images)
    array = as_array(images, "images")
    if array.ndim == 2:
        return [array]
    if array.ndim == 3 and (array.shape[0] in CHANNELS or array.shape[2] in CHANNELS):
        raise DataError(
            f"an array of the shape {array.shape} could be one image or a batch of gray images",
            fix="add an axis: images[None] for one image, images[:, None] for a batch of gray images",
        )
    return list(array)


def _opened(image: Any, spec: dict[str, Any]) -> Image.Image:
    """An image as PIL image with the model's number of channels."""
    if isinstance(image, str | Path):
        with data_errors():
            limit = spec.get("max_pixels", runtime.MAX_PIXELS)
            return runtime.read_image(Path(image), spec["channels"], limit, spec.get("value_range"))
    if isinstance(image, Image.Image):
        upright, kind = runtime.upright(image), runtime.deep_kind(image)
        with data_errors():
            plain = runtime.to_8_bits(upright, kind, spec.get("value_range"), inverted=False) if kind else upright
        return runtime.convert(plain, spec["channels"])
    chw = as_image(image)
    plain = Image.fromarray(chw[0] if len(chw) == 1 else np.ascontiguousarray(chw.transpose(1, 2, 0)))
    return runtime.convert(plain, spec["channels"])
