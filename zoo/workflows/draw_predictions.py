"""Draw images with their predictions, and explain predictions by Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import runtime
from zoo.api import Mask
from zoo.reporting import plots
from zoo.support.atomic_files import storage_errors

if TYPE_CHECKING:
    from zoo.workflows.open_predictor import Network

Rows = Sequence[tuple[Path, np.ndarray]]


def draw(file: Path, rows: Rows, decision: dict[str, Any], spec: dict[str, Any], engine: str) -> None:
    """Draw images at the model's size, each with its prediction as title, masks over them in colour."""
    images, keys = _images(rows, spec), []
    if decision["kind"] == "pixel_argmax":
        target = Mask(names=tuple(decision["classes"]), ignore=None, colours=decision["colours"])
        sides = images.shape[2], images.shape[1]  # (n, H, W, 3)
        masks = np.stack([runtime.resize_mask(mask, sides) for _, mask in rows])
        images, keys = plots.masked(images, masks, target), plots.mask_keys(target, np.unique(masks).tolist())
    with storage_errors(file):
        heading, columns = f"predicted by {engine}", min(5, max(len(rows), 3 if keys else 1))  # a legend needs width
        plots.grid(file, images, _titles(rows, decision), heading, columns=columns, keys=keys)


def explain(
    file: Path, rows: Rows, decision: dict[str, Any], spec: dict[str, Any], network: Network, engine: str
) -> None:
    """Draw images, each beside the Grad-CAM map of its top-1 class."""
    images, titles = _images(rows, spec), _titles(rows, decision)
    with storage_errors(file):
        # an image, then its map
        sides = np.stack([images, plots.heated(images, _maps(rows, spec, network))], 1).reshape(-1, *images.shape[1:])
        beside = [text for title in titles for text in (title, "Grad-CAM")]
        plots.grid(file, sides, beside, f"Grad-CAM, {engine}", columns=2 * min(3, len(images)))


def _maps(rows: Rows, spec: dict[str, Any], network: Network) -> np.ndarray:
    """float32 (n, H, W), 0 to 1."""
    import torch

    from zoo.reporting.grad_cam import grad_cam

    model, head = network
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    inputs = (torch.from_numpy(runtime.prepare(path, spec)).to(device) for path, _ in rows)
    return np.concatenate([grad_cam(model, each, head)[1].cpu().numpy() for each in inputs])


def _images(rows: Rows, spec: dict[str, Any]) -> np.ndarray:
    """uint8 (n, H, W, 3)."""
    return np.stack([np.asarray(runtime.read(path, {**spec, "channels": 3})) for path, _ in rows])


def _titles(rows: Rows, decision: dict[str, Any]) -> list[str]:
    return [runtime.answer_text(values, decision, 1) for _, values in rows]
