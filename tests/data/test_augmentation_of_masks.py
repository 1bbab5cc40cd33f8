"""Masks follow their images through every augmentation; targets that cannot are refused before training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.api import Split
from zoo.config.augmentation_options import canonical
from zoo.contract.targets import Classes, Mask, MultiLabel, NoTarget, Opaque, Values
from zoo.data.augmentation import Augmenter, augmentation_fault
from zoo.data.loaded_part import LoadedPart
from zoo.data.masks import MaskLoader
from zoo.data.preprocessing import Preprocessing
from zoo.registry.lookup import registry

WHOLE = ["flip", {"flip": {"axis": "vertical"}}, "shift", {"shift": 0.33}, "crop", {"crop": {"padding": 9}}]
SAMPLED = ["rotate", {"rotate": 180}, "resized_crop", {"resized_crop": {"scale": [0.2, 0.6]}}, "trivial_augment"]
CLASSES = 3


def masks(count=200, height=24, width=30):
    """Blocks of 6 × 6 pixels."""
    blocks = np.random.default_rng(1).integers(0, CLASSES, (count, height // 6, width // 6), dtype=np.uint8)
    return torch.from_numpy(blocks.repeat(6, 1).repeat(6, 2))


def augmented(specification, images, given, ignore=255):
    augmenter = Augmenter(canonical(specification), 3, images, (0.5,) * 3, ignore)
    return augmenter.of_epoch(1).pairs(images, given, np.arange(len(images)))


@pytest.mark.parametrize("step", [*WHOLE, [*WHOLE]], ids=str)
def test_by_whole_pixels_a_mask_is_what_an_image_of_its_classes_becomes(step) -> None:
    given = masks()
    images = (given + 1)[:, None].expand(-1, 3, -1, -1).contiguous()  # 0 is what comes in
    shown, found = augmented(step if isinstance(step, list) else [step], images, given)
    assert found.dtype == torch.uint8
    assert torch.equal(torch.where(found == 255, 0, found + 1), shown[:, 0])
    assert not torch.equal(found, given)


@pytest.mark.parametrize("step", SAMPLED, ids=str)
def test_between_pixels_a_mask_has_the_class_that_outweighs_the_others(step) -> None:
    """The nearest of four pixels has a quarter of the weight at least: a class with more than three quarters is its."""
    given = masks()
    one_hot = torch.nn.functional.one_hot(given.long(), CLASSES).permute(0, 3, 1, 2).float() * 200
    shown, found = moved_only(step, one_hot, given)
    sure = shown / 200 > 0.76
    assert sure.any(1).float().mean() > 0.3
    for number in range(CLASSES):
        assert (found[sure[:, number]] == number).all()
    assert (found[shown.sum(1) / 200 < 0.24] == 255).all()
    assert not torch.equal(found, given)


def moved_only(step, images, given):
    """As `augmented`, without the changes of values that an augmentation makes."""
    augmenter = Augmenter(canonical([step]), 3, images.to(torch.uint8), (0.5,) * 3, 255)
    augmenter.augmentations[0].pixels = lambda images, _draws: images
    return augmenter.of_epoch(1).pairs(images, given, np.arange(len(images)))


@pytest.mark.parametrize("step", ["color_jitter", "pca_noise", "erase"])
def test_changes_of_colour_leave_masks_alone(step) -> None:
    given = masks(20)
    shown, found = augmented([step], torch.randint(0, 256, (20, 3, 24, 30), dtype=torch.uint8), given)
    assert torch.equal(found, given)
    assert shown.is_floating_point()


def test_every_registered_augmentation_is_tried_here() -> None:
    steps = {step if isinstance(step, str) else next(iter(step)) for step in [*WHOLE, *SAMPLED]}
    names = {item.spec.name for item in registry().items("augmentation", namespace="augment")}
    assert steps | {"color_jitter", "pca_noise", "erase"} == names


def test_a_reflected_border_is_ignored_in_the_mask() -> None:
    given = masks()
    images = (given + 1)[:, None].expand(-1, 3, -1, -1).contiguous()
    shown, found = augmented([{"crop": {"padding": 5, "fill": "reflect"}}], images, given)
    assert (shown > 0).all()
    assert (found == 255).any()
    assert torch.equal(found[found != 255] + 1, shown[:, 0][found != 255])


def test_images_are_the_same_with_masks_and_without() -> None:
    images = torch.randint(0, 256, (50, 3, 24, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    steps = [*WHOLE, *SAMPLED, "color_jitter", "erase"]
    assert torch.equal(augmented(steps, images, masks(50))[0], augmented(steps, images, None)[0])


def test_batches_of_a_part_have_both_moved() -> None:
    given = masks(40)
    images = (given * 80 + 20)[:, None].expand(-1, 3, -1, -1).contiguous()
    how = Preprocessing(channels=3, height=24, width=30, mean=(0.0,) * 3, std=(1.0,) * 3)
    loader = MaskLoader(Mask(names=("a", "b", "c"), ignore=9), lambda path: "", "toy")
    part = LoadedPart(Split(images.numpy(), given.numpy()), how, torch.device("cpu"), load_masks=loader)
    augment = part.augmenter(canonical(["flip", "crop"]), 0).of_epoch(0)
    for batch in part.batches_of(np.arange(40)[::-1].copy(), 7, augment=augment):
        shown = (batch.inputs[:, 0] * 255).round().long()
        assert torch.equal(torch.where(batch.targets == 9, 0, batch.targets.long() * 80 + 20), shown)


MASK, COMPLETE = Mask(names=("a", "b")), Mask(names=("a", "b"), ignore=None)
DEPTH = Opaque(dtype="float32", shape=(None, None))


@pytest.mark.parametrize(
    "target", [Classes(names=("a",)), MultiLabel(names=("a",)), Values(names=("a",)), NoTarget(), MASK]
)
def test_most_targets_go_with_every_augmentation(target) -> None:
    every = canonical([item.spec.name for item in registry().items("augmentation")])
    assert augmentation_fault(every, target) is None


def test_an_opaque_target_goes_with_colours_alone() -> None:
    assert augmentation_fault(canonical("color_jitter, erase, pca_noise"), DEPTH) is None
    told = "crop moves pixels, but targets of the kind 'opaque' cannot be moved with them"
    assert augmentation_fault(canonical("color_jitter, crop, flip"), DEPTH) == told


@pytest.mark.parametrize("step", ["shift", "crop", "rotate", "trivial_augment", "crop: {padding: 1}"])
def test_masks_without_a_value_to_ignore_cannot_have_pixels_from_outside(step) -> None:
    found = augmentation_fault(canonical(step), COMPLETE)
    assert found is not None and "fills pixels from outside the image" in found and "\n" not in found


@pytest.mark.parametrize("step", ["flip", "resized_crop", "flip: {axis: vertical}", "color_jitter"])
def test_and_may_have_all_that_stays_inside(step) -> None:
    assert augmentation_fault(canonical(step), COMPLETE) is None
