"""A run's plan: everything about it that is decided before a file of data is opened, decided once.

`zoo.runs.resolve_config.resolve` makes it. The runner, ``--dry-run``, ``--resume``, `zoo info` and `zoo export` use it,
and decide nothing of it again.
"""

from __future__ import annotations

from dataclasses import dataclass

from zoo.api import ArchitectureSpec, DatasetSpec, TaskSpec
from zoo.config.run_config import RunConfig
from zoo.data.preprocessing import Preprocessing
from zoo.registry.lookup import Item, Registry
from zoo.runs.component_compatibility import combine, plan_images
from zoo.runs.initial_weights import Weights


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
    task: Item[TaskSpec]
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
    def items(self) -> list[Item[ArchitectureSpec] | Item[DatasetSpec] | Item[TaskSpec]]:
        return [*([] if self.architecture is None else [self.architecture]), self.dataset, self.task]


def make_plan(catalogue: Registry, config: RunConfig, weights: Weights) -> RunPlan:
    """Raises UsageError where the parts of ``config`` cannot go together."""
    architecture = None if config.architecture is None else catalogue.architecture(config.architecture.name)
    dataset, task = catalogue.dataset(config.dataset.name), catalogue.task(config.task.name)
    preprocessing, changes = combine(architecture, dataset, task, config.dataset, weights)
    return RunPlan(config, architecture, dataset, task, weights, preprocessing, tuple(changes))
