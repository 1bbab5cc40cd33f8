"""The results of a finished run: metrics in run.json, plots, and a few samples for predictions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.api import Classes, ReportItem, Target
from zoo.data.data_loader import AnyPart, Data
from zoo.data.targets import described
from zoo.registry.lookup import Registry
from zoo.runs.run_directory import Record, RunDir
from zoo.support.atomic_files import write_csv, write_image
from zoo.support.git_commit import commit_of
from zoo.support.paths import machine

SAMPLES = 10
PACKAGES = ("torch-zoo", "torch", "torchvision", "numpy", "safetensors", "torchmetrics")

TRAINING = "Training loss: the mean of each epoch{}."
BATCHES = " and the loss of one batch every {} steps (train.log_steps)"


def write_start(file: Path, tensors: Sequence[tuple[str, str, str, str]]) -> None:
    """Write weights.csv: for each tensor of the network, whether it was loaded or re-initialised."""
    write_csv(file, ["tensor", "shape", "shape in the weights", "state"], tensors)


def write_curves(run: RunDir, record: Record) -> list[ReportItem]:
    """curves.png"""
    from zoo.reporting import plots  # with matplotlib, which no step of the training waits for

    rows, steps = run.epochs(), run.steps()
    plots.curves(run.plots / "curves.png", rows, steps, record.id)
    batches = BATCHES.format(run.config.train.log_steps) if plots.draws_batches(rows, steps) else ""
    return [ReportItem("Training", "plots/curves.png", TRAINING.format(batches))]


def write_images(run: RunDir, record: Record, data: Data) -> list[ReportItem]:
    """Write samples.png and, for permuted pixels, permuted.png."""
    from zoo.reporting import plots

    train = data.part("train")
    plots.samples(run.plots / "samples.png", train, data.target, f"the first training images of {record.dataset}")
    seen = "after preprocessing"
    if run.config.train.augment:
        seen = (
            "after preprocessing and before augmentation "
            f"({', '.join(next(iter(step)) for step in run.config.train.augment)})"
        )
    shown = [
        ReportItem("Training images", "plots/samples.png", f"The first training images {seen}, with their targets.")
    ]
    if data.preprocessing.permute_pixels is not None:
        _write_permuted(run.plots / "permuted.png", train, data)
        shown.append(
            ReportItem(
                "Permuted pixels",
                "plots/permuted.png",
                "Training images, and below each the same image with permuted pixels.",
            )
        )
    return shown


def write_samples(folder: Path, part: AnyPart, target: Target) -> None:
    """Write the first original images of a split as files, named by index and class."""
    folder.mkdir(exist_ok=True)
    images = part.raw_images[:SAMPLES]
    targets = part.targets_of(range(len(images))) if isinstance(target, Classes) else None
    for index, image in enumerate(images):
        name = "".join(char if char.isalnum() else "_" for char in described(target, targets, index))
        truth = "" if targets is None else f"-{name}"
        write_image(folder / f"{index:02d}{truth}.png", to_image(image))


def to_image(image: np.ndarray) -> Image.Image:
    """uint8 (C, H, W), gray or RGB."""
    return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def _write_permuted(file: Path, part: AnyPart, data: Data) -> None:
    from zoo.reporting import plots

    count = min(10, len(part))
    unpermuted = data.preprocessing.model_copy(update={"permute_pixels": None})
    plain = np.concatenate([unpermuted.apply(image[None]) for image in part.raw_images[:count]]).transpose(0, 2, 3, 1)
    titles = plots.titles_of(part, data.target, range(count))
    plots.permuted_pairs(
        file,
        plain,
        part.images_of(range(count)),
        titles,
        f"pixels permuted with seed {data.preprocessing.permute_pixels}",
    )


def facts(registry: Registry) -> dict[str, Any]:
    """Return versions, plugins and commit, the conditions of the results."""
    versions = {name: metadata.version(name) for name in PACKAGES} | machine()
    plugins = {
        plugin.namespace: f"{plugin.distribution} {plugin.version}"
        for plugin in registry.plugins
        if plugin.state == "ok"
    }
    return {"versions": versions, "plugins": plugins, "git_commit": commit_of(Path.cwd())}
