"""Random augmentation of a batch: every registered one, and the rule that (seed, epoch, index) decides alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.config.augmentation_options import canonical
from zoo.data.augmentation import Augmenter
from zoo.registry.lookup import registry
from zoo.support.counter_random import AUGMENT, uniforms

MEAN = (0.4, 0.5, 0.6)
EVERY = [item.spec.name for item in registry().items("augmentation")]


def noise(count=40, channels=3, side=12):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, channels, side, side), dtype=np.uint8))


def augmented(images, specification, *, seed=0, epoch=0, indices=None):
    rows = np.arange(len(images)) if indices is None else indices
    return Augmenter(canonical(specification), seed, images, MEAN[: images.shape[1]]).of_epoch(epoch)(
        images[torch.from_numpy(rows)], rows
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EVERY)
def test_every_step_keeps_form_and_range(name, channels) -> None:
    images = noise(channels=channels)
    before = images.clone()
    found = augmented(images, [name])
    assert found.shape == images.shape
    assert found.data_ptr() != images.data_ptr()
    assert found.float().min() >= 0
    assert found.float().max() <= 255.001
    assert torch.equal(images, before), "the data itself was changed"
    assert not torch.equal(found.float(), images.float())


@pytest.mark.parametrize("name", EVERY)
def test_what_a_sample_gets_depends_on_seed_epoch_and_index_alone(name) -> None:
    images = noise()
    whole = augmented(images, [name], epoch=3).float()
    backwards = augmented(images, [name], epoch=3, indices=np.arange(40)[::-1].copy()).float()
    alone = augmented(images, [name], epoch=3, indices=np.array([17])).float()
    torch.testing.assert_close(backwards.flip(0), whole, atol=1e-3, rtol=0)
    torch.testing.assert_close(alone[0], whole[17], atol=1e-3, rtol=0)
    assert not torch.equal(whole, augmented(images, [name], epoch=4).float())
    assert not torch.equal(whole, augmented(images, [name], epoch=3, seed=1).float())


def test_the_global_generators_are_left_alone() -> None:
    before = torch.get_rng_state()
    augmented(noise(), EVERY)
    assert torch.equal(torch.get_rng_state(), before)


def test_two_steps_of_one_kind_draw_different_numbers() -> None:
    images = noise(count=400)
    once = (augmented(images, ["flip"]).float() != images.float()).flatten(1).any(1)
    twice = (augmented(images, ["flip", "flip"]).float() != images.float()).flatten(1).any(1)
    assert 0.4 < once.float().mean() < 0.6
    assert 0.4 < twice.float().mean() < 0.6
    assert not torch.equal(once, twice)


def test_uniforms_are_splitmix64_run_on_from_the_hash() -> None:
    found = uniforms(3, AUGMENT, 2, np.arange(20_000), 5)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() < 1
    np.testing.assert_allclose(found.mean(0), 0.5, atol=0.01)
    assert np.abs(np.corrcoef(found.T) - np.eye(5)).max() < 0.03
