"""Bringing a trained model back: from a run directory, or from the weights a plugin ships. Neither data nor network is needed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo import checkpoints
from zoo.api import ArchitectureSpec, Task, WeightsSpec
from zoo.config import RunConfig, Section
from zoo.errors import CheckpointError, UsageError
from zoo.files import sha256
from zoo.models import build_model, load_state, read_tensors
from zoo.preprocessing import Preprocessing
from zoo.registry import Item, Registry, load_object, registry
from zoo.resolve import resolve
from zoo.rundir import RunDir, all_runs, find, run_id


@dataclass
class LoadedModel:
    """A model in eval mode, and all that is needed to use it. ``origin`` says, as JSON, where its weights come from."""

    model: nn.Module
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    config: RunConfig
    origin: dict[str, Any]
    run: RunDir | None = None


def build_task(catalogue: Registry, config: RunConfig) -> Task:
    item = catalogue.task(config.task.name)
    task: Task = load_object(item.spec.target, item)(**config.task.options)
    return task


def build_for(catalogue: Registry, config: RunConfig, preprocessing: Preprocessing, num_classes: int) -> nn.Module:
    """The network of a configuration, before the task has changed anything in it."""
    if config.architecture is None:
        raise UsageError("no architecture is named", fix="add --arch NAME (see `zoo list architectures`)")
    return build_model(
        catalogue,
        config.architecture,
        in_channels=preprocessing.channels,
        num_classes=num_classes,
        image_size=(preprocessing.height, preprocessing.width),
    )


def load(run: str | Path) -> nn.Module:
    """The trained network of a run (its best checkpoint), in eval mode on the CPU; ``zoo.load`` in the Python API."""
    return load_run(find(run)).model


def load_run(run: RunDir, device: torch.device | str = "cpu") -> LoadedModel:
    """Raises CheckpointError where the checkpoint is damaged or does not fit."""
    catalogue, config, record = registry(), run.config, run.record
    checkpoint = checkpoints.chosen(run.checkpoints, record.checkpoint)
    model = build_for(catalogue, config, record.preprocessing, len(record.classes))
    model = build_task(catalogue, config).restructure(model, record.structure)
    load_state(model, read_tensors(checkpoint / checkpoints.MODEL), checkpoint)
    origin = {
        "kind": "run",
        "run": run_id(run.path),
        "checkpoint": checkpoint.name,
        "created": record.created,
        "dataset": record.dataset,
        "fingerprint": record.fingerprint,
        "metrics": record.results.get("report", {}),
    }
    return LoadedModel(model.to(device).eval(), record.label, tuple(record.classes), record.preprocessing, config, origin, run)


def load_shipped(catalogue: Registry, name: str) -> LoadedModel:
    """The model of a recipe with the weights it ships. Raises CheckpointError where it ships none."""
    item = catalogue.runnable(name)
    shipped = getattr(item.spec, "weights", None)
    if item.kind != "recipe" or not isinstance(shipped, str):
        raise CheckpointError(f"'{name}' has no finished run and ships no weights", fix=f"train it first: zoo run {name}")
    config = resolve(catalogue, name)
    architecture = catalogue.architecture(config.architecture.name) if config.architecture else None
    if architecture is None or shipped not in architecture.spec.weights:
        raise CheckpointError(f"recipe '{item.canonical}' ships the weights '{shipped}', which its architecture does not name")
    weights = architecture.spec.weights[shipped]
    preprocessing = preprocessing_of(weights, config)
    section = Section(name=architecture.canonical, **{**(config.architecture.options if config.architecture else {}), **weights.architecture_options})
    channels, height, width = preprocessing.shape
    model = build_model(catalogue, section, in_channels=channels, num_classes=len(weights.classes), image_size=(height, width))
    path = weights_file(architecture, shipped)
    load_state(model, read_tensors(path), path.name)
    origin = {
        "kind": "shipped weights",
        "weights": f"{architecture.canonical}:{shipped}",
        "sha256": weights.sha256,
        "licence": weights.licence,
        "dataset": weights.dataset,
        "metrics": weights.metrics,
    }
    return LoadedModel(model.eval(), item.spec.name, weights.classes, preprocessing, config, origin)


def preprocessing_of(weights: WeightsSpec, config: RunConfig) -> Preprocessing:
    channels, height, width = weights.input
    return Preprocessing.model_validate(
        {
            "channels": channels,
            "height": height,
            "width": width,
            "mean": weights.mean,
            "std": weights.std,
            "permute_pixels": config.dataset.permute_pixels,
        }
    )


def weights_file(item: Item[ArchitectureSpec], name: str) -> Path:
    """The file of weights that a plugin ships, its sha256 checked. Raises CheckpointError."""
    spec = item.spec.weights[name]
    if spec.resource is None:
        raise CheckpointError(
            f"the weights '{name}' of {item.canonical} must be downloaded, which this version cannot", fix="give a safetensors file"
        )
    package, _, inside = spec.resource.partition(":")
    path = Path(str(package_files(package).joinpath(inside)))
    found = sha256(path) if path.is_file() else "no file"
    if found != spec.sha256:
        raise CheckpointError(
            f"the weights '{name}' are not what {item.canonical} ships: {found} for {spec.sha256}", where=path, fix="reinstall the plugin"
        )
    return path


def load_initial(catalogue: Registry, config: RunConfig, model: nn.Module) -> str | None:
    """Start from the weights the configuration names: a safetensors file, or a name its architecture knows. Says what was loaded."""
    if config.weights is None or config.architecture is None:
        return None
    item = catalogue.architecture(config.architecture.name)
    path = weights_file(item, config.weights) if config.weights in item.spec.weights else Path(config.weights)
    load_state(model, read_tensors(path), config.weights)
    return f"starting from the weights {config.weights}"


def newest_run(config: RunConfig) -> RunDir | None:
    """The newest finished run whose architecture, dataset and task, with their options, are those of ``config``."""
    wanted = sections_of(config)
    for run in all_runs():
        if run.record.status == "finished" and sections_of(run.config) == wanted:
            return run
    return None


def sections_of(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", include={"architecture", "dataset", "task"})
