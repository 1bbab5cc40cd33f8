"""Whether a task, an adaptation or a solver keeps its contract, tried on a tiny network and random images, for each
kind of target that it accepts.
"""

from __future__ import annotations

import copy
import inspect
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.api import (
    Adaptation,
    AdaptContext,
    Decision,
    EvaluationResult,
    Evaluator,
    Monitor,
    Output,
    ReportItem,
    Solver,
    TargetKind,
    Task,
)
from zoo.data.data_loader import Data
from zoo.errors import ZooError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.reporting.html_page import inside
from zoo.testing.fixtures import SAMPLES, dummy_data, dummy_network
from zoo.training.evaluation import evaluate_part
from zoo.training.losses import additivity_fault, piece_loss

CLOSE = 1e-6
"""By which figures of merged evaluators may differ from those of one that has seen everything, as a share."""


def task_faults(_catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    if item.spec.solver is not None:
        yield from _solver_faults(item)
        return
    if item.spec.target is None:
        return  # its adaptations are held to theirs, and the task that it takes to its own
    learned = load_object(item.spec.target, item)
    if not (inspect.isclass(learned) and issubclass(learned, Task)):
        yield f"{item.spec.target} is no class derived from zoo.api.Task"
        return
    if not isinstance(getattr(learned, "monitor", None), Monitor):
        yield "monitor is no zoo.api.Monitor"
        return
    kinds: tuple[TargetKind, ...] = item.spec.accepts or ("classes",)
    for kind in kinds:
        for fault in _learning_faults(item, learned, kind):
            yield fault if len(item.spec.accepts) < 2 else f"with {kind}: {fault}"


def _learning_faults(item: Item[Any], learned: type[Task[Any]], kind: TargetKind) -> Iterator[str]:
    """statistics → loss → decision → evaluator → report, on a tiny network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data, options = dummy_data(kind), options_model(item)()
        try:
            statistics = learned.statistics(options, data.target, data.part("train"))
        except ZooError:
            return  # it may refuse data it cannot work on
        try:
            kept = json.loads(json.dumps(dict(statistics)))
        except (TypeError, ValueError) as error:
            yield f"its statistics are no JSON: {error}"
            return
        if kept != dict(statistics):
            yield "its statistics change when they are written as JSON and read again"
        task, output = learned(options, data.target, kept), _output_of(item)
        model = dummy_network(data, task.num_outputs(), output.kind)
        reader = OutputReader((output,), "head" if "features" in item.spec.needs else None)
        yield from _loss_faults(task, model, data, reader)
        yield from _evaluation_faults(task, model.eval(), data, reader)


def _output_of(item: Item[Any]) -> Output:
    return Output(kind=next((kind for kind in item.spec.needs if kind != "features"), "vector"))


def _loss_faults(task: Task[Any], model: nn.Module, data: Data, reader: OutputReader) -> Iterator[str]:
    batch = next(iter(data.part("train").batches(SAMPLES)))
    with reader.reading(model, model.train()) as read:
        outputs = read(batch.inputs)
    loss = piece_loss(task, reader, outputs, [(1.0, batch)]).mean
    if not loss.isfinite():
        yield f"the loss is {loss.item()}, where a finite number is due"
        return
    if not task.batchwise:
        fault = additivity_fault(task, reader, {name: value.detach() for name, value in outputs.items()}, batch)
        if fault is not None:
            yield f"{fault}: each value must be of its sample alone, or the task is `batchwise`"
    loss.backward()  # type: ignore[no-untyped-call]
    if not any(parameter.grad is not None for parameter in model.parameters()):
        yield "no gradient of the loss reaches the network"


def _evaluation_faults(task: Task[Any], model: nn.Module, data: Data, reader: OutputReader) -> Iterator[str]:
    part = data.part("test")
    unfitted = task.decision(None)
    if not isinstance(unfitted, _DECISIONS):
        yield f"decision gives {type(unfitted).__name__}, where a zoo.api.Decision is due"
        return
    if not isinstance(task.evaluator(unfitted), Evaluator):
        yield "evaluator gives something else than a zoo.api.Evaluator"
        return
    found = evaluate_part(model, task, unfitted, part, 5, reader)
    yield from result_faults(found, len(part))
    if task.monitor.metric not in found.metrics:
        yield f"monitor names '{task.monitor.metric}', and the metrics are {', '.join(found.metrics) or 'none'}"
    decision = task.decision(found)
    if type(decision) is not type(unfitted):
        yield f"decision gives {decision.kind} after validation, and {unfitted.kind} before it"
    yield from _merge_faults(task, decision, model, data, reader)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plots").mkdir()
        yield from exhibit_faults(task.report(found, part, Path(folder)), Path(folder))


def _merge_faults(
    task: Task[Any], decision: Decision, model: nn.Module, data: Data, reader: OutputReader
) -> Iterator[str]:
    """Two evaluators that have each seen some batches, merged, against one that has seen them all."""
    whole, first, second = (task.evaluator(decision) for _ in range(3))
    with torch.no_grad(), reader.reading(model, model) as read:
        for place, batch in enumerate(data.part("test").batches(4)):
            outputs = {name: value.float() for name, value in read(batch.inputs).items()}
            for evaluator in (whole, first if place == 0 else second):
                evaluator.update(outputs, batch)
    first.merge(second)
    one, other = whole.compute(), first.compute()
    differing = [
        name
        for name, value in one.metrics.items()
        if not np.isclose(value, other.metrics.get(name, np.nan), rtol=CLOSE, atol=CLOSE, equal_nan=True)
    ]
    differing += [
        name
        for name, column in one.per_sample.items()
        if not np.array_equal(np.asarray(column), np.asarray(other.per_sample.get(name)))
    ]
    if differing:
        yield f"merged evaluators give another {differing[0]} than one that has seen all batches"


_DECISIONS = tuple(each for each in Decision.__args__[0].__args__)


def result_faults(found: object, samples: int) -> Iterator[str]:
    if not isinstance(found, EvaluationResult):
        yield f"evaluation gives {type(found).__name__}, where zoo.api.EvaluationResult is due"
        return
    wrong = [name for name, value in found.metrics.items() if not isinstance(value, float)]
    if wrong:
        yield f"metrics are floats, and {', '.join(wrong)} is not"
    short = [name for name, column in found.per_sample.items() if len(column) != samples]
    if short:
        yield f"per_sample has {len(found.per_sample[short[0]])} values of {short[0]} for {samples} samples"
    json.dumps(dict(found.details))


def exhibit_faults(shown: object, folder: Path) -> Iterator[str]:
    if not (isinstance(shown, Sequence) and all(isinstance(each, ReportItem) for each in shown)):
        yield "report gives something else than a sequence of zoo.api.ReportItem"
        return
    for each in shown:
        if inside(folder, each.file) is None:
            yield f"report shows '{each.file}', which is no .png or .csv that it wrote"


def adaptation_faults(_catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    """adapt → rebuild from its JSON → the hooks of training, on a tiny network."""
    kind = load_object(item.spec.target, item)
    if not (inspect.isclass(kind) and issubclass(kind, Adaptation)):
        yield f"{item.spec.target} is no class derived from zoo.api.Adaptation"
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data, options = dummy_data("classes"), options_model(item)()
        plain = dummy_network(data, len(data.classes), "vector")
        context = AdaptContext(
            data, "head", lambda _model, _part: EvaluationResult({"accuracy": 0.5}), lambda _text: None
        )
        adaptation = kind(options)
        try:
            model, made = adaptation.adapt(copy.deepcopy(plain), context)
        except ZooError:
            return  # it may refuse a network it cannot work on
        yield from _rebuilding_faults(kind(options), plain, model, made)
        yield from _training_faults(adaptation, model)
        yield from _resuming_faults(kind(options), plain, context, made)


def _rebuilding_faults(
    adaptation: Adaptation[Any], plain: nn.Module, model: nn.Module, made: dict[str, Any]
) -> Iterator[str]:
    try:
        kept = json.loads(json.dumps(made))
    except (TypeError, ValueError) as error:
        yield f"adapt says what it did in a form that is no JSON: {error}"
        return
    rebuilt = adaptation.rebuild(copy.deepcopy(plain), kept)
    if _shapes(rebuilt) != _shapes(model):
        yield "rebuild gives other parameters than adapt did"
    elif _learning(rebuilt) != _learning(model):
        yield "after rebuild other parameters learn than after adapt"


def _resuming_faults(
    adaptation: Adaptation[Any], plain: nn.Module, context: AdaptContext, made: dict[str, Any]
) -> Iterator[str]:
    _, again = adaptation.resume(copy.deepcopy(plain), context, json.loads(json.dumps(made)))
    if json.loads(json.dumps(again)) != json.loads(json.dumps(made)):
        yield "resume makes another change than adapt did"


def _training_faults(adaptation: Adaptation[Any], model: nn.Module) -> Iterator[str]:
    if not adaptation.trains:
        return
    names = {name for name, _ in model.named_parameters()}
    frozen = names - set(_learning(model))
    strange = set(adaptation.lr_multipliers(model)) - names
    if strange:
        yield f"lr_multipliers names '{min(strange)}', which is no parameter of the network"
    adaptation.on_epoch_start(model, 0)
    adaptation.configure_train_mode(model.train())
    thawed = frozen & set(_learning(model))
    if thawed:
        yield f"on_epoch_start makes '{min(thawed)}' learn, which adapt froze"
    if not _learning(model):
        yield "nothing learns, and `trains` says that the network is trained"


def _solver_faults(item: Item[Any]) -> Iterator[str]:
    kind = load_object(item.spec.solver, item)
    if not (inspect.isclass(kind) and issubclass(kind, Solver)):
        yield f"{item.spec.solver} is no class derived from zoo.api.Solver"
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data, solver = dummy_data(next(iter(item.spec.accepts), "classes")), kind(options_model(item)())
        solution = json.loads(json.dumps(solver.plan(data)))
        model = solver.rebuild(solution)
        before = _shapes(model)
        solver.solve(model, data, lambda _text: None)
        if _shapes(model) != before:
            yield "solve gives the module other values than rebuild made places for: the run could not be read again"
        part = data.part("test")
        found = solver.evaluate(model, part)
        yield from result_faults(found, len(part))
        if isinstance(found, EvaluationResult):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "plots").mkdir()
                yield from exhibit_faults(solver.report(found, part, Path(folder)), Path(folder))


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _learning(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def exporter_faults(_catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    exporter = load_object(item.spec.target, item)(options_model(item)())
    missing = [
        name for name in ("emit", "check", "runner", "first_mismatch") if not callable(getattr(exporter, name, None))
    ]
    if missing:
        yield f"lacks {', '.join(missing)} (see zoo.api.Exporter)"
