"""Which architectures, datasets and tasks go together, how their images are then prepared, and why others do not: for a
plan and for `zoo matrix`."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.api import ArchitectureSpec, DatasetSpec, TaskSpec
from zoo.config.run_config import DatasetSection
from zoo.data.preprocessing import Preprocessing, plan
from zoo.errors import UsageError
from zoo.registry.lookup import Item
from zoo.runs.initial_weights import Inputs, RandomWeights, Weights

NONE = "; --weights none begins with none"
NOTHING = RandomWeights()


def combine(
    architecture: Item[ArchitectureSpec] | None,
    dataset: Item[DatasetSpec],
    task: Item[TaskSpec],
    section: DatasetSection,
    weights: Weights = NOTHING,
) -> tuple[Preprocessing, list[str]]:
    """How the images are prepared, as far as it is known before a file is opened, and a sentence for each change to
    them.

    Raises UsageError where the three cannot go together.
    """
    if architecture is None and task.spec.needs_architecture:
        raise UsageError(
            f"task {task.spec.name} needs an architecture", fix="add --arch NAME (see `zoo list architectures`)"
        )
    if architecture is not None and not task.spec.needs_architecture:
        raise UsageError(
            f"task {task.spec.name} is of data alone, and takes no architecture",
            where=architecture.canonical,
            fix="leave --arch out",
        )
    _check_labels(dataset, task)
    check_classes(dataset, task, section.classes or dataset.spec.classes)
    if architecture is not None:
        _check_weights(architecture, task, weights)
    preprocessing, changes = plan_images(dataset, section, dataset.spec.shape, architecture, weights)
    check_same_inputs(
        task.spec, weights, Inputs(dataset.canonical, tuple(section.classes or dataset.spec.classes), preprocessing)
    )
    return preprocessing, changes


def plan_images(
    dataset: Item[DatasetSpec],
    section: DatasetSection,
    shape: tuple[int, int | None, int | None],
    architecture: Item[ArchitectureSpec] | None = None,
    weights: Weights = NOTHING,
) -> tuple[Preprocessing, list[str]]:
    """How images of ``shape`` (C, H, W; None where they differ) of a dataset are prepared for an architecture and the
    weights it starts from."""
    learned = None if isinstance(weights, RandomWeights) else weights.learned
    network = None if architecture is None else architecture.spec
    return plan(section, shape, dataset.spec.mean, dataset.spec.std, network, learned)


def check_same_inputs(task: TaskSpec, weights: Weights, given: Inputs) -> None:
    """Raises UsageError naming each difference, where the task needs the inputs that its weights were trained on and
    these are known."""
    if not task.same_inputs or isinstance(weights, RandomWeights):
        return
    trained = weights.inputs(given.preprocessing.permute_pixels)
    if trained is None:
        return
    one, other = trained.preprocessing, given.preprocessing
    pairs: list[tuple[str, object, object]] = [
        ("images of", "×".join(map(str, one.shape)), "×".join(map(str, other.shape)))
    ]
    pairs += [
        (key, getattr(one, key), getattr(other, key))
        for key in ("mean", "std", "resize", "scale", "interpolation", "permute_pixels")
    ]
    if trained.classes and given.classes:
        pairs.insert(0, ("the classes", trained.classes, given.classes))
    differences = [(what, _shown(mine), _shown(theirs)) for what, mine, theirs in pairs if mine != theirs]
    if differences:
        told = "; ".join(f"{trained.name}: {what} {mine}, {given.name}: {theirs}" for what, mine, theirs in differences)
        raise UsageError(
            f"task {task.name} needs the data that the weights were trained on: {told}",
            fix="leave out the options that change the data, or train the network on this data first",
        )


def _shown(value: object, most: int = 5) -> str:
    if not isinstance(value, tuple):
        return "none" if value is None else str(value)
    more = f" and {len(value) - most} more" if len(value) > most else ""
    return ", ".join(map(str, value[:most])) + more


def check_classes(dataset: Item[DatasetSpec], task: Item[TaskSpec], classes: Sequence[str]) -> None:
    """Asked again once a dataset that finds its classes has been opened. Raises UsageError."""
    if task.spec.needs_labels and len(classes) == 1:
        raise UsageError(
            f"task {task.spec.name} needs two classes or more to tell apart, and {dataset.spec.name} has one: "
            f"{classes[0]}",
            fix="choose another dataset (see `zoo list datasets`)",
        )


def _check_labels(dataset: Item[DatasetSpec], task: Item[TaskSpec]) -> None:
    if task.spec.needs_labels and not dataset.spec.labelled:
        raise UsageError(
            f"task {task.spec.name} needs labels, and {dataset.spec.name} has none",
            fix="choose another dataset (see `zoo list datasets`), or a task that needs none",
        )


def _check_weights(architecture: Item[ArchitectureSpec], task: Item[TaskSpec], weights: Weights) -> None:
    if not task.spec.needs_weights or weights != NOTHING:
        return
    named, name = list(architecture.spec.weights), architecture.spec.name
    if not named:
        raise UsageError(
            f"task {task.spec.name} needs pretrained weights, and {name} names none",
            fix=f"give a file: --weights FILE{NONE}",
        )
    raise UsageError(
        f"task {task.spec.name} needs pretrained weights",
        fix=f"add --weights NAME, of {', '.join(named[:5])}, or a file{NONE}",
    )
