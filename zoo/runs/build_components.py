"""Build the components of a plan: task, adaptations, solver and network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from zoo.api import Adaptation, ArchitectureSpec, Options, PartView, Solver, Target, Task
from zoo.config.run_config import RunConfig
from zoo.data.preprocessing import Preprocessing
from zoo.errors import PluginError, report_to
from zoo.models.building import build_model
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import Item, Registry, calls_of, load_object
from zoo.runs.plan import RunPlan
from zoo.runs.task_plan import TaskPlan, refused_target


def build_task(plan: RunPlan, target: Target, statistics: Mapping[str, Any]) -> Task[Any]:
    """Build the task for a dataset with this target. Raises UsageError if the task does not accept it."""
    return build_learned(plan.task, plan.config, target, statistics)


def build_learned(plan: TaskPlan, config: RunConfig, target: Target, statistics: Mapping[str, Any]) -> Task[Any]:
    """Like `build_task`, of a model whose dataset need not be installed."""
    item = plan.learned
    if item is None:
        raise TypeError(f"{plan.label} has no training task")
    accepted = item.spec.accepts
    if accepted and target.kind not in accepted:
        raise refused_target(plan.task, config.dataset.name.rpartition("/")[2], (target.kind,), accepted)
    with calls_of([item], "its construction"):
        task: Task[Any] = _class_of(item, item.spec.target, Task)(plan.learned_options(config.task), target, statistics)
    return task


def statistics_of(plan: RunPlan, target: Target, train: PartView) -> dict[str, Any]:
    """Return the task's statistics of the train split, as JSON."""
    item = plan.task.learned
    if item is None:
        return {}
    learned: type[Task[Any]] = _class_of(item, item.spec.target, Task)
    with calls_of([item], "computing its statistics"):
        return dict(learned.statistics(plan.learned_options, target, train))


def build_adaptations(plan: RunPlan) -> list[Adaptation[Any]]:
    made = []
    for item, options in zip(plan.task.adaptations, plan.adaptation_options, strict=True):
        with calls_of([item], "its construction"):
            made.append(_class_of(item, item.spec.target, Adaptation)(options))
    return made


def build_solver(plan: TaskPlan, config: RunConfig) -> Solver[Any]:
    item = plan.task
    options: Options = plan.learned_options(config.task)
    with calls_of([item], "its construction"):
        solver: Solver[Any] = _class_of(item, item.spec.solver, Solver)(options)
    return solver


def _class_of(item: Item[Any], reference: str | None, base: type) -> Any:
    """Raises PluginError unless ``reference`` is a subclass of ``base``."""
    found = load_object(str(reference), item)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise PluginError(
            f"{item.kind} '{item.canonical}': {reference} is not a subclass of zoo.api.{base.__name__}",
            where=item.plugin.distribution,
            fix=report_to(item.plugin.distribution),
        )
    return found


def build_network(catalogue: Registry, plan: RunPlan, preprocessing: Preprocessing, num_outputs: int) -> nn.Module:
    """Build the network of a plan, before any adaptation; an empty module if the plan has no architecture."""
    if plan.architecture is None or plan.config.architecture is None:
        return nn.Module()
    return build_model(
        catalogue,
        plan.config.architecture,
        in_channels=preprocessing.channels,
        num_outputs=num_outputs,
        image_size=(preprocessing.height, preprocessing.width),
    )


def output_reader(plan: RunPlan) -> OutputReader:
    """Return the reader of the network's outputs, which adds features if the task needs them."""
    return OutputReader() if plan.architecture is None else reader_of(plan.architecture.spec, plan.task)


def reader_of(spec: ArchitectureSpec, task: TaskPlan) -> OutputReader:
    needs_features = task.learned is not None and "features" in task.learned.spec.needs
    return OutputReader(spec.outputs, spec.head, needs_features)
