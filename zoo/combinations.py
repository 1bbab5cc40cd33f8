"""Which combinations of architecture, dataset and task make sense, and why one does not: one judge, for a run and for the table of them all."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.api import ArchitectureSpec, DatasetSpec, TaskSpec
from zoo.config import DatasetSection
from zoo.errors import UsageError
from zoo.preprocessing import plan
from zoo.registry import Item

NONE = "; --weights none begins with none"


def check_combination(
    architecture: Item[ArchitectureSpec] | None,
    dataset: Item[DatasetSpec],
    task: Item[TaskSpec],
    section: DatasetSection,
    weights: str | None = None,
) -> list[str]:
    """What would be done to the pictures, a sentence for each change; all of it is known before a file is opened.

    ``weights`` are those to start from, by name or file. Raises UsageError where the three cannot go together.
    """
    if architecture is None and task.spec.needs_architecture:
        raise UsageError(f"task {task.spec.name} needs an architecture", fix="add --arch NAME (see `zoo list architectures`)")
    if architecture is not None and not task.spec.needs_architecture:
        raise UsageError(f"task {task.spec.name} is of data alone, and takes no architecture", where=architecture.canonical, fix="leave --arch out")
    _check_labels(dataset, task)
    check_classes(dataset, task, section.classes or dataset.spec.classes)
    if architecture is not None:
        _check_weights(architecture, task, weights)
    spec = dataset.spec
    learned = None if architecture is None or weights is None else architecture.spec.weights.get(weights)
    _, changes = plan(section, spec.shape, spec.mean, spec.std, None if architecture is None else architecture.spec, learned)
    return changes


def check_classes(dataset: Item[DatasetSpec], task: Item[TaskSpec], classes: Sequence[str]) -> None:
    """Asked again once a dataset that finds its classes has been opened. Raises UsageError."""
    if task.spec.needs_labels and len(classes) == 1:
        raise UsageError(
            f"task {task.spec.name} needs two classes or more to tell apart, and {dataset.spec.name} has one: {classes[0]}",
            fix="choose another dataset (see `zoo list datasets`)",
        )


def _check_labels(dataset: Item[DatasetSpec], task: Item[TaskSpec]) -> None:
    if task.spec.needs_labels and not dataset.spec.labelled:
        raise UsageError(
            f"task {task.spec.name} needs labels, and {dataset.spec.name} has none",
            fix="choose another dataset (see `zoo list datasets`), or a task that needs none",
        )


def _check_weights(architecture: Item[ArchitectureSpec], task: Item[TaskSpec], weights: str | None) -> None:
    if not task.spec.needs_weights or weights is not None:
        return
    named, name = list(architecture.spec.weights), architecture.spec.name
    if not named:
        raise UsageError(f"task {task.spec.name} needs pretrained weights, and {name} names none", fix=f"give a file: --weights FILE{NONE}")
    raise UsageError(f"task {task.spec.name} needs pretrained weights", fix=f"add --weights NAME, of {', '.join(named[:5])}, or a file{NONE}")
