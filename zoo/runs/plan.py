"""The plan of a run: everything that is decided before a data file is opened.

`zoo.runs.resolve_config.resolve` makes it. `zoo run` (with ``--dry-run`` and ``--resume``), `zoo info` and `zoo export`
all use it, so that these decisions are made in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zoo.api import ArchitectureSpec, DatasetSpec, Options
from zoo.config.run_config import RunConfig
from zoo.data.dataset_kind import with_known_kind
from zoo.data.preprocessing import Preprocessing
from zoo.registry.lookup import Item, Registry
from zoo.runs.component_compatibility import combine, plan_images
from zoo.runs.initial_weights import Weights
from zoo.runs.plugin_metrics import find_metrics
from zoo.runs.task_plan import TaskPlan, plan_task


@dataclass(frozen=True)
class RunPlan:
    """``config`` is canonical: full names, and a value for every option.

    ``architecture`` is None for a task without a network. ``preprocessing`` is for images of the shape in the dataset's
    spec; ``changes`` describes it in sentences.
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
        """The class names; empty if they are only known when the dataset is opened."""
        return tuple(self.config.dataset.classes or self.dataset.spec.classes)

    def prepare_images(self, shape: tuple[int, int | None, int | None]) -> tuple[Preprocessing, list[str]]:
        """Return ``preprocessing`` and ``changes`` for images of another ``shape`` (C, H, W) than in the spec.

        A task without a network needs no particular size, so a change of size is not reported for it.
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
    """Return the plan of ``config``. Raises UsageError if its components are not compatible."""
    architecture = None if config.architecture is None else catalogue.architecture(config.architecture.name)
    dataset = with_known_kind(catalogue.dataset(config.dataset.name), config.dataset.options)
    adapt = [section.name for section in config.adapt]
    task = plan_task(catalogue, catalogue.task(config.task.name), dataset, adapt)
    find_metrics(catalogue, config.train.metrics, dataset.spec.targets[0])
    preprocessing, changes = combine(architecture, dataset, task, config.dataset, weights)
    return RunPlan(config, architecture, dataset, task, weights, preprocessing, tuple(changes))
