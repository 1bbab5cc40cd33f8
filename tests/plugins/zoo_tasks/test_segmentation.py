"""The losses of segmentation against torch's cross-entropy and plain numpy, and its class weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F
from zoo_tasks.segmentation import Segmentation
from zoo_tasks.segmentation_options import SegmentationOptions

from zoo.api import Batch, Mask, PixelArgmax
from zoo.errors import DataError, UsageError
from zoo.testing.fixtures import dummy_data

NAMES = ("sky", "sea", "land")
TARGET = Mask(names=NAMES)
IGNORED = 255


def made(ignored: float = 0.2, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Logits (4, 3, 5, 6) and masks with ignored pixels; the last mask has nothing else."""
    random = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(4, 3, 5, 6, generator=random)
    masks = torch.randint(3, (4, 5, 6), generator=random).to(torch.uint8)
    masks[torch.rand(4, 5, 6, generator=random) < ignored] = IGNORED
    masks[-1] = IGNORED
    return logits.requires_grad_(), masks


def task_with(statistics: dict[str, Sequence[float]] | None = None, **options: object) -> Segmentation:
    return Segmentation(SegmentationOptions(**options), TARGET, statistics or {})


def loss_of(task: Segmentation, logits: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    values, weights = task.loss({"output": logits}, Batch(logits, masks, torch.arange(len(masks))))
    assert weights is not None
    return values, weights


def probabilities(logits: Tensor) -> np.ndarray:
    shifted = np.exp(logits.detach().double().numpy())
    return shifted / shifted.sum(1, keepdims=True)


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 1.0]])
def test_cross_entropy_is_torchs_over_all_pixels_of_the_batch(weights: list[float] | None) -> None:
    logits, masks = made()
    values, shares = loss_of(task_with(None if weights is None else {"class_weights": weights}), logits, masks)
    found = (values * shares).sum() / shares.sum()
    expected = F.cross_entropy(
        logits, masks.long(), None if weights is None else torch.tensor(weights), ignore_index=IGNORED
    )
    torch.testing.assert_close(found, expected)
    gradient, due = (torch.autograd.grad(each, logits, retain_graph=True)[0] for each in (found, expected))
    torch.testing.assert_close(gradient, due)


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "focal", "cross_entropy+dice"])
def test_an_image_of_ignored_pixels_alone_has_no_loss_and_a_batch_of_them_neither(loss: str) -> None:
    logits, masks = made()
    values, weights = loss_of(task_with(loss=loss), logits[-1:], masks[-1:])
    assert values.item() == pytest.approx(0, abs=1e-6)
    mean = (values * weights).sum() / weights.sum()
    gradient = torch.autograd.grad(mean, logits)[0]
    assert bool(gradient.isfinite().all()) and not gradient.any()


def test_dice_against_numpy() -> None:
    logits, masks = made()
    p, expected = probabilities(logits), []
    for image, mask in zip(p, masks.numpy(), strict=True):
        counted, scores = mask != IGNORED, []
        for index in range(3):
            truth, guess = (mask == index)[counted].astype(float), image[index][counted]
            scores.append((2 * (truth * guess).sum() + 1) / (truth.sum() + guess.sum() + 1))
        expected.append(1 - np.mean(scores))
    values, _ = loss_of(task_with(loss="dice", dice_weight=0.5), logits, masks)
    np.testing.assert_allclose(values.detach().numpy(), 0.5 * np.array(expected), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_loss_against_numpy(gamma: float) -> None:
    logits, masks = made()
    weights = [0.5, 2.0, 1.0]
    p, expected = probabilities(logits), []
    for image, mask in zip(p, masks.numpy(), strict=True):
        terms, share = 0.0, 0.0
        for row, column in zip(*np.nonzero(mask != IGNORED), strict=True):
            truth = int(mask[row, column])
            true = float(image[truth, row, column])
            terms += weights[truth] * -((1 - true) ** gamma) * math.log(true)
            share += weights[truth]
        expected.append(terms / share if share else 0.0)
    values, _ = loss_of(task_with({"class_weights": weights}, loss="focal", focal_gamma=gamma), logits, masks)
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-5, atol=1e-7)


def test_a_sum_of_losses_is_their_sum() -> None:
    logits, masks = made()
    both, one, other = (
        loss_of(task_with(loss=loss), logits, masks)[0] for loss in ("cross_entropy+dice", "cross_entropy", "dice")
    )
    torch.testing.assert_close(both, one + other)


@pytest.mark.parametrize("loss", ["", "lovasz", "dice+dice", "dice+"])
def test_other_losses_are_refused(loss: str) -> None:
    with pytest.raises(ValidationError, match="must be one of cross_entropy, dice, focal, or a sum of them"):
        SegmentationOptions(loss=loss)


def test_balanced_class_weights_count_pixels() -> None:
    data = dummy_data(TARGET)
    train = data.part("train")
    assert train.targets is not None
    counts = np.bincount(train.targets.ravel(), minlength=3)
    found = Segmentation.statistics(SegmentationOptions(class_weights="balanced"), TARGET, train)
    np.testing.assert_allclose(found["class_weights"], counts.sum() / (3 * counts), rtol=1e-6)
    more = Mask(names=(*NAMES, "snow"))
    with pytest.raises(DataError, match="no training pixel has the class 'snow', which cannot be balanced"):
        Segmentation.statistics(SegmentationOptions(class_weights="balanced"), more, train)
    with pytest.raises(UsageError, match="there are 2 weights for 3 classes"):
        Segmentation.statistics(SegmentationOptions(class_weights=[1, 2]), TARGET, train)


def test_the_decision_has_the_classes_and_colours_of_the_masks() -> None:
    colours = ((0, 0, 0), (1, 2, 3), (255, 255, 255))
    task = Segmentation(SegmentationOptions(), Mask(names=NAMES, colours=colours), {})
    assert task.decision(None) == PixelArgmax(classes=NAMES, colours=colours)
