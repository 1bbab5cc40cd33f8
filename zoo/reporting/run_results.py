"""What a finished run shows: its figures in run.json, its pictures in plots/, and a few samples to try predictions
on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.api import ReportItem
from zoo.data.data_loader import Data
from zoo.data.loaded_part import LoadedPart
from zoo.registry.lookup import Registry
from zoo.reporting import plots
from zoo.runs.run_directory import Record, RunDir
from zoo.support.atomic_files import write_csv, write_image
from zoo.support.git_commit import commit_of
from zoo.support.paths import machine

SAMPLES = 10
PACKAGES = ("torch-zoo", "torch", "torchvision", "numpy", "safetensors", "torchmetrics")


def write_start(file: Path, tensors: Sequence[tuple[str, str, str, str]]) -> None:
    """weights.csv: what became of each tensor of the network, where it started from trained weights."""
    write_csv(file, ["tensor", "shape", "shape in the weights", "what became of it"], tensors)


def write_curves(run: RunDir, record: Record) -> list[ReportItem]:
    """curves.png"""
    plots.curves(run.plots / "curves.png", run.epochs(), run.steps(), record.id)
    return [ReportItem("Training", "plots/curves.png", "The loss of single batches, and its mean over each epoch.")]


def write_images(run: RunDir, record: Record, data: Data) -> list[ReportItem]:
    """samples.png and, where pixels are permuted, permuted.png. The task writes its own beside them."""
    train = data.part("train")
    labels = train.labels
    plots.samples(
        run.plots / "samples.png", train, labels, data.classes, f"the first training pictures of {record.dataset}"
    )
    seen = "as the network sees them"
    if run.config.train.augment:
        seen = (
            "before the random changes of each epoch "
            f"({', '.join(next(iter(step)) for step in run.config.train.augment)})"
        )
    shown = [ReportItem("Samples", "plots/samples.png", f"The first training pictures, {seen}.")]
    if data.preprocessing.permute_pixels is not None:
        _write_permuted(run.plots / "permuted.png", train, labels, data)
        shown.append(
            ReportItem("Permuted pixels", "plots/permuted.png", "Training pictures above their permuted selves.")
        )
    return shown


def write_samples(folder: Path, part: LoadedPart, classes: tuple[str, ...]) -> None:
    """The first pictures of a part as files, as the dataset has them, named by index and class."""
    folder.mkdir(exist_ok=True)
    labels = part.labels
    for index, image in enumerate(part.originals[:SAMPLES]):
        truth = (
            ""
            if labels is None
            else "-" + "".join(char if char.isalnum() else "_" for char in classes[int(labels[index])])
        )
        write_image(folder / f"{index:02d}{truth}.png", to_image(image))


def to_image(image: np.ndarray) -> Image.Image:
    """uint8 (C, H, W), grey or RGB."""
    return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def _write_permuted(file: Path, part: LoadedPart, labels: np.ndarray | None, data: Data) -> None:
    count = min(10, len(part))
    unpermuted = data.preprocessing.model_copy(update={"permute_pixels": None})
    plain = np.concatenate([unpermuted.apply(image[None]) for image in part.originals[:count]]).transpose(0, 2, 3, 1)
    titles = [data.classes[int(labels[index])] if labels is not None else part.names[index] for index in range(count)]
    plots.permuted_pairs(
        file, plain, part.pictures(range(count)), titles, f"pixels permuted by seed {data.preprocessing.permute_pixels}"
    )


def facts(registry: Registry) -> dict[str, Any]:
    """Versions, plugins and commit: what a figure should be read with."""
    versions = {name: metadata.version(name) for name in PACKAGES} | machine()
    plugins = {
        plugin.namespace: f"{plugin.distribution} {plugin.version}"
        for plugin in registry.plugins
        if plugin.state == "ok"
    }
    return {"versions": versions, "plugins": plugins, "git_commit": commit_of(Path.cwd())}
