"""Compatibility of architecture, dataset and task: the resulting preprocessing, or the reason why they do not fit.

Used by plans and by `zoo matrix`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from zoo.api import ArchitectureSpec, Classes, DatasetSpec, OutputKind, Target
from zoo.config.run_config import DatasetSection
from zoo.data.preprocessing import Preprocessing, plan
from zoo.data.target_summary import summary
from zoo.errors import UsageError
from zoo.registry.lookup import Item
from zoo.runs.file_weights import Inputs
from zoo.runs.initial_weights import RandomWeights, Weights
from zoo.runs.task_plan import TaskPlan
from zoo.support.formatting import plural

NONE = ", or start from random weights: --weights none"
NOTHING = RandomWeights()
SHOWN = 3
"""Names of classes in a message."""
OUTPUTS: dict[OutputKind, str] = {
    "vector": "vector output",
    "map": "map output",
    "features": "features (its spec must name its head)",
}


def combine(
    architecture: Item[ArchitectureSpec] | None,
    dataset: Item[DatasetSpec],
    task: TaskPlan,
    section: DatasetSection,
    weights: Weights = NOTHING,
) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing, as far as it is known before a file is opened, and a sentence for each change to the
    images.

    Raises UsageError if the three are not compatible.
    """
    if architecture is None and task.needs_architecture:
        raise UsageError(f"{task.label} needs an architecture", fix="add --arch NAME (see `zoo list architectures`)")
    if architecture is not None and not task.needs_architecture:
        raise UsageError(
            f"{task.label} takes no architecture",
            where=architecture.canonical,
            fix="leave --arch out",
        )
    check_classes(dataset, task, section.classes or dataset.spec.classes)
    if architecture is not None:
        _check_outputs(architecture, task)
        _check_weights(architecture, task, weights)
    preprocessing, changes = plan_images(dataset, section, dataset.spec.shape, architecture, weights)
    classes = tuple(section.classes or dataset.spec.classes)
    target = Classes(names=classes) if classes and "classes" in dataset.spec.targets else None
    check_same_inputs(task, weights, Inputs(dataset.canonical, target, preprocessing))
    return preprocessing, changes


def plan_images(
    dataset: Item[DatasetSpec],
    section: DatasetSection,
    shape: tuple[int, int | None, int | None],
    architecture: Item[ArchitectureSpec] | None = None,
    weights: Weights = NOTHING,
) -> tuple[Preprocessing, list[str]]:
    """Return the preprocessing of images of ``shape`` (C, H, W; None for sides that vary) for an architecture and its
    initial weights, and a sentence for each change."""
    learned = None if isinstance(weights, RandomWeights) else weights.learned
    network = None if architecture is None else architecture.spec
    return plan(section, shape, dataset.spec.mean, dataset.spec.std, network, learned)


def check_same_inputs(task: TaskPlan, weights: Weights, given: Inputs) -> None:
    """Raise UsageError with each difference if the task needs the data that its weights were trained on, and that is
    known."""
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
    if trained.target is not None and given.target is not None and trained.target != given.target:
        pairs.insert(0, ("", *_targets(trained.target, given.target)))
    differences = [(what, _shown(mine), _shown(theirs)) for what, mine, theirs in pairs if mine != theirs]
    if differences:
        listed = "; ".join(
            f"{trained.name}: {f'{what} {mine}'.strip()}, {given.name}: {theirs}" for what, mine, theirs in differences
        )
        raise UsageError(
            f"{task.label} needs the data that the weights were trained on: {listed}",
            fix="remove the options that change the data, or train the network on this data first",
        )


def _targets(one: Target, other: Target) -> tuple[str, str]:
    """Return different targets in words, classes as ``10 classes (0, 1, 2, …)`` up to their first difference."""
    if not isinstance(one, Classes) or not isinstance(other, Classes):
        return summary(one), summary(other)
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one.names, other.names, strict=False)))
    return _classes(one, max(SHOWN, same + 1)), _classes(other, max(SHOWN, same + 1))


def _classes(target: Classes, most: int) -> str:
    more = ", …" if len(target.names) > most else ""
    return f"{plural(len(target.names), 'class')} ({', '.join(target.names[:most])}{more})"


def _shown(value: object, most: int = 5) -> str:
    if not isinstance(value, tuple):
        return "none" if value is None else str(value)
    more = f" and {len(value) - most} more" if len(value) > most else ""
    return ", ".join(map(str, value[:most])) + more


def check_classes(dataset: Item[DatasetSpec], task: TaskPlan, classes: Sequence[str]) -> None:
    """Raise UsageError for classification with one class. Called again after opening a dataset whose spec has no
    classes."""
    learned, classified = task.learned, "classes" in dataset.spec.targets
    if learned is not None and learned.spec.needs_labels and classified and len(classes) == 1:
        raise UsageError(
            f"{task.label} needs at least two classes, but {dataset.spec.name} has one: {classes[0]}",
            fix="choose another dataset (see `zoo list datasets`)",
        )


def _check_outputs(architecture: Item[ArchitectureSpec], task: TaskPlan) -> None:
    needed = () if task.learned is None else task.learned.spec.needs
    missing = [kind for kind in needed if not architecture.spec.gives(kind)]
    if missing:
        given = " and ".join(dict.fromkeys(output.kind for output in architecture.spec.outputs))
        raise UsageError(
            f"{task.label} needs a network with {OUTPUTS[missing[0]]}, but {architecture.spec.name} has {given} output",
            fix="choose another architecture (see `zoo list architectures`)",
        )


def _check_weights(architecture: Item[ArchitectureSpec], task: TaskPlan, weights: Weights) -> None:
    if not task.needs_weights or weights != NOTHING:
        return
    named, name = list(architecture.spec.weights), architecture.spec.name
    if not named:
        raise UsageError(
            f"{task.in_need_of_weights} needs pretrained weights, but {name} has none",
            fix=f"give a file: --weights FILE{NONE}",
        )
    raise UsageError(
        f"{task.in_need_of_weights} needs pretrained weights",
        fix=f"add --weights {' or '.join(named[:5])} or --weights FILE{NONE}",
    )
