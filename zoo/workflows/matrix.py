"""`zoo matrix`: for each combination of architecture, dataset and task, whether it can be run, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from zoo.api import ArchitectureSpec
from zoo.config.run_config import DatasetSection
from zoo.errors import PluginError, UsageError
from zoo.registry.lookup import Item, Registry, registry
from zoo.runs.component_compatibility import combine
from zoo.runs.initial_weights import NamedWeights, RandomWeights, Weights
from zoo.runs.resolve_config import core_dataset_section
from zoo.runs.task_plan import plan_task


@dataclass(frozen=True)
class Cell:
    """One combination, with full names.

    ``refusal`` is the error that a run would raise, or None. ``changes`` are sentences about the preprocessing.
    ``architecture`` is None for a task that needs none.
    """

    architecture: str | None
    dataset: str
    task: str
    refusal: str | None
    changes: tuple[str, ...] = ()


def matrix(architectures: str | None = None, datasets: str = "*", tasks: str = "*", **options: Any) -> list[Cell]:
    """Return for each combination of architecture, dataset and task whether it can be run, or why not.

    The names are shell patterns; members of families are included only if ``architectures`` is given. ``options`` are
    options common to all datasets, such as ``resize=224``. Nothing is opened or downloaded.
    """
    return list(cells(registry(), architectures, datasets, tasks, options))


def cells(
    catalogue: Registry,
    architectures: str | None = None,
    datasets: str = "*",
    tasks: str = "*",
    options: dict[str, Any] | None = None,
) -> Iterator[Cell]:
    """Return all combinations whose names match the shell patterns, sorted by task, architecture and dataset.

    Members of families are included only if ``architectures`` is a pattern. ``options`` are options common to all
    datasets (``resize``, ``channels``). A task that needs weights is checked with the architecture's first pretrained
    weights. Raises UsageError for other options.
    """
    section = core_dataset_section(options or {})
    networks = _networks(catalogue, architectures)
    for task in catalogue.items("task", tasks):
        for network, dataset in product(
            networks if task.spec.needs_architecture else [None], catalogue.items("dataset", datasets)
        ):
            yield _cell(catalogue, network, dataset, task, section)


def _networks(catalogue: Registry, pattern: str | None) -> list[str | None]:
    """Canonical names; a member of a family is described only when its cells are checked."""
    found = [item.canonical for item in catalogue.items("architecture", pattern or "*")]
    return [*found, *((member.canonical for member in catalogue.members(pattern)) if pattern is not None else ())]


def _cell(catalogue: Registry, name: str | None, dataset: Item[Any], task: Item[Any], section: DatasetSection) -> Cell:
    try:
        network = None if name is None else catalogue.architecture(name)
        plan = plan_task(catalogue, task, dataset)
        _, changes = combine(
            network, dataset, plan, section, _first_weights(network) if plan.needs_weights else RandomWeights()
        )
    except (UsageError, PluginError) as refusal:
        return Cell(name, dataset.canonical, task.canonical, str(refusal))
    return Cell(name, dataset.canonical, task.canonical, None, tuple(changes))


def _first_weights(network: Item[ArchitectureSpec] | None) -> Weights:
    first = None if network is None else next(iter(network.spec.weights), None)
    return RandomWeights() if network is None or first is None else NamedWeights(network, first)
