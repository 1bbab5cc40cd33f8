"""The table of combinations against what runs do: each yes-cell of the first-party plugins takes a step, each no-cell
is refused in its words."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.api import AdaptationSpec, Batch, PartView
from zoo.config.item_options import adaptations_of, default_task
from zoo.errors import ConfigError, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training.preparation import prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import remaining_batches, take_step
from zoo.workflows.matrix import Cell, cells
from zoo.workflows.run_stages import evaluated_part


def fits_the_folder(cell: Cell) -> bool:
    """The folder of these tests has classes; tests/plugins/zoo_datasets has those with labels, numbers and masks."""
    accepts = registry().task(cell.task).spec.accepts
    return cell.dataset != "datasets/folder" or not accepts or "classes" in accepts


CELLS = [cell for cell in cells(registry()) if fits_the_folder(cell)]
FORCED = [
    [cell for cell in cells(registry(), options={"resize": resize}) if fits_the_folder(cell)]
    for resize in ("never", 40)
]
QUICK = ("/alexnet", "/cnn", "/fnn", "/googlenet", "/lenet", "/resnet18", "/vgg_cifar")
"""The networks that take a step on the embedded digits; /cnn takes one on every dataset, of those that are not embedded
with one task alone. All other cells are slow."""
REAL = {
    "datasets/mnist": "MNIST",
    "datasets/mnist_sets": "MNIST",
    "datasets/mnist_rotated": "MNIST",
    "datasets/mnist_on_photos": "MNIST",
    "datasets/cifar10": "cifar-10-b*",
    "datasets/fashion_mnist": "FashionMNIST",
    "datasets/catdog": "cat_dog*",
}
"""How the files of a dataset that is not embedded are called under ZOO_DATA."""


def adaptations(cell: Cell) -> list[AdaptationSpec]:
    return [item.spec for item in adaptations_of(registry(), registry().task(cell.task))]


def overrides(cell: Cell, folder: Path, **dataset: Any) -> dict[str, Any]:
    given = {
        "name": cell.dataset,
        **dataset,
        **({"path": str(folder)} if cell.dataset in ("datasets/folder", "datasets/images") else {}),
    }
    chosen: dict[str, Any] = {"architecture": {"name": cell.architecture}} if cell.architecture else {}
    if cell.architecture and any(spec.needs_weights for spec in adaptations(cell)):
        chosen["weights"] = next(iter(registry().architecture(cell.architecture).spec.weights), None)
    return {
        **chosen,
        "dataset": given,
        "task": {"name": cell.task},
        "device": "cpu",
        # a loss over pairs needs samples of one class
        "train": {"batch_size": 32 if cell.task == "tasks/retrieval" else 2, "lr": 1e-5},
    }


class FirstFour:
    """The first four samples of a part."""

    def __init__(self, part: PartView) -> None:
        self._part = part
        self.names = part.names[:4]
        self.targets = None if part.targets is None else part.targets[:4]

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        return islice(self._part.batches(4), 1)

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        return self._part.raw_images[:4]

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        return self._part.targets_of(indices)

    def images_of(self, indices: Iterable[int]) -> np.ndarray:
        return self._part.images_of(indices)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of photographs of two classes and of several sizes."""
    numbers, folder = np.random.default_rng(0), tmp_path_factory.mktemp("images")
    for part, label, index in [
        (part, label, index) for part in ("train", "val") for label in ("cat", "dog") for index in range(2)
    ]:
        file = folder / part / label / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (40 + index, 50, 3), dtype=np.uint8)).save(file)
    return folder


def marks(cell: Cell) -> list[Any]:
    if cell.dataset == "datasets/digits":
        quick = str(cell.architecture).endswith(QUICK)
    else:
        default = default_task(registry(), registry().dataset(cell.dataset).spec.targets).canonical
        first = cell.dataset not in REAL or cell.task == default
        quick = first and str(cell.architecture).endswith("classics/cnn")
    heavy = [] if quick else [pytest.mark.slow]
    return [*heavy, *([pytest.mark.realdata] if cell.dataset in REAL else [])]


def label(cell: Cell) -> str:
    return "-".join(str(name).rpartition("/")[2] for name in (cell.architecture, cell.dataset, cell.task))


@pytest.mark.parametrize(
    "cell", [pytest.param(cell, marks=marks(cell), id=label(cell)) for cell in CELLS if cell.refusal is None]
)
def test_a_combination_that_goes_takes_a_step(cell: Cell, images: Path, tmp_path: Path) -> None:
    if cell.dataset in REAL and not list(Path(os.environ["ZOO_DATA"]).glob(REAL[cell.dataset])):
        pytest.skip(f"needs the files of {cell.dataset} under ZOO_DATA")
    plan = resolve(registry(), overrides=overrides(cell, images))
    config = plan.config
    # its classes are known once it is opened
    others = cell.dataset == "datasets/folder" or registry().dataset(cell.dataset).spec.targets != ("classes",)
    if others and any(spec.same_inputs and not spec.new_head for spec in adaptations(cell)):
        with pytest.raises(
            UsageError,
            match=r"the data that the weights were trained on: the weights `\w+`: .*, datasets/\w+: \w+",
        ):
            prepare(plan)
        return
    ready = prepare(plan)
    if ready.learning is None or not ready.trains:
        some = FirstFour(ready.data.part(evaluated_part(ready.data)))
        if ready.learning is None:
            assert ready.solver is not None
            ready.solver.solve(ready.model, ready.data, lambda _text: None)
            found = ready.solver.evaluate(ready.model.eval(), some)
        else:
            found = ready.learning.evaluate(ready.model, some, 4)
        assert found.metrics and all(np.isfinite(value) for value in found.metrics.values())
        return
    assert set(cell.changes) <= set(ready.data.notes)
    where = create(config, tmp_path / "run")
    state = TrainState(config, ready.learning, ready.model, ready.data, ready.engine, where, Console(quiet=True))
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    with state.reading():
        loss = take_step(state, next(iter(remaining_batches(state, 0))))
    assert loss.mean.isfinite()
    assert any(not one.equal(other) for one, other in zip(before, state.model.parameters(), strict=True))


def refused(cell: Cell, images: Path, **dataset: Any) -> str:
    """The words in which a run is refused, or what came instead."""
    try:
        prepare(resolve(registry(), overrides=overrides(cell, images, **dataset)))
    except UsageError as error:
        return str(error)
    return "it goes"


def by_kind(found: Iterable[Cell]) -> list[Any]:
    """The refused cells of each dataset and task, for one test: a test a cell would take longer than its refusal."""
    kinds: dict[tuple[str, str], list[Cell]] = {}
    for cell in found:
        if cell.refusal is not None:
            kinds.setdefault((cell.dataset, cell.task), []).append(cell)
    return [pytest.param(each, id="-".join(name.rpartition("/")[2] for name in kind)) for kind, each in kinds.items()]


@pytest.mark.parametrize("refusals", by_kind(CELLS))
def test_a_combination_that_does_not_go_is_refused_in_the_same_words(refusals: list[Cell], images: Path) -> None:
    expected = {label(cell): cell.refusal for cell in refusals}
    assert {label(cell): refused(cell, images) for cell in refusals} == expected


REFUSED = [
    (each.values[0], resize, each.id)
    for resize, found in zip(("never", 40), FORCED, strict=True)
    for each in by_kind(found)
]


@pytest.mark.parametrize(
    ("refusals", "resize"), [pytest.param(each, resize, id=f"{name}-{resize}") for each, resize, name in REFUSED]
)
def test_so_it_is_with_a_size_that_is_forced(refusals: list[Cell], resize: Any, images: Path) -> None:
    """Nothing is opened for it: a dataset whose files are not here is refused alike."""
    expected = {label(cell): cell.refusal for cell in refusals}
    assert {label(cell): refused(cell, images, resize=resize) for cell in refusals} == expected


def test_both_answers_are_in_the_table() -> None:
    assert {cell.refusal is None for cell in CELLS} == {True, False}
    assert len(REFUSED) > 40
    refused = {(cell.task, cell.refusal.partition(";")[0]) for cell in CELLS if cell.refusal is not None}
    assert ("tasks/classification", "task classification needs targets, but photos has none") in refused
    assert ("tasks/transfer", "task transfer needs pretrained weights, but alexnet has none") in refused


def test_members_of_families_are_judged_where_they_are_asked_for() -> None:
    found = {
        cell.architecture: cell for cell in cells(registry(), "torchvision/v*_1?", "digits", options={"channels": 1})
    }
    assert "torchvision/vit_b_16" in found and "torchvision/vgg16" not in found
    assert "vit_b_16 needs images with 3 channels, not 1" in found["torchvision/vit_b_16"].refusal
    assert [cell.changes for cell in cells(registry(), "timm/vit_tiny_patch16_224", "digits", "classification")] == [
        ("8×8 images are resized to 224×224",)
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"resize": "sometimes"}, "dataset.resize"),
        ({"path": "here"}, "dataset.path: not an option common to all datasets; known: resize, fit, scale, channels"),
    ],
)
def test_other_options_are_refused(options, problem) -> None:
    with pytest.raises(ConfigError, match=problem):
        list(cells(registry(), options=options))
