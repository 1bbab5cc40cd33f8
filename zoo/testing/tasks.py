"""Whether a task keeps its protocol, tried on a tiny network and random pictures; and what an exporter must have."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import Auxiliary, Batch, Evaluation, Monitor, ReportItem, Split, Task
from zoo.data.data_loader import Data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry, load_object
from zoo.reporting.html_page import inside
from zoo.testing.options import default_options
from zoo.training.closed_form import in_closed_form
from zoo.training.losses import additivity_fault, piece_loss

SHAPE, CLASSES, SAMPLES = (1, 8, 8), ("round", "square", "other"), 12
METHODS = ("prepare", "restructure", "evaluate", "report")


def task_faults(_catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    task = load_object(item.spec.target, item)(**default_options(item))
    missing = [name for name in METHODS if not callable(getattr(task, name, None))]
    if not callable(getattr(task, "loss", None)) and not in_closed_form(task):
        missing.append("loss, or fit where there is nothing to train")
    if missing:
        yield f"lacks {', '.join(missing)} (see zoo.api.Task)"
    if not isinstance(getattr(task, "monitor", None), Monitor):
        yield "monitor is no zoo.api.Monitor"
    elif not missing:
        yield from _protocol_faults(task, on_network=item.spec.needs_architecture)


def _protocol_faults(task: Task, *, on_network: bool) -> Iterator[str]:
    """prepare → loss, fit → evaluate → report, and restructure from the JSON that prepare gave."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain, data = _network() if on_network else nn.Module(), _data()
        try:
            model, structure = task.prepare(copy.deepcopy(plain), data)
        except ZooError:
            return  # it may refuse a network it cannot work on
        rebuilt = task.restructure(copy.deepcopy(plain), json.loads(json.dumps(structure)))
        if _shapes(rebuilt) != _shapes(model):
            yield "restructure(structure) gives other parameters than prepare did"
        if hasattr(task, "loss"):
            yield from _loss_faults(task, model, data)
        if in_closed_form(task):
            yield from _solving_faults(task, model, data)
        yield from _evaluation_faults(task, model.eval(), data, on_network=on_network)


def _loss_faults(task: Task, model: nn.Module, data: Data) -> Iterator[str]:
    batch = next(data.part("train").batches(SAMPLES))
    given = task.loss(model.train()(batch.inputs), batch)
    if isinstance(given, Tensor) and given.ndim != 0:
        yield f"the loss is {tuple(given.shape)}, where a zoo.api.Loss, or one finite number, is due"
        return
    loss = piece_loss(task, Auxiliary(model(batch.inputs), ()), [(1.0, batch)]).mean
    if not loss.isfinite():
        yield f"the loss is {loss.item()}, where a finite number is due"
        return
    with torch.no_grad():
        fault = additivity_fault(task, model(batch.inputs), batch)
    if fault is not None:
        yield f"{fault}: give values and weights of the samples (zoo.api.Loss), or batches cannot be taken in pieces"
    loss.backward()  # type: ignore[no-untyped-call]
    if not any(parameter.grad is not None for parameter in model.parameters()):
        yield "no gradient of the loss reaches the model"


def _solving_faults(task: Task, model: nn.Module, data: Data) -> Iterator[str]:
    before = _shapes(model)
    task.fit(model, data, lambda _told: None)  # type: ignore[attr-defined]  # a method that tasks may have
    if _shapes(model) != before:
        yield "fit gives the model other parameters than prepare did, so that a run of it could not be read again"


def _evaluation_faults(task: Task, model: nn.Module, data: Data, *, on_network: bool) -> Iterator[str]:
    part = data.part("test")
    with torch.no_grad():
        batches: list[Batch] = list(part.batches(5))
        found = task.evaluate(model, batches, data.classes)
    if not isinstance(found, Evaluation):
        yield f"evaluate gives {type(found).__name__}, where zoo.api.Evaluation is due"
        return
    if task.monitor.metric not in found.metrics:
        yield f"monitor names '{task.monitor.metric}', and the metrics are {', '.join(found.metrics) or 'none'}"
    wrong = [name for name, value in found.metrics.items() if not isinstance(value, float)]
    if wrong:
        yield f"metrics are floats, and {', '.join(wrong)} is not"
    if on_network and (found.outputs.shape != (SAMPLES, len(CLASSES)) or found.outputs.dtype != np.float32):
        yield f"outputs are {found.outputs.dtype} {found.outputs.shape}, where float32 {(SAMPLES, len(CLASSES))} is due"
    json.dumps(dict(found.details))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plots").mkdir()
        yield from _exhibit_faults(task.report(found, part, data.classes, Path(folder)), Path(folder))


def _exhibit_faults(shown: object, folder: Path) -> Iterator[str]:
    if shown is not None and not (isinstance(shown, Sequence) and all(isinstance(each, ReportItem) for each in shown)):
        yield "report gives something else than zoo.api.Exhibits, or nothing"
        return
    for each in shown or ():
        if inside(folder, each.file) is None:
            yield f"report shows '{each.file}', which is no .png or .csv that it wrote"


def _network() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SHAPE[0] * SHAPE[1] * SHAPE[2], 5), nn.ReLU(), nn.Linear(5, len(CLASSES))
    )


def _data() -> Data:
    random = np.random.RandomState(0)
    split = Split(random.randint(0, 256, (SAMPLES, *SHAPE)).astype(np.uint8), np.arange(SAMPLES) % len(CLASSES))
    preprocessing = Preprocessing(channels=1, height=SHAPE[1], width=SHAPE[2], mean=(0.5,), std=(0.25,))
    part = LoadedPart(split, preprocessing, torch.device("cpu"))
    return Data("testing/noise", CLASSES, {"train": part, "test": part}, preprocessing, "testing", ())


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def exporter_faults(_catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    exporter = load_object(item.spec.target, item)(**default_options(item))
    missing = [
        name for name in ("emit", "check", "runner", "first_mismatch") if not callable(getattr(exporter, name, None))
    ]
    if missing:
        yield f"lacks {', '.join(missing)} (see zoo.api.Exporter)"
