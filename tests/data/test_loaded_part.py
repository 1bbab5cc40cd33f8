"""From a part to batches: every sample once, equal to a plain computation, with no Python call a sample."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from zoo.api import Split
from zoo.data import loaded_part
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.support.counter_random import order

CPU = torch.device("cpu")
COLOUR = Preprocessing(channels=3, height=5, width=4, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))


def images(count: int, shape: tuple[int, int, int] = (3, 5, 4), classes: int = 3) -> Split:
    generator = np.random.default_rng(count)
    return Split(generator.integers(0, 256, (count, *shape), dtype=np.uint8), generator.integers(0, classes, count))


def plain(split: Split, preprocessing: Preprocessing = COLOUR) -> np.ndarray:
    mean, std = (np.array(values, np.float64)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return (split.images / 255.0 - mean) / std


@pytest.mark.parametrize("block", [1, 500, 4 << 20])
@pytest.mark.parametrize(
    ("count", "batch_size"), [(1, 1), (1, 7), (7, 3), (9, 3), (10, 64), (64, 64), (65, 64), (101, 10)]
)
def test_batches_hold_every_sample_once_and_equal_a_plain_computation(
    monkeypatch: pytest.MonkeyPatch, count: int, batch_size: int, block: int
) -> None:
    monkeypatch.setattr(loaded_part, "BLOCK_BYTES", block)
    split = images(count)
    batches = list(LoadedPart(split, COLOUR, CPU).batches(batch_size))
    sizes = [len(batch.inputs) for batch in batches]
    assert sizes == [min(batch_size, count - start) for start in range(0, count, batch_size)]
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(count))
    assert torch.cat([batch.targets for batch in batches]).tolist() == split.targets.tolist()
    inputs = torch.cat([batch.inputs for batch in batches])
    assert inputs.dtype == torch.float32
    np.testing.assert_allclose(inputs.numpy(), plain(split), rtol=0, atol=2e-6)


@pytest.mark.parametrize("block", [1, 700, 4 << 20])
def test_batches_follow_the_order_that_is_asked_for(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(loaded_part, "BLOCK_BYTES", block)
    split, wanted = images(50), order(3, 1, 50)[:33]
    batches = list(LoadedPart(split, COLOUR, CPU).batches_of(wanted, 8))
    assert [len(batch.inputs) for batch in batches] == [8, 8, 8, 8, 1]
    assert torch.cat([batch.indices for batch in batches]).tolist() == wanted.tolist()
    np.testing.assert_allclose(
        torch.cat([batch.inputs for batch in batches]).numpy(), plain(split)[wanted], rtol=0, atol=2e-6
    )
    assert torch.cat([batch.targets for batch in batches]).tolist() == split.targets[wanted].tolist()


@pytest.mark.parametrize("block", [300, 4 << 20])
def test_a_batch_is_the_same_whatever_the_batch_size(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """To the bit: what a resumed run or another batch size reads is what was read before."""
    monkeypatch.setattr(loaded_part, "BLOCK_BYTES", block)
    part, wanted = LoadedPart(images(40), COLOUR, CPU), order(0, 0, 40)
    whole = torch.cat([batch.inputs for batch in part.batches_of(wanted, 40)])
    for size in (1, 3, 16):
        assert torch.equal(torch.cat([batch.inputs for batch in part.batches_of(wanted, size)]), whole)


def test_the_data_itself_is_never_changed_by_a_batch() -> None:
    split = images(20)
    before = split.images.copy()
    part = LoadedPart(split, COLOUR, CPU)
    first = [batch.inputs.clone() for batch in part.batches(6)]
    for batch in part.batches(6):
        batch.inputs.zero_()
    assert np.array_equal(split.images, before)
    assert all(torch.equal(one, batch.inputs) for one, batch in zip(first, part.batches(6), strict=True))


def test_there_is_no_python_call_a_sample() -> None:
    def calls(count: int) -> int:
        part, seen = LoadedPart(images(count), COLOUR, CPU), 0

        def count_calls(_frame: object, event: str, _argument: object) -> None:
            nonlocal seen
            seen += event in ("call", "c_call")

        sys.setprofile(count_calls)
        try:
            batches = sum(1 for _ in part.batches(count // 4))
        finally:
            sys.setprofile(None)
        assert batches == 4
        return seen

    assert calls(4000) == calls(40) < 100


@pytest.mark.parametrize("read_only", [True, False])
def test_a_read_only_array_is_taken_and_another_is_not_copied(read_only: bool) -> None:
    split = images(4)
    split.images.flags.writeable = not read_only
    part = LoadedPart(split, COLOUR, CPU)
    assert np.shares_memory(part.images.numpy(), split.images) == (not read_only)
    np.testing.assert_allclose(next(part.batches(4)).inputs.numpy(), plain(split), rtol=0, atol=2e-6)


def test_unlabelled_images_have_batches_without_labels() -> None:
    part = LoadedPart(Split(images(5).images, None, list("vwxyz")), COLOUR, CPU)
    assert [(batch.targets, len(batch.inputs)) for batch in part.batches(2)] == [(None, 2), (None, 2), (None, 1)]
    assert part.targets is None
    assert list(part.names) == list("vwxyz")


def test_images_to_look_at_are_as_they_were() -> None:
    split = images(6)
    assert np.array_equal(LoadedPart(split, COLOUR, CPU).images_of([4, 1]), split.images[[4, 1]].transpose(0, 2, 3, 1))


@pytest.mark.gpu
@pytest.mark.parametrize("resident", [0, 4 << 30])
def test_a_gpu_gets_the_same_batches(monkeypatch: pytest.MonkeyPatch, resident: int) -> None:
    monkeypatch.setattr(loaded_part, "RESIDENT_BYTES", resident)
    split = images(50)
    on_gpu = LoadedPart(split, COLOUR, torch.device("cuda"))
    for one, other in zip(on_gpu.batches(7), LoadedPart(split, COLOUR, CPU).batches(7), strict=True):
        assert all(tensor.is_cuda for tensor in (one.inputs, one.targets, one.indices))
        torch.testing.assert_close(one.inputs.cpu(), other.inputs, rtol=0, atol=2e-6)
        assert torch.equal(one.targets.cpu(), other.targets)
        assert torch.equal(one.indices.cpu(), other.indices)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_come_in_the_memory_format_that_is_asked_for(channels) -> None:
    images = np.random.default_rng(0).integers(0, 256, (10, channels, 6, 5), dtype=np.uint8)
    how = Preprocessing(channels=channels, height=6, width=5, mean=(0.5,) * channels, std=(0.25,) * channels)
    part = LoadedPart(Split(images, np.zeros(10, np.int64)), how, torch.device("cpu"))
    plain = [batch.inputs for batch in part.batches(4)]
    part.memory_format = torch.channels_last
    laid = [batch.inputs for batch in part.batches(4)]
    assert all(torch.equal(one, other) for one, other in zip(plain, laid, strict=True))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in laid)
