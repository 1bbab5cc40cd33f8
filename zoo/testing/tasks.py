"""Checks of tasks and solvers, on a tiny network and random images, for each accepted kind of target."""

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
"""Relative tolerance between merged evaluators and a single one."""
DECISIONS = tuple(each for each in Decision.__args__[0].__args__)


def task_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    with torch.random.fork_rng(devices=[]):
        if item.spec.solver is not None:
            yield from _solver_findings(item)
        elif item.spec.target is not None:  # the checks of adaptations and of the default task cover the others
            yield from _task_findings(item)


def _task_findings(item: Item[Any]) -> Iterator[Finding]:
    learned = load_object(item.spec.target, item)
    if not (inspect.isclass(learned) and issubclass(learned, Task)):
        yield Finding("class", f"{item.spec.target} is not a subclass of zoo.api.Task")
        return
    if not isinstance(getattr(learned, "monitor", None), Monitor):
        yield Finding("class", "monitor is not a zoo.api.Monitor")
        return
    if not isinstance(learned.batchwise, bool):
        yield Finding("class", f"batchwise is {learned.batchwise!r}, expected True or False")
    kinds: tuple[TargetKind, ...] = item.spec.accepts or ("classes",)
    for kind in kinds:
        torch.manual_seed(SEED)
        for check, text in Trial(item, learned, kind).findings():
            yield Finding(check, text if len(item.spec.accepts) < 2 else f"with {kind}: {text}")


def output_of(item: Item[Any]) -> Output:
    """Return the output that the task needs."""
    return Output(kind=next((kind for kind in item.spec.needs if kind != "features"), "vector"))


def reader_of(item: Item[Any]) -> OutputReader:
    return OutputReader((output_of(item),), "head", "features" in item.spec.needs)


def evaluated(
    task: Task[Any], model: nn.Module, item: Item[Any], data: Data, decision: Decision | None = None
) -> EvaluationResult:
    """Return the task's evaluation of a network on the test split, by zoo's evaluation loop."""
    return evaluate_part(model, task, decision or task.decision(None), data.part("test"), 5, reader_of(item))


class Trial:
    """The checks of a task with one kind of target, on a tiny network."""

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
        """Set ``made`` to the task and ``kept`` to its statistics as a run stores them."""
        try:
            statistics: object = self.learned.statistics(self.options, self.data.target, self.data.part("train"))
        except ZooError:
            return  # a task may refuse data that it does not support
        if not isinstance(statistics, Mapping):
            yield Finding("statistics", f"statistics returns {type(statistics).__name__}, expected a mapping")
            return
        try:
            self.kept = json.loads(json.dumps(dict(statistics)))
        except (TypeError, ValueError) as error:
            yield Finding("statistics", f"its statistics are not JSON: {error}")
            return
        if self.kept != dict(statistics):
            yield Finding("statistics", "its statistics change when written as JSON and read back")
        task = self.learned(self.options, self.data.target, self.kept)
        self.made.append(task)
        numbers = [key for key, value in self.kept.items() if _is_numeric(value)]
        for found in task.constants(torch.zeros(1), *numbers) if numbers else ():
            if not isinstance(found, Tensor) or found.dtype != torch.float32:
                yield Finding("statistics", f"constants returns {type(found).__name__}, expected float32 tensors")

    def _output_findings(self, task: Task[Any]) -> Iterator[Finding]:
        count: object = task.num_outputs()
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            yield Finding("outputs", f"num_outputs returns {count!r}, expected an integer above 0")

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
            yield Finding("loss", f"the loss is {loss.item()}, expected a finite number")
            return
        if not task.batchwise:
            plain = {name: value.detach() for name, value in outputs.items()}
            fault = additivity_fault(task, self.reader, plain, batch)
            if fault is not None:
                text = f"{fault}: each value must depend on its sample only; otherwise set batchwise"
                yield Finding("per_sample", text)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        if all(parameter.grad is None for parameter in model.parameters()):
            yield Finding("loss", "no gradient of the loss reaches the network")

    def _decision_findings(self, task: Task[Any]) -> Iterator[Finding]:
        model = self._network(task).eval()
        unfitted = task.decision(None)
        if not isinstance(unfitted, DECISIONS):
            yield Finding("decision", f"decision returns {type(unfitted).__name__}, expected a zoo.api.Decision")
            return
        found: list[EvaluationResult] = []
        yield from guarded("evaluation", self._evaluation_findings(task, model, unfitted, found))
        for result in found:
            decision = task.decision(result)
            if type(decision) is not type(unfitted):
                fitted = getattr(decision, "kind", type(decision).__name__)
                yield Finding("decision", f"decision returns {fitted} with val, but {unfitted.kind} without")
                return
            if self.data.part("test").targets is not None:
                yield from guarded("merge", self._merge_findings(task, decision, model))
            yield from guarded(
                "report", self._report_findings(task, evaluated(task, model, self.item, self.data, decision))
            )

    def _evaluation_findings(
        self, task: Task[Any], model: nn.Module, decision: Decision, results: list[EvaluationResult]
    ) -> Iterator[Finding]:
        """Append the result on the test split to ``results``."""
        if not isinstance(task.evaluator(decision), Evaluator):
            yield Finding("evaluation", "evaluator must return a zoo.api.Evaluator")
            return
        found = evaluated(task, model, self.item, self.data, decision)
        faults = list(result_findings(found, len(self.data.part("test"))))
        yield from faults
        if self.data.part("test").targets is not None and task.monitor.metric not in found.metrics:
            names = ", ".join(found.metrics) or "none"
            yield Finding("evaluation", f"monitor names '{task.monitor.metric}', but the metrics are {names}")
        results += [] if faults else [found]

    def _merge_findings(self, task: Task[Any], decision: Decision, model: nn.Module) -> Iterator[Finding]:
        """Compare two merged evaluators, each with part of the batches, with one that has seen all batches."""
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
            text = f"{differing[0]} differs between merged evaluators and one that has seen all batches"
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
        yield Finding("class", f"{item.spec.solver} is not a subclass of zoo.api.Solver")
        return
    torch.manual_seed(SEED)
    data = dummy_data(dummy_target(next(iter(item.spec.accepts), "classes")), tested=3)  # a report may draw each
    solver, part, found = kind(options_model(item)()), data.part("test"), list[EvaluationResult]()
    yield from guarded("solution", _solution_findings(solver, data, found))
    for result in found:
        faults = list(guarded("evaluation", result_findings(result, len(part))))
        yield from faults
        if not faults:
            yield from guarded("report", _solver_report_findings(solver, result, data))


def solved(solver: Solver[Any], data: Data) -> tuple[EvaluationResult, list[str]]:
    """Return the result on the test split, and the faults of `plan` and `solve`."""
    plan: object = solver.plan(data)
    model = solver.rebuild(json.loads(json.dumps(plan)))
    before = {name: tensor.shape for name, tensor in model.state_dict().items()}
    faults = [] if isinstance(plan, dict) else [f"plan returns {type(plan).__name__}, expected dict"]
    solver.solve(model, data, lambda _text: None)
    if {name: tensor.shape for name, tensor in model.state_dict().items()} != before:
        faults.append(
            "solve changes the names or shapes of the module's state_dict from those of rebuild: zoo could not load "
            "the run"
        )
    return solver.evaluate(model, data.part("test")), faults


def _solution_findings(solver: Solver[Any], data: Data, results: list[EvaluationResult]) -> Iterator[Finding]:
    """Append the result of `evaluate` to ``results``."""
    found, faults = solved(solver, data)
    yield from (Finding("solution", text) for text in faults)
    results.append(found)


def _solver_report_findings(solver: Solver[Any], result: EvaluationResult, data: Data) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "plots").mkdir()
        yield from report_findings(solver.report(result, data.part("test"), Path(folder)), Path(folder))
