"""Samples that are made on demand: the same batches as of an array with the same content, and only a few of them in
memory."""

from __future__ import annotations

import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zoo
from zoo.api import Batch, Classes, Dataset, DatasetSpec, Mask, SampleSource, Split, Target, Values
from zoo.config.run_config import DatasetSection
from zoo.data import streamed_part
from zoo.data.data_loader import Data, open_data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.data.streamed_part import AHEAD, StreamedPart
from zoo.errors import DataError, PluginError, UsageError, ZooError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Registry, registry
from zoo.reporting.console import Console
from zoo.support.counter_random import order
from zoo.workflows.run_result import RunResult

CPU = torch.device("cpu")
COLOUR = Preprocessing(channels=3, height=6, width=5, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
CLASSES = ("a", "b", "c")


def content(count: int, shape: tuple[int, int, int] = (3, 6, 5)) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count)
    return generator.integers(0, 256, (count, *shape), dtype=np.uint8), generator.integers(0, 3, count)


class Stored(SampleSource):
    """Samples that an array holds; it notes what it was asked for."""

    def __init__(self, images: Any, targets: Any) -> None:
        self._images, self._targets = images, targets
        self.asked: list[list[int]] = []

    def __len__(self) -> int:
        return len(self._images)

    def images(self, indices: np.ndarray) -> np.ndarray | Sequence[np.ndarray]:
        assert indices.dtype == np.int64 and indices.ndim == 1
        self.asked.append(indices.tolist())
        return self._images[indices] if isinstance(self._images, np.ndarray) else [self._images[i] for i in indices]

    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        return None if self._targets is None else self._targets[indices]


class Million(SampleSource):
    """A million images of 32×32, three gigabytes together, each made of its index."""

    COUNT, BYTES = 1_000_000, 3 * 32 * 32

    def __init__(self) -> None:
        self._lock, self.largest = threading.Lock(), 0

    def __len__(self) -> int:
        return self.COUNT

    def images(self, indices: np.ndarray) -> np.ndarray:
        with self._lock:
            self.largest = max(self.largest, len(indices))
        return np.broadcast_to((indices % 251).astype(np.uint8)[:, None, None, None], (len(indices), 3, 32, 32)).copy()

    def targets(self, indices: np.ndarray) -> np.ndarray:
        return indices % 3


class Toy(Dataset):
    """A dataset of the splits that the test gives it."""

    fingerprint = "toy"
    parts: Mapping[Any, str] = {"train": "train"}
    target: Target | None = None

    def __init__(self, train: Split, target: Target | None = None) -> None:
        self.train, self.target = train, target

    def load(self, split: str) -> Split:
        return self.train


def opened(
    monkeypatch: pytest.MonkeyPatch,
    train: Split,
    *,
    target: Target | None = None,
    shape: tuple[int, int | None, int | None] = (3, 6, 5),
    seed: int = 0,
    **section: Any,
) -> Data:
    monkeypatch.setattr(sys.modules[__name__], "open_toy", lambda _options, _store: Toy(train, target), raising=False)
    spec = DatasetSpec(
        name="toy",
        summary="a toy",
        target=f"{__name__}:open_toy",
        targets=("classes" if target is None else target.kind,),
        classes=CLASSES if target is None else (),
        shape=shape,
        mean=COLOUR.mean,
        std=COLOUR.std,
        licence="CC0",
    )
    catalogue = Registry([Plugin("toys", "zoo-toys", "1", "zoo_toys", specs={"dataset": [spec]})], events=None)
    return open_data(catalogue, DatasetSection(name="toy", **section), CPU, seed=seed)


def both(count: int) -> tuple[StreamedPart, LoadedPart]:
    images, targets = content(count)
    return StreamedPart(Stored(images, targets), COLOUR, CPU), LoadedPart(Split(images, targets), COLOUR, CPU)


def assert_equal(streamed: Sequence[Batch], loaded: Sequence[Batch]) -> None:
    """To the bit, in dtype and in layout."""
    assert len(streamed) == len(loaded)
    for one, other in zip(streamed, loaded, strict=True):
        assert torch.equal(one.inputs, other.inputs) and one.inputs.dtype == other.inputs.dtype == torch.float32
        assert one.inputs.stride() == other.inputs.stride()
        assert torch.equal(one.indices, other.indices) and one.indices.dtype == torch.int64
        assert (one.targets is None) == (other.targets is None)
        assert one.targets is None or (
            one.targets.dtype == other.targets.dtype and torch.equal(one.targets, other.targets)
        )


# ------------------------------------------------------------------------------------- the batches of an array split


@pytest.mark.parametrize(("count", "size"), [(1, 1), (1, 7), (7, 3), (9, 3), (64, 64), (65, 64), (101, 10)])
def test_batches_are_those_of_an_array_with_the_same_content(count: int, size: int) -> None:
    streamed, loaded = both(count)
    assert len(streamed) == len(loaded) == count
    assert_equal(list(streamed.batches(size)), list(loaded.batches(size)))


def test_batches_follow_the_order_that_is_asked_for() -> None:
    streamed, loaded = both(50)
    wanted = order(3, 1, 50)[:33]
    assert_equal(list(streamed.batches_of(wanted, 8)), list(loaded.batches_of(wanted, 8)))
    streamed.memory_format = loaded.memory_format = torch.channels_last
    assert_equal(list(streamed.batches_of(wanted, 8)), list(loaded.batches_of(wanted, 8)))


@pytest.mark.parametrize("first", [0, 1, 3, 5, 6])
def test_an_epoch_that_is_resumed_has_the_batches_that_were_left(first: int) -> None:
    images, targets = content(50)
    samples = Stored(images, targets)
    streamed, loaded = StreamedPart(samples, COLOUR, CPU), LoadedPart(Split(images, targets), COLOUR, CPU)
    wanted = order(0, 2, 50)
    left = list(streamed.batches_of(wanted, 9, first))
    assert_equal(left, list(streamed.batches_of(wanted, 9))[first:])
    assert_equal(left, list(loaded.batches_of(wanted, 9, first)))
    samples.asked.clear()
    list(streamed.batches_of(wanted, 9, first))
    asked = [row for rows in samples.asked for row in rows]
    assert sorted(asked) == sorted(wanted[9 * first :].tolist())  # what is left, and no more


@pytest.mark.parametrize("first", [0, 2])
def test_augmentation_is_that_of_an_array(first: int) -> None:
    streamed, loaded = both(50)
    specification: Any = [{"flip": {}}, {"crop": {"padding": 2}}]
    wanted = order(1, 4, 50)
    found = [
        list(part.batches_of(wanted, 8, first, part.augmenter(specification, 7).of_epoch(3)))
        for part in (streamed, loaded)
    ]
    assert_equal(*found)
    plain = list(streamed.batches_of(wanted, 8, first))
    assert any(not torch.equal(one.inputs, other.inputs) for one, other in zip(found[0], plain, strict=True))


def test_samples_without_targets_have_batches_without() -> None:
    images, _ = content(5)
    part = StreamedPart(Stored(images, None), COLOUR, CPU)
    assert_equal(list(part.batches(2)), list(LoadedPart(Split(images), COLOUR, CPU).batches(2)))
    assert part.targets is None


def test_what_people_look_at_is_that_of_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_part, "PASS", 7)
    streamed, loaded = both(40)
    assert streamed.targets is not None and loaded.targets is not None
    assert np.array_equal(streamed.targets, loaded.targets) and streamed.targets.dtype == np.int64
    assert len(streamed.raw_images) == len(loaded.raw_images) == 20
    assert all(np.array_equal(one, other) for one, other in zip(streamed.raw_images, loaded.raw_images, strict=True))
    assert np.array_equal(streamed.images_of([4, 1]), loaded.images_of([4, 1]))
    assert list(streamed.names) == list(loaded.names) and streamed.files == []
    assert streamed.names[3] == "3" and streamed.names[-1] == "39" and streamed.names[1:3] == ["1", "2"]
    with pytest.raises(IndexError):
        _ = streamed.names[40]


def test_the_digest_of_the_content_changes_with_it() -> None:
    images, targets = content(30)
    changed = images.copy()
    changed[29, 0, 0, 0] ^= 1
    digests = [StreamedPart(Stored(each, targets), COLOUR, CPU).content for each in (images, images, changed)]
    assert digests[0] == digests[1] != digests[2]


def test_images_of_different_sizes_are_brought_to_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (3, 4 + index % 3, 5 + index % 4), dtype=np.uint8) for index in range(10)]
    data = opened(monkeypatch, Split(Stored(images, np.zeros(10, np.int64))), shape=(3, None, None), resize=6)
    part = data.part("train")
    assert part.images_of(range(10)).shape == (10, 6, 6, 3)
    each = [
        LoadedPart(Split(image[None], np.zeros(1, np.int64)), data.preprocessing, CPU).images_of([0])
        for image in images
    ]
    assert np.array_equal(part.images_of(range(10)), np.concatenate(each))
    assert [image.shape for image in part.raw_images] == [image.shape for image in images]
    assert [len(batch.inputs) for batch in part.batches(4)] == [4, 4, 2]


# --------------------------------------------------------------------------------------------- a million of them


def test_of_a_million_samples_only_a_few_batches_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    source, size, steps = Million(), 64, 40
    tracemalloc.start()
    try:
        data = opened(monkeypatch, Split(source), shape=(3, 32, 32), val_fraction=0.1)
        train = data.part("train")
        wanted = order(0, 0, len(train))
        augment = train.augmenter([{"flip": {}}], 0).of_epoch(0)
        opening = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for batch in islice(train.batches_of(wanted, size, 5000, augment), steps):
            assert len(batch.inputs) == size and batch.targets is not None
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert data.samples == {"train": 900_000, "val": 100_000}
    assert opening < 100e6  # of indices; the images would be three gigabytes
    assert source.largest <= 1024  # what augmentation looks at; batches are smaller
    # the bytes of the batches that are fetched ahead, and of the list of all batches' places
    assert peak < 6 * (AHEAD + 2) * size * Million.BYTES + 900_000 / size * 300


def test_no_more_than_the_next_batches_are_fetched_before_they_are_asked_for() -> None:
    images, targets = content(100)
    samples = Stored(images, targets)
    batches = StreamedPart(samples, COLOUR, CPU).batches(5)
    for taken in range(1, 6):
        next(batches)
        assert len(samples.asked) <= taken + AHEAD
    batches.close()  # type: ignore[attr-defined]
    assert len(samples.asked) <= 5 + AHEAD


def test_a_pass_over_all_targets_makes_no_image(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Million()
    monkeypatch.setattr(streamed_part, "PASS", 100_000)
    found = StreamedPart(
        source, Preprocessing(channels=3, height=32, width=32, mean=(0,) * 3, std=(1,) * 3), CPU
    ).targets
    assert found is not None and source.largest == 0 and np.bincount(found).tolist() == [333_334, 333_333, 333_333]


# -------------------------------------------------------------------------------------------- parts of a dataset


def test_a_validation_split_is_put_aside_and_no_sample_is_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    images, targets = content(200)
    images[:, 0, 0, 0] = np.arange(200)  # an image says its index
    data = opened(monkeypatch, Split(Stored(images, targets)), val_fraction=0.25, seed=7)
    train, val = data.part("train"), data.part("val")
    assert (len(train), len(val)) == (150, 50)
    assert sorted([*map(int, train.names), *map(int, val.names)]) == list(range(200))
    for part in (train, val):
        rows = [int(name) for name in part.names]
        assert part.images_of(range(len(part)))[:, 0, 0, 0].tolist() == rows
        assert part.targets is not None and part.targets.tolist() == targets[rows].tolist()
        assert torch.cat([batch.indices for batch in part.batches(16)]).tolist() == list(range(len(part)))
    again = opened(monkeypatch, Split(Stored(images, targets)), val_fraction=0.25, seed=7)
    assert list(again.part("val").names) == list(val.names)
    assert list(
        opened(monkeypatch, Split(Stored(images, targets)), val_fraction=0.25, seed=8).part("val").names
    ) != list(val.names)


def test_it_is_the_split_of_an_array_whose_targets_are_not_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    images, _ = content(40)
    target, values = Values(names=("x",)), np.arange(40, dtype=np.float32)[:, None]
    streamed = opened(monkeypatch, Split(Stored(images, values)), target=target, val_fraction=0.2, seed=3)
    loaded = opened(monkeypatch, Split(images, values), target=target, val_fraction=0.2, seed=3)
    for name in ("train", "val"):
        one, other = streamed.part(name), loaded.part(name)
        assert list(one.names) == list(other.names)
        assert_equal(list(one.batches(7)), list(other.batches(7)))


def test_names_of_samples_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    images, targets = content(4)
    data = opened(monkeypatch, Split(Stored(images, targets), names=list("wxyz")))
    assert list(data.part("train").names) == list("wxyz")


def test_classes_of_samples_that_are_made_on_demand_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError) as caught:
        opened(monkeypatch, Split(Stored(*content(9))), classes=["a", "b"])
    assert (
        "come from a SampleSource, which does not support a choice of classes (dataset.classes); fix: leave it out"
        in str(caught.value)
    )


# ------------------------------------------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("target", "targets", "kind", "words"),
    [
        (None, np.array([0, 1, 3, 0]), DataError, "split 'train' has the label 3, outside 0…2 (toys/toy)"),
        (
            None,
            np.array([0.0, 1, 2, 0]),
            PluginError,
            "the labels of split 'train' must be integers (N,), not float64 (4,)",
        ),
        (Values(names=("x",)), np.array([[1], [2], [np.nan], [3]]), DataError, "has the target nan (x of sample 2)"),
        (Values(names=("x",)), np.zeros(4), PluginError, "must be numbers (N, 1), not float64 (4,)"),
        (
            Mask(names=CLASSES),
            np.zeros((4, 3, 3), np.uint8),
            PluginError,
            "masks from a SampleSource must be arrays of the network's size, 6×5",
        ),
    ],
)
def test_targets_are_checked_as_those_of_arrays_are(
    monkeypatch: pytest.MonkeyPatch, target: Target | None, targets: np.ndarray, kind: type[Exception], words: str
) -> None:
    data = opened(monkeypatch, Split(Stored(content(4)[0], targets)), target=target)
    with pytest.raises(kind) as caught:
        next(data.part("train").batches(4))
    assert words in str(caught.value)


def test_targets_come_in_the_dtype_of_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    images, targets = content(4)
    batch = next(opened(monkeypatch, Split(Stored(images, targets.astype(np.uint8)))).part("train").batches(4))
    assert batch.targets is not None and batch.targets.dtype == torch.int64
    double = np.arange(8, dtype=np.float64).reshape(4, 2)
    data = opened(monkeypatch, Split(Stored(images, double)), target=Values(names=("x", "y")))
    batch = next(data.part("train").batches(4))
    assert batch.targets is not None and batch.targets.dtype == torch.float32
    assert data.part("train").targets is not None and data.part("train").targets.dtype == np.float32  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((3, 3, 6, 5), np.uint8),
        np.zeros((4, 3, 6, 5), np.float32),
        np.zeros((4, 6, 5), np.uint8),
        [np.zeros((3, 6, 5), np.uint8)] * 3,
        [np.zeros((6, 5), np.uint8)] * 4,
        [np.zeros((3, 6, 5))] * 4,
    ],
)
def test_images_other_than_those_that_were_asked_for_are_the_plugins_fault(
    given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(Stored):
        def images(self, indices: np.ndarray) -> Any:
            return given

    part = opened(monkeypatch, Split(Odd(*content(4)))).part("train")
    with pytest.raises(
        PluginError, match=r"the sample source did not return 4 images as uint8 \(n, C, H, W\)"
    ) as caught:
        next(part.batches(4))
    assert (caught.value.where, caught.value.fix) == ("toys/toy", "report it to the authors of zoo-toys")


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        (lambda indices: 9 in indices, "could not be read (sample 9 of its split 'train')"),
        (lambda indices: 9 in indices and len(indices) > 1, "could not be read (4 samples at once of its split"),
    ],
)
@pytest.mark.parametrize("of", ["images", "targets"])
def test_an_error_of_the_source_ends_the_batches_and_names_the_dataset_and_the_sample(
    failing: Callable[[np.ndarray], bool], told: str, of: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Stored):
        def images(self, indices: np.ndarray) -> Any:
            self.fail("images", indices)
            return super().images(indices)

        def targets(self, indices: np.ndarray) -> Any:
            self.fail("targets", indices)
            return super().targets(indices)

        def fail(self, asked: str, indices: np.ndarray) -> None:
            if asked == of and failing(indices):
                raise OSError("the server does not answer")

    batches = opened(monkeypatch, Split(Failing(*content(20)))).part("train").batches(4)
    assert len(next(batches).inputs) == len(next(batches).inputs) == 4
    with pytest.raises(PluginError, match="the server does not answer") as caught:
        next(batches)
    assert f"dataset 'toys/toy' {told}" in str(caught.value)


def test_targets_of_some_samples_are_fetched_alone() -> None:
    images, targets = content(20)
    source = Stored(images, targets)
    loaded = LoadedPart(Split(images, targets), COLOUR, CPU)
    for part in (StreamedPart(source, COLOUR, CPU), loaded):
        found = part.targets_of([3, 17, 3])
        assert found is not None and found.tolist() == targets[[3, 17, 3]].tolist()
    assert StreamedPart(Stored(images, None), COLOUR, CPU).targets_of([1]) is None
    assert LoadedPart(Split(images), COLOUR, CPU).targets_of([1]) is None


def test_samples_that_are_made_on_demand_cannot_be_tried_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="the samples of toy are made on demand"):
        opened(monkeypatch, Split(Stored(*content(4))), skip_bad_images=True)


@pytest.mark.parametrize(
    ("split", "kind", "words"),
    [
        (Split(Stored(*content(0))), DataError, "split 'train' is empty"),
        (Split(Stored(*content(4)), np.zeros(4, np.int64)), PluginError, "remove Split.targets"),
        (Split(Stored(*content(4)), names=["one"]), PluginError, "has 4 images, but 1 names"),
    ],
)
def test_a_split_that_is_none_is_refused_when_it_is_opened(
    monkeypatch: pytest.MonkeyPatch, split: Split, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        opened(monkeypatch, split)


def test_a_target_is_of_classes_by_its_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened(monkeypatch, Split(Stored(*content(4)))).target == Classes(names=CLASSES)


# ------------------------------------------------------------------------------------------------------------ a run

REGISTRATION = """
from zoo.api import DatasetSpec, hookimpl

@hookimpl
def zoo_register_datasets():
    told = {"summary": "Stripes.", "classes": ("rows", "columns"), "shape": (1, 16, 16), "mean": (0.5,), "std": (0.5,)}
    return [
        DatasetSpec(name=name, target=f"zoo_stripes.made:{target}", licence="CC0", **told)
        for name, target in (("held", "Held"), ("streamed", "Streamed"))
    ]
"""
MADE = """
import numpy as np
from zoo.api import Dataset, SampleSource, Split

COUNT = {"train": 50, "test": 20}

def stripes(indices):
    noise = np.stack([np.random.default_rng(int(each)).integers(0, 120, (1, 16, 16)) for each in indices])
    rows = np.arange(16) % 4 < 2
    pattern = np.where((indices % 2 == 0)[:, None, None], rows[:, None], rows[None, :])[:, None]
    return (noise + 120 * pattern).astype(np.uint8)

class Source(SampleSource):
    def __init__(self, first, count):
        self.first, self.count = first, count

    def __len__(self):
        return self.count

    def images(self, indices):
        return stripes(indices + self.first)

    def targets(self, indices):
        return (indices + self.first) % 2

class Held(Dataset):
    fingerprint = "stripes"
    parts = {"train": "train", "test": "test"}

    def __init__(self, options, store):
        pass

    def source(self, split):
        return Source(0 if split == "train" else 1000, COUNT[split])

    def load(self, split):
        source, every = self.source(split), np.arange(COUNT[split])
        return Split(source.images(every), source.targets(every))

class Streamed(Held):
    def load(self, split):
        return Split(self.source(split))
"""


@pytest.fixture
def stripes(install: Callable[..., Path]) -> Iterator[None]:
    """A plugin with the same images twice: as an array, and made on demand."""
    info = install("zoo-stripes", "stripes", REGISTRATION)
    (info.parent / "zoo_stripes" / "made.py").write_text(MADE, encoding="utf-8")
    registry.cache_clear()
    yield
    registry.cache_clear()


def trained(dataset: str, out: Path, console: Console | None = None) -> RunResult:
    overrides: dict[str, Any] = {
        "dataset": dataset,
        "architecture": {"name": "cnn", "n_features": 4},
        "train": {"epochs": 2, "batch_size": 16, "augment": "flip", "checkpoint_steps": 3, "mixup": 0.2},
        "device": "cpu",
    }
    return zoo.run(overrides=overrides, out=out, console=console or Console(quiet=True))


def test_a_run_on_samples_that_are_made_on_demand_is_that_on_an_array_and_resumes_exactly(
    stripes: None, tmp_path: Path
) -> None:
    class Stop(Console):
        def step(self, progress: Any, batch_samples: int) -> None:
            if progress.step == 6:
                raise ZooError("stopped")

    held, streamed = (trained(name, tmp_path / name) for name in ("held", "streamed"))
    assert held.record.samples == streamed.record.samples == {"train": 50, "test": 20}
    assert streamed.metrics == pytest.approx(held.metrics, rel=1e-4)
    one, other = (zoo.load(tmp_path / name).module.state_dict() for name in ("held", "streamed"))
    for name, value in one.items():  # alignment in memory may change the last bits of a product
        torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-6)
    with pytest.raises(ZooError, match="stopped"):
        trained("streamed", tmp_path / "parts", Stop(quiet=True))
    again = zoo.run(resume=tmp_path / "parts", console=Console(quiet=True))
    assert again.metrics == streamed.metrics
    for name, value in zoo.load(tmp_path / "parts").module.state_dict().items():
        assert torch.equal(value, other[name])
