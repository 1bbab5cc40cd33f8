"""The evaluator of segmentation, which sees a split batch by batch, against torchvision's reference formula,
torchmetrics and scipy's erosion; merged and whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import multiclass_jaccard_index
from zoo_tasks.segmentation_metrics import SegmentationEvaluator, boundary_counts

from zoo.api import Batch, EvaluationResult

CLOSE = 1e-6
IGNORED = 255


def made(classes: int = 4, present: int | None = None, ignored: float = 0.1) -> tuple[Tensor, Tensor]:
    """Logits (7, K, 12, 16) that are right more often than by chance, and masks in blocks, of the first ``present``
    classes."""
    random = torch.Generator().manual_seed(5)
    coarse = torch.randint(present or classes, (7, 3, 4), generator=random)
    masks = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    logits = 2 * F.one_hot(masks, classes).movedim(3, 1) + torch.randn(7, classes, 12, 16, generator=random)
    masks[torch.rand(masks.shape, generator=random) < ignored] = IGNORED
    return logits, masks.to(torch.uint8)


def evaluate(logits: Tensor, masks: Tensor, cuts: tuple[int, ...] = (), batch: int = 2) -> EvaluationResult:
    """By one evaluator, or by one for each piece between ``cuts``, merged in their order."""
    evaluators = []
    for rows in torch.tensor_split(torch.arange(len(masks)), cuts):
        evaluators.append(SegmentationEvaluator(logits.shape[1], IGNORED, 0.05))
        for part in rows.split(batch):
            evaluators[-1].update({"output": logits[part]}, Batch(logits[part], masks[part], part))
    for evaluator in evaluators[1:]:
        evaluators[0].merge(evaluator)
    return evaluators[0].compute()


def reference(logits: Tensor, masks: Tensor) -> tuple[float, np.ndarray]:
    """Accuracy and IoU of each class by torchvision's references/segmentation/utils.py (ConfusionMatrix)."""
    n, a, b = logits.shape[1], masks.flatten().long(), logits.argmax(1).flatten()
    k = (a >= 0) & (a < n)
    h = torch.bincount(n * a[k] + b[k], minlength=n**2).reshape(n, n).double()
    return (h.diag().sum() / h.sum()).item(), (h.diag() / (h.sum(1) + h.sum(0) - h.diag())).numpy()


def test_metrics_agree_with_torchvision_and_torchmetrics() -> None:
    logits, masks = made()
    found = evaluate(logits, masks)
    accuracy, ious = reference(logits, masks)
    theirs = multiclass_jaccard_index(logits, masks.long(), num_classes=4, ignore_index=IGNORED, average="macro")
    assert found.metrics["pixel_accuracy"] == pytest.approx(accuracy, abs=CLOSE)
    assert found.details["per_class"]["iou"] == pytest.approx(ious.tolist(), abs=CLOSE)
    assert found.metrics["mean_iou"] == pytest.approx(ious.mean(), abs=CLOSE)
    assert found.metrics["mean_iou"] == pytest.approx(theirs.item(), abs=CLOSE)
    assert found.metrics["loss"] == pytest.approx(
        F.cross_entropy(logits, masks.long(), ignore_index=IGNORED).item(), abs=CLOSE
    )
    assert list(found.metrics) == ["mean_iou", "pixel_accuracy", "boundary_iou", "loss"]


def test_columns_are_those_of_each_image() -> None:
    logits, masks = made()
    found = evaluate(logits, masks)
    for index in range(len(masks)):
        alone = slice(index, index + 1)
        accuracy, ious = reference(logits[alone], masks[alone])
        assert found.per_sample["mean_iou"][index] == pytest.approx(np.nanmean(ious), abs=CLOSE)
        assert found.per_sample["pixel_accuracy"][index] == pytest.approx(accuracy, abs=CLOSE)
        loss = F.cross_entropy(logits[alone], masks[alone].long(), ignore_index=IGNORED).item()
        assert found.per_sample["loss"][index] == pytest.approx(loss, abs=CLOSE)


def test_a_class_that_is_nowhere_does_not_count() -> None:
    logits, masks = made(classes=6, present=4)
    logits[:, 4:] -= 50
    found = evaluate(logits, masks)
    assert found.details["per_class"]["iou"][4:] == [None, None]
    assert found.metrics["mean_iou"] == pytest.approx(np.nanmean(reference(logits, masks)[1]), abs=CLOSE)


@pytest.mark.parametrize("cuts", [(3,), (1, 2, 6)])
@pytest.mark.parametrize("batch", [1, 7])
def test_merged_evaluators_and_other_batches_give_the_same(cuts: tuple[int, ...], batch: int) -> None:
    logits, masks = made()
    whole, found = evaluate(logits, masks), evaluate(logits, masks, cuts, batch)
    assert found.metrics == pytest.approx(whole.metrics, abs=1e-12) and found.details == whole.details
    for name, column in whole.per_sample.items():
        np.testing.assert_allclose(found.per_sample[name], column, rtol=1e-6)


def test_boundary_iou_against_scipys_erosion() -> None:
    """As the authors' mask_to_boundary: erosions by a 3×3 square, with zeros around the image."""
    logits, masks = made(ignored=0)
    ratio = 0.1
    width = max(1, round(ratio * math.hypot(12, 16)))
    assert width == 2
    guesses, square = logits.argmax(1).numpy(), np.ones((3, 3))
    both, either = np.zeros(4, int), np.zeros(4, int)
    for truth, guess in zip(masks.numpy(), guesses, strict=True):
        for index in range(4):
            regions = [
                mask & ~ndimage.binary_erosion(mask, square, iterations=width, border_value=0)
                for mask in (truth == index, guess == index)
            ]
            both[index] += (regions[0] & regions[1]).sum()
            either[index] += (regions[0] | regions[1]).sum()
    counted = torch.ones(masks.shape, dtype=torch.bool)
    found = boundary_counts(masks.long(), torch.from_numpy(guesses), counted, 4, ratio)
    assert found.tolist() == [both.tolist(), either.tolist()]


def test_a_perfect_network_has_the_best_metrics_and_ignored_pixels_do_not_count() -> None:
    _, masks = made(ignored=0.3)
    perfect = 20.0 * F.one_hot(masks.long() * (masks != IGNORED), 4).movedim(3, 1)
    found = evaluate(perfect, masks)
    assert [found.metrics[name] for name in ("mean_iou", "pixel_accuracy", "boundary_iou")] == [1, 1, 1]
    assert found.metrics["loss"] == pytest.approx(0, abs=CLOSE)
    assert sum(found.details["per_class"]["pixels"]) == int((masks != IGNORED).sum())


def test_images_without_masks_cannot_be_evaluated() -> None:
    batch = Batch(torch.ones(1, 3, 4, 4), None, torch.arange(1))
    with pytest.raises(ValueError, match="needs masks"):
        SegmentationEvaluator(2, None).update({"output": torch.ones(1, 2, 4, 4)}, batch)
