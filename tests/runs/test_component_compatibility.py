"""Which combinations are refused, with which sentence, and that a run is refused with the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo.api import AdaptationSpec, ArchitectureSpec, DatasetSpec, Output, TaskSpec, WeightsSpec
from zoo.config.run_config import DatasetSection
from zoo.errors import UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item
from zoo.runs.component_compatibility import check_classes, combine
from zoo.runs.initial_weights import FileWeights, RandomWeights
from zoo.runs.task_plan import TaskPlan

WEIGHTS = WeightsSpec(
    summary="x",
    url="https://example.org/a-0123456789.pth",
    licence="MIT",
    dataset="d",
    classes=("a", "b"),
    input=(3, 8, 8),
    mean=(0,) * 3,
    std=(1,) * 3,
)
LAB = Plugin("lab", "zoo-lab", "1.0", "zoo_lab")


def network(**facts: Any) -> Item[ArchitectureSpec]:
    return Item(
        "architecture",
        ArchitectureSpec(**{"name": "net", "summary": "x", "target": "n:b", "input": (3, 32, 32), **facts}),
        LAB,
    )


def data(**facts: Any) -> Item[DatasetSpec]:
    base = {
        "name": "toy",
        "summary": "x",
        "target": "n:o",
        "classes": ("a", "b"),
        "shape": (3, 8, 8),
        "mean": (0,) * 3,
        "std": (1,) * 3,
        "licence": "MIT",
    }
    return Item("dataset", DatasetSpec(**{**base, **facts}), LAB)


def task(**facts: Any) -> TaskPlan:
    """A task of classes that is learned itself."""
    item = Item(
        "task", TaskSpec(**{"name": "sort", "summary": "x", "target": "n:t", "accepts": ("classes",), **facts}), LAB
    )
    return TaskPlan(item, item)


def solved() -> TaskPlan:
    """A task that is solved without training, of data alone."""
    return TaskPlan(Item("task", TaskSpec(name="sort", summary="x", solver="n:s"), LAB), None)


def adapted(**facts: Any) -> TaskPlan:
    """The task of classes, after one adaptation."""
    change = Item("adaptation", AdaptationSpec(**{"name": "change", "summary": "x", "target": "n:a", **facts}), LAB)
    return TaskPlan(task().task, task().task, (change,))


def evaluated(
    architecture: Item[Any] | None, dataset: Item[Any], job: TaskPlan, file: Path | None = None, **section: Any
) -> list[str]:
    weights = RandomWeights() if architecture is None or file is None else FileWeights(architecture, str(file))
    return combine(architecture, dataset, job, DatasetSection(name="toy", **section), weights)[1]


@pytest.mark.parametrize(
    ("architecture", "dataset", "job", "section", "sentence"),
    [
        (None, data(), task(), {}, "task sort needs an architecture"),
        (
            network(outputs=(Output(kind="map"),)),
            data(),
            task(),
            {},
            "task sort needs a network with vector output, but net has map output",
        ),
        (
            network(),
            data(),
            task(needs=("features",)),
            {},
            "task sort needs a network with features (its spec must name its head), but net has vector output",
        ),
        (network(), data(), solved(), {}, "task sort takes no architecture (lab/net)"),
        (
            network(),
            data(classes=("cat",)),
            task(),
            {},
            "task sort needs at least two classes, but toy has one: cat",
        ),
        (
            network(),
            data(),
            adapted(needs_weights=True),
            {},
            "adaptation change needs pretrained weights, but net has none",
        ),
        (
            network(weights={"first": WEIGHTS}),
            data(),
            adapted(needs_weights=True),
            {},
            "fix: add --weights first or --weights FILE, or start from random weights: --weights none",
        ),
        (
            network(sizing="fixed"),
            data(),
            task(),
            {"resize": "never"},
            "the images are 8×8, but net needs 32×32 (dataset.resize=never)",
        ),
        (
            network(sizing="fixed"),
            data(),
            task(),
            {"resize": 16},
            "net does not support 16×16 images: it needs exactly 32×32",
        ),
        (network(channels=(1,)), data(), task(), {"channels": 3}, "net needs images with 1 channels, not 3"),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_sentence(architecture, dataset, job, section, sentence) -> None:
    with pytest.raises(UsageError) as caught:
        evaluated(architecture, dataset, job, **section)
    assert sentence in str(caught.value)
    assert caught.value.fix and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("architecture", "dataset", "job", "weights", "changes"),
    [
        (network(), data(), task(), None, []),
        (None, data(), solved(), None, []),
        (None, data(classes=(), targets=("none",)), solved(), None, []),
        (network(), data(classes=("cat",)), task(accepts=()), None, []),
        (
            network(),
            data(classes=(), shape=(3, None, None)),
            task(),
            None,
            ["images of any size are resized, keeping their aspect ratio, and cropped at the centre to 32×32"],
        ),
        (network(), data(), adapted(needs_weights=True), Path("some.safetensors"), []),
        (network(smallest=16), data(), task(), None, ["8×8 images are resized to 16×16"]),
        (network(channels=(1,)), data(), task(), None, ["RGB images become grayscale"]),
        (network(head="fc"), data(), task(needs=("features",)), None, []),
        (network(outputs=(Output(kind="map"),)), data(), task(needs=("map",)), None, []),
    ],
)
def test_what_goes_together_says_what_it_does_to_the_images(architecture, dataset, job, weights, changes) -> None:
    assert evaluated(architecture, dataset, job, weights) == changes


def test_a_dataset_that_finds_its_classes_is_asked_again_once_it_is_open() -> None:
    folder = data(classes=(), path_option="path")
    evaluated(network(), folder, task())
    with pytest.raises(UsageError, match="toy has one: cat"):
        check_classes(folder, task(), ["cat"])
    check_classes(folder, task(), ["cat", "dog"])
