"""The conformance kit for plugin authors: ``check_plugin("flowers")`` in a test holds a plugin to what every user will expect of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from zoo.api import ArchitectureSpec, DatasetSpec
from zoo.config import Section
from zoo.data import open_dataset
from zoo.discovery import Plugin
from zoo.errors import ZooError
from zoo.models import build_model
from zoo.registry import Item, Registry, load_object, options_model, registry
from zoo.resolve import resolve

TASK_METHODS = ("prepare", "restructure", "loss", "evaluate", "report")
EXPORTER_METHODS = ("emit", "check", "runner", "first_departure")


def check_plugin(namespace: str, *, build: bool = True) -> None:
    """Raises AssertionError with every fault found in the plugin of that namespace, a line each. ``build=False`` leaves out building networks."""
    faults = list(findings(namespace, build=build))
    if faults:
        listed = "\n".join(f"  - {fault}" for fault in faults)
        raise AssertionError(f"plugin '{namespace}' does not keep the contract:\n{listed}")


def findings(namespace: str, *, build: bool = True) -> Iterator[str]:
    """What `check_plugin` would complain about."""
    catalogue = registry()
    plugin = next((each for each in catalogue.plugins if each.namespace == namespace), None)
    if plugin is None:
        yield f"no plugin has the namespace '{namespace}'; install the distribution (pip install -e .) and look at `zoo plugins`"
        return
    if plugin.state != "ok":
        yield f"the plugin is {plugin.state}: {plugin.cause}"
        return
    yield from _light_import(plugin)
    checks: dict[str, Callable[[Registry, Item[Any]], Iterator[str]]] = {
        "dataset": _dataset,
        "task": _task,
        "recipe": _recipe,
        "exporter": _exporter,
    }
    if build:
        checks["architecture"] = _architecture
    for kind, check in checks.items():
        for item in catalogue.items(kind, namespace=namespace):
            try:
                yield from (f"{kind} {item.canonical}: {fault}" for fault in check(catalogue, item))
            except ZooError as error:
                yield f"{kind} {item.canonical}: {error}"


def _light_import(plugin: Plugin) -> Iterator[str]:
    code = f"import sys, {plugin.module}; print(*[name for name in ('torch', 'numpy', 'torchvision', 'timm') if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if told.returncode:
        yield f"importing {plugin.module} in a fresh process fails: {(told.stderr.strip().splitlines() or ['no message'])[-1]}"
    elif told.stdout.strip():
        yield f"importing {plugin.module} imports {told.stdout.strip()}; name implementations as 'module:attribute' and import there"


def _architecture(catalogue: Registry, item: Item[ArchitectureSpec]) -> Iterator[str]:
    channels, height, width = item.spec.input
    options = options_model(item)().model_dump()
    model = build_model(catalogue, Section(name=item.canonical, **options), in_channels=channels, num_classes=3, image_size=(height, width))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, channels, height, width, generator=generator)
    model.train()
    logits = model(inputs)
    logits = logits[0] if isinstance(logits, tuple) else logits  # auxiliary outputs come in a named tuple, logits first
    if tuple(logits.shape) != (3, 3):
        yield f"in training mode, three pictures and three classes give {tuple(logits.shape)}, not (3, 3)"
        return
    logits.square().sum().backward()
    idle = [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None]
    if idle:
        yield f"no gradient reaches {', '.join(idle[:5])}"
    if item.spec.head is not None and not isinstance(dict(model.named_modules()).get(item.spec.head), nn.Module):
        yield f"its head '{item.spec.head}' is no module of the network"
    yield from _evaluation_mode(model.eval(), inputs)
    yield from _smallest(catalogue, item, options)


def _evaluation_mode(model: nn.Module, inputs: torch.Tensor) -> Iterator[str]:
    with torch.no_grad():
        first, again, single = model(inputs), model(inputs), model(inputs[:1])
    if not torch.equal(first, again):
        yield "in eval mode the same pictures give different logits"
    if not torch.allclose(first[:1], single, rtol=1e-4, atol=1e-5):
        yield "in eval mode a picture's logits depend on the batch it is in"
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        try:
            save_file({key: value.contiguous().clone() for key, value in before.items()}, file)
            model.load_state_dict(load_file(file))
        except Exception as error:
            yield f"its state does not survive safetensors: {type(error).__name__}: {error}"


def _smallest(catalogue: Registry, item: Item[ArchitectureSpec], options: dict[str, Any]) -> Iterator[str]:
    if item.spec.sizing == "min":
        side = item.spec.smallest
        try:
            build_model(catalogue, Section(name=item.canonical, **options), in_channels=item.spec.input[0], num_classes=3, image_size=(side, side))
        except ZooError as error:
            yield f"says that {side}×{side} is its smallest picture, and cannot take it: {error}"


def _dataset(_: Registry, item: Item[DatasetSpec]) -> Iterator[str]:
    load_object(item.spec.target, item)
    options = options_model(item)().model_dump()
    if not item.spec.embedded:
        return  # opening it would download
    dataset = open_dataset(item, options)
    missing = {"train", "report"} - set(dataset.parts)
    if missing:
        yield f"has no {' and no '.join(sorted(missing))} part"
    if open_dataset(item, options).fingerprint != dataset.fingerprint:
        yield "opened twice, it has two fingerprints"
    for part, name in dataset.parts.items():
        split = dataset.load(name)
        due = tuple(given if side is None else side for side, given in zip(item.spec.shape, split.images.shape[1:], strict=False))
        if split.images.dtype != np.uint8 or split.images.shape[1:] != due:
            yield f"its {part} pictures are {split.images.dtype} {split.images.shape[1:]}, not uint8 {item.spec.shape}"
        if part == "predict":
            continue
        if split.labels is None:
            yield f"its {part} part has no labels"
        elif len(split.labels) != len(split.images) or not set(np.unique(split.labels)) <= set(range(len(item.spec.classes))):
            yield f"its {part} labels are not one of 0…{len(item.spec.classes) - 1} for each picture"


def _task(_: Registry, item: Item[Any]) -> Iterator[str]:
    task = load_object(item.spec.target, item)(**options_model(item)().model_dump())
    lacking = [name for name in TASK_METHODS if not callable(getattr(task, name, None))]
    if lacking:
        yield f"lacks {', '.join(lacking)} (see zoo.api.Task)"
    if not hasattr(task, "monitor") or task.monitor.mode not in ("max", "min"):
        yield "has no monitor: a zoo.api.Monitor naming the metric that picks the best checkpoint"


def _exporter(_: Registry, item: Item[Any]) -> Iterator[str]:
    exporter = load_object(item.spec.target, item)(**options_model(item)().model_dump())
    lacking = [name for name in EXPORTER_METHODS if not callable(getattr(exporter, name, None))]
    if lacking:
        yield f"lacks {', '.join(lacking)} (see zoo.api.Exporter)"


def _recipe(catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    config = resolve(catalogue, item.canonical)
    if item.spec.weights is not None:
        known = catalogue.architecture(config.architecture.name).spec.weights if config.architecture else {}
        if item.spec.weights not in known:
            yield f"ships the weights '{item.spec.weights}', which its architecture does not name"
