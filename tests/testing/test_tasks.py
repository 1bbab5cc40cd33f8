"""The conformance kit on tasks and solvers: each way to break their contract is named by its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

TASK = """
from zoo.api import TaskSpec, hookimpl

@hookimpl
def zoo_register_tasks():
    parts = dict(target="zoo_odd_parts:Odd", options="zoo_tasks.options:ClassificationOptions")
    return [TaskSpec(name="task", summary="x", **parts{more})]
"""
ODD = """
import os
import torch
from zoo.api import EvaluationResult, Evaluator, Loss, Monitor, Raw, ReportItem, Sigmoid
from zoo_tasks.classification import Classification
from zoo_tasks.metrics import ClassificationEvaluator
{before}

class Odd(Classification):
    {twist}
"""
SOLVER = """
from zoo.api import TaskSpec, hookimpl

@hookimpl
def zoo_register_tasks():
    return [TaskSpec(name="task", summary="x", solver="zoo_odd_parts:Odd")]
"""
SOLUTION = """
import torch
from torch import nn
from zoo.api import EvaluationResult, ReportItem, Solver

class Mean(Solver):
    def plan(self, data):
        return {"sides": [1, 8, 8]}

    def rebuild(self, solution):
        model = nn.Module()
        model.register_buffer("mean", torch.zeros(solution["sides"]))
        return model

    def solve(self, model, data, print):
        model.mean.copy_(next(data.parts["train"].batches(12)).inputs.mean(0))
        print("done")

    def evaluate(self, model, part):
        return EvaluationResult({"mean": float(model.mean.mean())})

class Odd(Mean):
    {twist}
"""


def task(more: str = "") -> str:
    return TASK.replace("{more}", more)


def odd_task(twist: str, before: str = "") -> str:
    return ODD.replace("{twist}", twist.replace("\n", "\n    ")).replace("{before}", before)


def solution(twist: str) -> str:
    return SOLUTION.replace("{twist}", twist)


def test_a_sound_task_has_no_faults(odd: Odd) -> None:
    assert odd(task(', accepts=("classes",)'), odd_task("pass")) == []


def test_a_sound_solver_has_no_faults(odd: Odd) -> None:
    assert odd(SOLVER, solution("pass")) == []


VALUES = "value = torch.nn.functional.cross_entropy(outputs['output'], batch.targets, reduction='none')"
PAIRS = f"def loss(self, outputs, batch):\n    {VALUES}\n    return Loss(value.mean().expand(len(value)) ** 2)"
COUNTED = """
class Counting(ClassificationEvaluator):
    seen = 0

    def update(self, outputs, batch):
        super().update(outputs, batch)
        self.seen += 1

    def compute(self):
        found = super().compute()
        return EvaluationResult({**found.metrics, "batches": float(self.seen)}, found.per_sample, found.details)
"""
TOTAL = """
class Total(ClassificationEvaluator):
    def __init__(self, classes, task):
        super().__init__(classes)
        task.evaluations = getattr(task, "evaluations", 0) + 1
        self.count = float(task.evaluations)

    def compute(self):
        found = super().compute()
        return EvaluationResult({**found.metrics, "count": self.count}, found.per_sample, found.details)
"""
REVERSED = """
class Reversed(ClassificationEvaluator):
    def merge(self, other):
        columns = {name: [*other._columns[name], *column] for name, column in self._columns.items()}
        super().merge(other)
        self._columns = columns
"""


@pytest.mark.parametrize(
    ("parts", "check", "fault"),
    [
        ("class Odd: pass", "class", "zoo_odd_parts:Odd is not a subclass of zoo.api.Task"),
        (odd_task("monitor = None"), "class", "monitor is not a zoo.api.Monitor"),
        (
            odd_task("monitor = Monitor('f1', 'max')"),
            "evaluation",
            "monitor names 'f1', but the metrics are accuracy, macro_f1, calibration_error, loss",
        ),
        (
            odd_task("@classmethod\ndef statistics(cls, *_):\n    return {'names': {1, 2}}"),
            "statistics",
            "its statistics are not JSON",
        ),
        (
            odd_task("@classmethod\ndef statistics(cls, *_):\n    return [1.0]"),
            "statistics",
            "statistics returns list, expected a mapping",
        ),
        (
            odd_task("@classmethod\ndef statistics(cls, *_):\n    return {1: 2.0}"),
            "statistics",
            "its statistics change when written as JSON and read back",
        ),
        (
            odd_task(
                "@classmethod\ndef statistics(cls, *_):\n    return {'scale': 2.0}\n"
                "def constants(self, like, *keys):\n    return tuple(self.stats[key] for key in keys)"
            ),
            "statistics",
            "constants returns float, expected float32 tensors",
        ),
        (odd_task("def num_outputs(self): return 3.0"), "outputs", "num_outputs returns 3.0"),
        (odd_task("def num_outputs(self): raise RuntimeError('none')"), "outputs", "raised RuntimeError: none"),
        # a loss that is not per sample
        (
            odd_task("def loss(self, outputs, batch): return outputs['output'].mean()"),
            "loss",
            "the task's loss is Tensor, expected a zoo.api.Loss with one value per sample",
        ),
        (
            odd_task("def loss(self, outputs, batch): return Loss(outputs['output'])"),
            "loss",
            "expected one value per sample: (12,)",
        ),
        (
            odd_task(PAIRS),
            "per_sample",
            "each value must depend on its sample only; otherwise set batchwise",
        ),
        (
            odd_task("def loss(self, outputs, batch): return Loss(outputs['output'].sum(1) * float('nan'))"),
            "loss",
            "the loss is nan, expected a finite number",
        ),
        (
            odd_task("def loss(self, outputs, batch): return Loss(outputs['output'].detach().sum(1))"),
            "loss",
            "no gradient of the loss reaches the network",
        ),
        # evaluators
        (
            odd_task("def evaluator(self, decision): return {}"),
            "evaluation",
            "evaluator must return a zoo.api.Evaluator",
        ),
        (
            odd_task("def evaluator(self, decision): return Counting(3)", COUNTED),
            "merge",
            "batches differs between merged evaluators and one that has seen all batches",
        ),
        (
            odd_task("def evaluator(self, decision): return Reversed(3)", REVERSED),
            "merge",
            "prediction differs between merged evaluators and one that has seen all batches",
        ),
        (
            odd_task(
                "def evaluator(self, decision): return Other(3)",
                "class Other(ClassificationEvaluator):\n"
                "    def compute(self): return EvaluationResult({'accuracy': 1})",
            ),
            "evaluation",
            "metrics must be floats: accuracy is not",
        ),
        (
            odd_task(
                "def evaluator(self, decision): return Other(3)",
                "class Other(ClassificationEvaluator):\n"
                "    def compute(self): return EvaluationResult({'accuracy': 1.0}, {'rank': [1, 2]})",
            ),
            "evaluation",
            "per_sample has 2 values of rank, expected 12",
        ),
        (
            odd_task(
                "def evaluator(self, decision): return Other(3)",
                "class Other(ClassificationEvaluator):\n"
                "    def compute(self): return EvaluationResult({'accuracy': 1.0}, details={'a': {1}})",
            ),
            "evaluation",
            "details is not JSON",
        ),
        (
            odd_task("def decision(self, val): return 'softmax'"),
            "decision",
            "decision returns str, expected a zoo.api.Dec",
        ),
        (
            odd_task("def decision(self, val): return super().decision(val) if val is None else Raw()"),
            "decision",
            "decision returns raw with val, but softmax without",
        ),
        (
            odd_task("def report(self, *_): return ['plots/a.png']"),
            "report",
            "report must return a sequence of zoo.api.ReportItem",
        ),
        (
            odd_task("def report(self, *_): return [ReportItem('A', '../a.png')]"),
            "report",
            "report returns '../a.png', which is not a .png or .csv file that it wrote",
        ),
        # training and exact resume
        (
            odd_task("def loss(self, outputs, batch): return Loss(0 * outputs['output'].sum(1))"),
            "training",
            "2 epochs of training change no parameter",
        ),
        (
            odd_task(
                "steps = 0\n"
                "def loss(self, outputs, batch):\n"
                f"    {VALUES}\n"
                "    self.steps += outputs['output'].requires_grad\n"
                "    return Loss(value * (1 + self.steps) * torch.arange(1.0, 4.0)[batch.targets])"
            ),
            "resume",
            "differs between a resumed and an uninterrupted training",
        ),
        (
            odd_task("def evaluator(self, decision): return Total(3, self)", TOTAL),
            "resume",
            "val_count differs between a resumed and an uninterrupted training",
        ),
        # changed global state, and what would end the command
        (
            odd_task(
                "def decision(self, val):\n    os.environ['OMP_NUM_THREADS'] = '9'\n    return super().decision(val)"
            ),
            "global_state",
            "changed environment variables",
        ),
        (odd_task("def decision(self, val): raise SystemExit(0)"), "decision", "raised SystemExit: 0"),
    ],
)
def test_each_fault_is_named(odd: Odd, parts: str, check: str, fault: str) -> None:
    found = odd(task(), parts)
    assert any(fault in line and line.check == f"task/task/{check}" for line in found), found


def test_a_loss_over_pairs_is_taken_where_the_task_says_so(odd: Odd) -> None:
    assert odd(task(), odd_task(f"batchwise = True\n{PAIRS}")) == []


def test_a_fault_says_the_kind_of_target_it_was_found_with(odd: Odd) -> None:
    """The loss of classes cannot be computed of values."""
    found = odd(task(', accepts=("classes", "values")'), odd_task("pass"))
    assert found and all("with values: " in line for line in found)


@pytest.mark.parametrize(
    ("twist", "check", "fault"),
    [
        ("def plan(self, data): return {'sides': {8}}", "solution", "raised TypeError"),
        ('def plan(self, data): return (("sides", 8),)', "solution", "raised TypeError"),
        (
            "def solve(self, model, data, print): model.register_buffer('more', torch.zeros(3))",
            "solution",
            "solve changes the names or shapes of the module's state_dict from those of rebuild",
        ),
        ("def evaluate(self, model, part): return 3.0", "evaluation", "evaluation returns float, expected"),
        ("def report(self, *_): return [1]", "report", "report must return a sequence of"),
        ("def rebuild(self, solution): raise KeyError('rank')", "solution", "raised KeyError: 'rank'"),
    ],
)
def test_each_fault_of_a_solver_is_named(odd: Odd, twist: str, check: str, fault: str) -> None:
    found = odd(SOLVER, solution(twist))
    assert any(fault in line and line.check == f"task/task/{check}" for line in found), found


def test_a_solver_is_a_solver(odd: Odd) -> None:
    found = odd(SOLVER, "class Odd: pass")
    assert [line.check for line in found] == ["task/task/class"] and "is not a subclass of zoo.api.Solver" in found[0]
