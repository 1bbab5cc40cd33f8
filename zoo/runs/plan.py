"""A run's plan: everything about it that is decided before a file of data is opened, decided once.

`zoo.runs.resolve_config.resolve` makes it. The runner, ``--dry-run``, ``--resume``, `zoo info` and `zoo export` use it,
and decide nothing of it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.api import ArchitectureSpec, DatasetSpec, Options
from zoo.config.run_config import RunConfig
from zoo.data.preprocessing import Preprocessing
from zoo.registry.lookup import Item, Registry
from zoo.runs.component_compatibility import combine, plan_images
from zoo.runs.initial_weights import Weights
from zoo.runs.plugin_metrics import find_metrics
from zoo.runs.task_plan import TaskPlan, plan_task


@dataclass(frozen=True)
class RunPlan:
    """``config`` is canonical: names in full, every option with its value.

    ``architecture`` is None for a task of data alone.

    ``preprocessing`` is what is done to images of the shape that the dataset's spec states, and ``changes`` says so in
    sentences.
    """

    config: RunConfig
    architecture: Item[ArchitectureSpec] | None
    dataset: Item[DatasetSpec]
    task: TaskPlan
    weights: Weights
    preprocessing: Preprocessing
    changes: tuple[str, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty where the dataset finds them when it is opened."""
        return tuple(self.config.dataset.classes or self.dataset.spec.classes)

    def prepare_images(self, shape: tuple[int, int | None, int | None]) -> tuple[Preprocessing, list[str]]:
        """``preprocessing`` and ``changes`` for images that turn out to have another ``shape`` (C, H, W) than the spec
        states.

        A task of data alone has no network that would need a size, so that no change of size is reported.
        """
        if shape == self.dataset.spec.shape:
            preprocessing, changes = self.preprocessing, list(self.changes)
        else:
            preprocessing, changes = plan_images(
                self.dataset, self.config.dataset, shape, self.architecture, self.weights
            )
        return preprocessing, changes if self.architecture is not None else []

    @property
    def items(self) -> list[Item[Any]]:
        return [*([] if self.architecture is None else [self.architecture]), self.dataset, *self.task.items]

    @property
    def learned_options(self) -> Options:
        return self.task.learned_options(self.config.task)

    @property
    def adaptation_options(self) -> list[Options]:
        return self.task.adaptation_options(self.config.task, self.config.adapt)


def make_plan(catalogue: Registry, config: RunConfig, weights: Weights) -> RunPlan:
    """Raises UsageError where the parts of ``config`` cannot go together."""
    architecture = None if config.architecture is None else catalogue.architecture(config.architecture.name)
    dataset = catalogue.dataset(config.dataset.name)
    adapt = [section.name for section in config.adapt]
    task = plan_task(catalogue, catalogue.task(config.task.name), dataset, adapt)
    find_metrics(catalogue, config.train.metrics, dataset.spec.targets[0])
    preprocessing, changes = combine(architecture, dataset, task, config.dataset, weights)
    return RunPlan(config, architecture, dataset, task, weights, preprocessing, tuple(changes))
