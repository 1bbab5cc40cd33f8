"""The task and the adaptations of a run, decided from specs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.api import AdaptationSpec, DatasetSpec, Options, TargetKind, TaskSpec
from zoo.config.item_options import adaptations_of, default_task, options_of, own_options
from zoo.config.run_config import Section
from zoo.errors import UsageError
from zoo.registry.lookup import Item, Registry
from zoo.support.formatting import quoted


@dataclass(frozen=True)
class TaskPlan:
    """``task`` is the task of the configuration. ``learned`` is the task to train: ``task`` itself, the default task of
    the target if ``task`` is made of adaptations, or None if it is a solver."""

    task: Item[TaskSpec]
    learned: Item[TaskSpec] | None
    adaptations: tuple[Item[AdaptationSpec], ...] = ()

    @property
    def label(self) -> str:
        """The task's name in messages."""
        return f"task {self.task.spec.name}"

    @property
    def items(self) -> list[Item[Any]]:
        learned = [] if self.learned is None or self.learned is self.task else [self.learned]
        return [self.task, *learned, *self.adaptations]

    @property
    def needs_architecture(self) -> bool:
        return self.learned is not None

    @property
    def needs_weights(self) -> bool:
        return any(item.spec.needs_weights for item in self.adaptations)

    @property
    def in_need_of_weights(self) -> str:
        """The name, in messages, of the component that needs trained weights: the task if it is made of adaptations,
        otherwise the first such adaptation."""
        own = len(self.task.spec.adaptations)
        needing = [place for place, item in enumerate(self.adaptations) if item.spec.needs_weights]
        return f"adaptation {self.adaptations[needing[0]].spec.name}" if needing and needing[0] >= own else self.label

    @property
    def new_head(self) -> bool:
        """Whether the head is re-initialised if the weights have other classes."""
        return any(item.spec.new_head for item in self.adaptations)

    @property
    def same_inputs(self) -> bool:
        """Whether the data must be the data that the weights were trained on."""
        return any(item.spec.same_inputs for item in self.adaptations) and not self.new_head

    @property
    def computes(self) -> str | None:
        """What slow adaptations compute first, in words, or None."""
        told = [item.spec.computes for item in self.adaptations if item.spec.computes is not None]
        return " and ".join(told) or None

    def adaptation_options(self, section: Section, adapt: Sequence[Section]) -> list[Options]:
        """Return the options of each adaptation: of the task's own from its section, of the others from ``adapt``."""
        own = self.adaptations[: len(self.task.spec.adaptations)]
        named = zip(self.adaptations[len(own) :], adapt, strict=True)
        return [
            *(own_options(item, section.options, "task", self._sharing) for item in own),
            *(options_of(item, each.options, "adapt") for item, each in named),
        ]

    @property
    def _sharing(self) -> list[Item[Any]]:
        """The items that share the task's section, for a task made of adaptations."""
        learned = [] if self.learned is None else [self.learned]
        return [*learned, *self.adaptations[: len(self.task.spec.adaptations)]]

    def learned_options(self, section: Section) -> Options:
        if self.learned is None or not self.task.spec.adaptations:
            return options_of(self.task, section.options, "task")
        return own_options(self.learned, section.options, "task", self._sharing)


def plan_task(
    registry: Registry, task: Item[TaskSpec], dataset: Item[DatasetSpec], adapt: Sequence[str] = ()
) -> TaskPlan:
    """Return the task plan. Raises UsageError if the task does not accept the dataset's targets, or if a solver is
    combined with adaptations."""
    return plan_task_for(registry, task, dataset.spec.targets, dataset.spec.name, adapt)


def plan_task_for(
    registry: Registry, task: Item[TaskSpec], kinds: Sequence[TargetKind], data: str, adapt: Sequence[str] = ()
) -> TaskPlan:
    """Like `plan_task`, for targets of these kinds; ``data`` is their dataset's name in messages."""
    if task.spec.solver is not None:
        if adapt:
            raise UsageError(f"task {task.spec.name} has no network to adapt", where="adapt", fix="remove adapt")
        _check_accepts(task, task, kinds, data)
        return TaskPlan(task, None)
    learned = default_task(registry, kinds, task) if task.spec.adaptations else task
    _check_accepts(task, learned, kinds, data)
    adaptations = [*adaptations_of(registry, task), *(registry.adaptation(name) for name in adapt)]
    return TaskPlan(task, learned, tuple(adaptations))


def _check_accepts(task: Item[TaskSpec], learned: Item[TaskSpec], kinds: Sequence[TargetKind], data: str) -> None:
    accepted = learned.spec.accepts
    if not accepted or set(kinds) & set(accepted):
        return
    raise refused_target(task, data, kinds, accepted)


def refused_target(
    task: Item[TaskSpec], dataset: str, kinds: Sequence[TargetKind], accepted: Sequence[TargetKind]
) -> UsageError:
    if tuple(kinds) == ("none",):
        return UsageError(
            f"task {task.spec.name} needs targets, but {dataset} has none",
            fix="choose another dataset (see `zoo list datasets`), or a task that needs no targets (see `zoo list "
            "tasks`)",
        )
    return UsageError(
        f"task {task.spec.name} needs targets of kind {quoted(accepted)}, but {dataset} has {quoted(kinds)}",
        fix="choose another dataset (see `zoo list datasets`), or another task (see `zoo list tasks`)",
    )
