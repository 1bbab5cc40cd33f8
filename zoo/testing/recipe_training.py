"""Checks of a recipe's training configuration: optimizer, schedule, metrics, and the metric of ``expected``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zoo.api import EvaluationResult
from zoo.contract.targets import Classes, MultiLabel, Target
from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.runs.plan import RunPlan
from zoo.runs.plugin_metrics import build_metrics, find_metrics
from zoo.runs.resolve_config import resolve
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import dummy_data, dummy_network, dummy_target
from zoo.testing.recipes import plan_findings, weights_findings
from zoo.testing.tasks import evaluated, output_of, solved
from zoo.training.optimizers import build_optimizer, build_schedule

STEPS = 3
"""The number of steps per epoch for which a schedule is built."""


def recipe_findings(
    catalogue: Registry, item: Item[Any], known: dict[object, Sequence[str]] | None = None
) -> Iterator[Finding]:
    """``known`` caches the metrics of tasks between recipes."""
    try:
        plan = resolve(catalogue, item.canonical)
    except ZooError:
        yield from plan_findings(catalogue, item)
        return
    yield from weights_findings(item, plan)
    model, train = dummy_network(3, "vector"), plan.config.train
    target = _target(plan)
    if plan.task.learned is not None:
        yield from guarded("optimizer", _built(build_optimizer, model, train))
        plain = build_optimizer(model, train.model_copy(update={"optimizer": "sgd", "optimizer_options": {}}))
        yield from guarded("schedule", _built(build_schedule, plain, train, STEPS))
        yield from guarded("metrics", _built(build_metrics, catalogue, train.metrics, target))
    if item.spec.expected is not None:
        more = list(find_metrics(catalogue, train.metrics, target.kind))
        names = {} if known is None else known
        yield from guarded("expected", _expected_findings(item.spec.expected.metric, plan, target, more, names))


def _built(build: Any, *arguments: Any) -> Iterator[Finding]:
    """Call ``build``; its exceptions become findings."""
    build(*arguments)
    yield from ()


def _target(plan: RunPlan) -> Target:
    """Return a target of the dataset's kind, with the class names of the spec if it has them."""
    target = dummy_target(plan.dataset.spec.targets[0])
    if isinstance(target, Classes | MultiLabel):
        names = plan.classes or tuple("0123456789")  # enough for metrics of the first few classes
        return target.model_copy(update={"names": names})
    return target


def _expected_findings(
    metric: str, plan: RunPlan, target: Target, more: Sequence[str], known: dict[object, Sequence[str]]
) -> Iterator[Finding]:
    key = (plan.task.learned or plan.task.task).canonical, target
    if key not in known:
        known[key] = _metrics_found(plan, target)
    names = [*known[key], *more]
    if metric not in names:
        yield Finding(
            "expected", f"expected names the metric '{metric}', but the metrics are {', '.join(names) or 'none'}"
        )


def _metrics_found(plan: RunPlan, target: Target) -> Sequence[str]:
    """Return the metric names of the plan's task with its default options, computed on small data."""
    data = dummy_data(target)
    if plan.task.learned is None:
        solver = load_object(str(plan.task.task.spec.solver), plan.task.task)
        found: EvaluationResult = solved(solver(options_model(plan.task.task)()), data)[0]
        return list(found.metrics)
    item = plan.task.learned
    learned, options = load_object(str(item.spec.target), item), options_model(item)()
    task = learned(options, data.target, learned.statistics(options, data.target, data.part("train")))
    return list(evaluated(task, dummy_network(task.num_outputs(), output_of(item).kind), item, data).metrics)
