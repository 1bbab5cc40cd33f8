"""What a run does to a network, decided from specs alone: the task as it was named, the one that is learned, and the
adaptations before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo.api import AdaptationSpec, DatasetSpec, Options, TargetKind, TaskSpec
from zoo.config.item_options import adaptations_of, default_task, options_of, own_options
from zoo.config.run_config import Section
from zoo.errors import UsageError
from zoo.registry.lookup import Item, Registry


@dataclass(frozen=True)
class TaskPlan:
    """``task`` as it was named, and ``learned``: itself, or the default task of the target where it is made of
    adaptations; None where it is a solver's."""

    task: Item[TaskSpec]
    learned: Item[TaskSpec] | None
    adaptations: tuple[Item[AdaptationSpec], ...] = ()

    @property
    def label(self) -> str:
        """Its name in messages."""
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
        """What starts from trained weights, in messages: the task, where that is made of adaptations, or the first of
        those that are asked for beside it."""
        own = len(self.task.spec.adaptations)
        needing = [place for place, item in enumerate(self.adaptations) if item.spec.needs_weights]
        return f"adaptation {self.adaptations[needing[0]].spec.name}" if needing and needing[0] >= own else self.label

    @property
    def new_head(self) -> bool:
        """Whether a head for other classes than the weights' is initialised anew."""
        return any(item.spec.new_head for item in self.adaptations)

    @property
    def same_inputs(self) -> bool:
        """Whether the data must be that which the weights were trained on."""
        return any(item.spec.same_inputs for item in self.adaptations) and not self.new_head

    @property
    def computes(self) -> str | None:
        """What the adaptations work out first, in words."""
        told = [item.spec.computes for item in self.adaptations if item.spec.computes is not None]
        return " and ".join(told) or None

    def adaptation_options(self, section: Section, adapt: Sequence[Section]) -> list[Options]:
        """Those of each adaptation: of the task's own in its section, of the others in ``adapt``."""
        own = self.adaptations[: len(self.task.spec.adaptations)]
        named = zip(self.adaptations[len(own) :], adapt, strict=True)
        return [
            *(own_options(item, section.options, "task", self._sharing) for item in own),
            *(options_of(item, each.options, "adapt") for item, each in named),
        ]

    @property
    def _sharing(self) -> list[Item[Any]]:
        """Whose options stand in the task's section, of a task made of adaptations."""
        learned = [] if self.learned is None else [self.learned]
        return [*learned, *self.adaptations[: len(self.task.spec.adaptations)]]

    def learned_options(self, section: Section) -> Options:
        if self.learned is None or not self.task.spec.adaptations:
            return options_of(self.task, section.options, "task")
        return own_options(self.learned, section.options, "task", self._sharing)


def plan_task(
    registry: Registry, task: Item[TaskSpec], dataset: Item[DatasetSpec], adapt: Sequence[str] = ()
) -> TaskPlan:
    """Raises UsageError where the dataset's targets are none that the task accepts, or a solver is to be adapted."""
    if task.spec.solver is not None:
        if adapt:
            raise UsageError(
                f"task {task.spec.name} has no network that could be adapted", where="adapt", fix="leave adapt out"
            )
        _check_accepts(task, task, dataset)
        return TaskPlan(task, None)
    learned = default_task(registry, dataset.spec.targets, task) if task.spec.adaptations else task
    _check_accepts(task, learned, dataset)
    adaptations = [*adaptations_of(registry, task), *(registry.adaptation(name) for name in adapt)]
    return TaskPlan(task, learned, tuple(adaptations))


def _check_accepts(task: Item[TaskSpec], learned: Item[TaskSpec], dataset: Item[DatasetSpec]) -> None:
    kinds, accepted = dataset.spec.targets, learned.spec.accepts
    if not accepted or set(kinds) & set(accepted):
        return
    raise refused_target(task, dataset.spec.name, kinds, accepted)


def refused_target(
    task: Item[TaskSpec], dataset: str, kinds: Sequence[TargetKind], accepted: Sequence[TargetKind]
) -> UsageError:
    if tuple(kinds) == ("none",):
        return UsageError(
            f"task {task.spec.name} needs labels, and {dataset} has none",
            fix="choose another dataset (see `zoo list datasets`), or a task that needs none",
        )
    return UsageError(
        f"task {task.spec.name} learns {' or '.join(accepted)}, and the targets of {dataset} are {' or '.join(kinds)}",
        fix="choose another dataset (see `zoo list datasets`), or another task (see `zoo list tasks`)",
    )
