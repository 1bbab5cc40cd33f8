"""Whether a task or a solver keeps its contract, tried on a tiny network and random images, for each kind of target
that it accepts."""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import (
    Decision,
    EvaluationResult,
    Evaluator,
    Monitor,
    Output,
    Solver,
    TargetKind,
    Task,
)
from zoo.data.data_loader import Data
from zoo.errors import ZooError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import SAMPLES, dummy_data, dummy_network, dummy_target
from zoo.testing.results import report_findings, result_findings
from zoo.testing.training import SEED, training_findings
from zoo.training.evaluation import evaluate_part
from zoo.training.losses import additivity_fault, piece_loss
from zoo.training.train_state import Learning

CLOSE = 1e-6
"""By which figures of merged evaluators may differ from those of one that has seen everything, as a share."""
DECISIONS = tuple(each for each in Decision.__args__[0].__args__)


def task_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    with torch.random.fork_rng(devices=[]):
        if item.spec.solver is not None:
            yield from _solver_findings(item)
        elif item.spec.target is not None:  # else its adaptations are held to theirs, and its task to its own
            yield from _task_findings(item)


def _task_findings(item: Item[Any]) -> Iterator[Finding]:
    learned = load_object(item.spec.target, item)
    if not (inspect.isclass(learned) and issubclass(learned, Task)):
        yield Finding("class", f"{item.spec.target} is no class derived from zoo.api.Task")
        return
    if not isinstance(getattr(learned, "monitor", None), Monitor):
        yield Finding("class", "monitor is no zoo.api.Monitor")
        return
    if not isinstance(learned.batchwise, bool):
        yield Finding("class", f"batchwise is {learned.batchwise!r}, where True or False is due")
    kinds: tuple[TargetKind, ...] = item.spec.accepts or ("classes",)
    for kind in kinds:
        torch.manual_seed(SEED)
        for check, text in Trial(item, learned, kind).findings():
            yield Finding(check, text if len(item.spec.accepts) < 2 else f"with {kind}: {text}")


def output_of(item: Item[Any]) -> Output:
    """The output that a task needs."""
    return Output(kind=next((kind for kind in item.spec.needs if kind != "features"), "vector"))


def reader_of(item: Item[Any]) -> OutputReader:
    return OutputReader((output_of(item),), "head", "features" in item.spec.needs)


def evaluated(
    task: Task[Any], model: nn.Module, item: Item[Any], data: Data, decision: Decision | None = None
) -> EvaluationResult:
    """The task's evaluation of a network on the test split, by zoo's own loop."""
    return evaluate_part(model, task, decision or task.decision(None), data.part("test"), 5, reader_of(item))


class Trial:
    """A task with one kind of target, on a tiny network."""

    def __init__(self, item: Item[Any], learned: type[Task[Any]], kind: TargetKind) -> None:
        self.item, self.learned, self.kind = item, learned, kind
        self.data, self.options = dummy_data(dummy_target(kind)), options_model(item)()
        self.reader = reader_of(item)
        self.made: list[Task[Any]] = []
        self.kept: dict[str, Any] = {}

    def findings(self) -> Iterator[Finding]:
        yield from guarded("statistics", self._statistics_findings())
        for task in self.made:
            yield from guarded("outputs", self._output_findings(task))
            yield from guarded("loss", self._loss_findings(task))
            yield from guarded("decision", self._decision_findings(task))
            yield from training_findings(self._learning, self.data)

    def _statistics_findings(self) -> Iterator[Finding]:
        """``made`` gets the task, ``kept`` the statistics as a run keeps them."""
        try:
            statistics: object = self.learned.statistics(self.options, self.data.target, self.data.part("train"))
        except ZooError:
            return  # it may refuse data that it cannot work on
        if not isinstance(statistics, Mapping):
            yield Finding("statistics", f"statistics gives {type(statistics).__name__}, where a mapping is due")
            return
        try:
            self.kept = json.loads(json.dumps(dict(statistics)))
        except (TypeError, ValueError) as error:
            yield Finding("statistics", f"its statistics are no JSON: {error}")
            return
        if self.kept != dict(statistics):
            yield Finding("statistics", "its statistics change when they are written as JSON and read again")
        task = self.learned(self.options, self.data.target, self.kept)
        self.made.append(task)
        numbers = [key for key, value in self.kept.items() if _is_numeric(value)]
        for found in task.constants(torch.zeros(1), *numbers) if numbers else ():
            if not isinstance(found, Tensor) or found.dtype != torch.float32:
                yield Finding("statistics", f"constants gives {type(found).__name__}, where float32 tensors are due")

    def _output_findings(self, task: Task[Any]) -> Iterator[Finding]:
        count: object = task.num_outputs()
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            yield Finding("outputs", f"num_outputs gives {count!r}, where a number above 0 is due")

    def _network(self, task: Task[Any]) -> nn.Module:
        return dummy_network(task.num_outputs(), self.reader.main.kind)

    def _learning(self, _resumed: bool) -> tuple[nn.Module, Learning]:
        task = self.learned(self.options, self.data.target, dict(self.kept))
        return self._network(task), Learning(task, self.reader, statistics=dict(self.kept))

    def _loss_findings(self, task: Task[Any]) -> Iterator[Finding]:
        model, batch = self._network(task), next(iter(self.data.part("train").batches(SAMPLES)))
        with self.reader.reading(model, model.train()) as read:
            outputs = read(batch.inputs)
        loss = piece_loss(task, self.reader, outputs, [(1.0, batch)]).mean
        if not bool(loss.isfinite()):
            yield Finding("loss", f"the loss is {loss.item()}, where a finite number is due")
            return
        if not task.batchwise:
            plain = {name: value.detach() for name, value in outputs.items()}
            fault = additivity_fault(task, self.reader, plain, batch)
            if fault is not None:
                text = f"{fault}: each value must be of its sample alone, or the task is `batchwise`"
                yield Finding("per_sample", text)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        if all(parameter.grad is None for parameter in model.parameters()):
            yield Finding("loss", "no gradient of the loss reaches the network")

    def _decision_findings(self, task: Task[Any]) -> Iterator[Finding]:
        model = self._network(task).eval()
        unfitted = task.decision(None)
        if not isinstance(unfitted, DECISIONS):
            yield Finding("decision", f"decision gives {type(unfitted).__name__}, where a zoo.api.Decision is due")
            return
        found: list[EvaluationResult] = []
        yield from guarded("evaluation", self._evaluation_findings(task, model, unfitted, found))
        for result in found:
            decision = task.decision(result)
            if type(decision) is not type(unfitted):
                told = getattr(decision, "kind", type(decision).__name__)
                yield Finding("decision", f"decision gives {told} after validation, and {unfitted.kind} before it")
                return
            if self.data.part("test").targets is not None:
                yield from guarded("merge", self._merge_findings(task, decision, model))
            yield from guarded(
                "report", self._report_findings(task, evaluated(task, model, self.item, self.data, decision))
            )

    def _evaluation_findings(
        self, task: Task[Any], model: nn.Module, decision: Decision, results: list[EvaluationResult]
    ) -> Iterator[Finding]:
        """``results`` gets the result on the test split."""
        if not isinstance(task.evaluator(decision), Evaluator):
            yield Finding("evaluation", "evaluator gives something else than a zoo.api.Evaluator")
            return
        found = evaluated(task, model, self.item, self.data, decision)
        faults = list(result_findings(found, len(self.data.part("test"))))
        yield from faults
        if self.data.part("test").targets is not None and task.monitor.metric not in found.metrics:
            names = ", ".join(found.metrics) or "none"
            yield Finding("evaluation", f"monitor names '{task.monitor.metric}', and the metrics are {names}")
        results += [] if faults else [found]

    def _merge_findings(self, task: Task[Any], decision: Decision, model: nn.Module) -> Iterator[Finding]:
        """Two evaluators that have each seen some batches, merged, against one that has seen them all."""
        whole, first, second = (task.evaluator(decision) for _ in range(3))
        with torch.no_grad(), self.reader.reading(model, model) as read:
            for place, batch in enumerate(self.data.part("test").batches(4)):
                outputs = {name: value.float() for name, value in read(batch.inputs).items()}
                for evaluator in (whole, first if place == 0 else second):
                    evaluator.update(outputs, batch)
        first.merge(second)
        one, other = whole.compute(), first.compute()
        differing = [name for name, value in one.metrics.items() if not _close(value, other.metrics.get(name))]
        differing += [
            name
            for name, column in one.per_sample.items()
            if not np.array_equal(np.asarray(column), np.asarray(other.per_sample.get(name)))
        ]
        if differing:
            text = f"merged evaluators give another {differing[0]} than one that has seen all batches"
            yield Finding("merge", text)

    def _report_findings(self, task: Task[Any], found: EvaluationResult) -> Iterator[Finding]:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "plots").mkdir()
            yield from report_findings(task.report(found, self.data.part("test"), Path(folder)), Path(folder))


def _is_numeric(value: object) -> bool:
    try:
        torch.tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _close(one: float, other: float | None) -> bool:
    return other is not None and bool(np.isclose(one, other, rtol=CLOSE, atol=CLOSE, equal_nan=True))


def _solver_findings(item: Item[Any]) -> Iterator[Finding]:
    kind = load_object(item.spec.solver, item)
    if not (inspect.isclass(kind) and issubclass(kind, Solver)):
        yield Finding("class", f"{item.spec.solver} is no class derived from zoo.api.Solver")
        return
    torch.manual_seed(SEED)
    data = dummy_data(dummy_target(next(iter(item.spec.accepts), "classes")))
    solver, part, found = kind(options_model(item)()), data.part("test"), list[EvaluationResult]()
    yield from guarded("solution", _solution_findings(solver, data, found))
    for result in found:
        faults = list(guarded("evaluation", result_findings(result, len(part))))
        yield from faults
        if not faults:
            yield from guarded("report", _solver_report_findings(solver, result, data))


def solved(solver: Solver[Any], data: Data) -> tuple[EvaluationResult, list[str]]:
    """The result on the test split, and what is wrong with the way to it."""
    plan: object = solver.plan(data)
    model = solver.rebuild(json.loads(json.dumps(plan)))
    before = {name: tensor.shape for name, tensor in model.state_dict().items()}
    faults = [] if isinstance(plan, dict) else [f"plan gives {type(plan).__name__}, where a dict is due"]
    solver.solve(model, data, lambda _text: None)
    if {name: tensor.shape for name, tensor in model.state_dict().items()} != before:
        faults.append(
            "solve gives the module other values than rebuild made places for: the run could not be read again"
        )
    return solver.evaluate(model, data.part("test")), faults


def _solution_findings(solver: Solver[Any], data: Data, results: list[EvaluationResult]) -> Iterator[Finding]:
    """``results`` gets what evaluate gives."""
    found, faults = solved(solver, data)
    yield from (Finding("solution", text) for text in faults)
    results.append(found)


def _solver_report_findings(solver: Solver[Any], result: EvaluationResult, data: Data) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plots").mkdir()
        yield from report_findings(solver.report(result, data.part("test"), Path(folder)), Path(folder))
