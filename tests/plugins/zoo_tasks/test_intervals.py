"""Intervals of metrics: Wilson's against scipy's and the literature, the bootstrap against a loop over samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from zoo_tasks import segmentation_metrics
from zoo_tasks.intervals import RESAMPLES, bootstrap, draws, mean_interval, wilson
from zoo_tasks.metrics import ClassificationEvaluator
from zoo_tasks.multi_label_metrics import MultiLabelEvaluator, average_precision, average_precisions
from zoo_tasks.regression_metrics import RegressionEvaluator
from zoo_tasks.segmentation_metrics import SegmentationEvaluator

from zoo.api import Affine, Batch, Sigmoid

RANDOM = np.random.default_rng(1)


def test_the_interval_of_a_share_is_wilsons() -> None:
    # R. Newcombe: Two-sided confidence intervals for the single proportion (1998), table I
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    for hits, count in ((0, 20), (1, 3), (20, 20), (302, 320), (7, 10_000)):
        due = binomtest(hits, count).proportion_ci(0.95, method="wilson")
        assert wilson(hits / count, count) == pytest.approx((due.low, due.high), abs=1e-12)


def test_the_bootstrap_of_a_mean_has_its_standard_error() -> None:
    values = RANDOM.normal(3, 2, 400)
    low, high = mean_interval(values)
    width = 2 * 1.96 * values.std() / 20
    assert low < values.mean() < high and high - low == pytest.approx(width, rel=0.1)
    assert mean_interval(values) == (low, high)  # the same draws each time
    assert sum(len(counts) for counts in draws(100_000)) == RESAMPLES


def repeated(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.repeat(values, counts, axis=0)


def test_average_precision_of_a_bootstrap_sample_is_that_of_its_samples() -> None:
    truth, scores = RANDOM.random(60) < 0.2, RANDOM.random(60).round(1)  # with equal scores
    counts = next(draws(60))[:25]
    due = [average_precision(repeated(truth, each), repeated(scores, each)) for each in counts]
    assert average_precisions(truth, scores, counts) == pytest.approx(due)
    none = np.where(truth, 0, 1)[None]
    assert np.isnan(average_precisions(truth, scores, none)).all()


def interval_of(metric: Any, samples: int) -> Any:
    """The interval by a loop over the bootstrap samples."""
    return bootstrap(samples, lambda counts: np.array([metric(each) for each in counts]))


def batch(targets: torch.Tensor) -> Batch:
    return Batch(torch.empty(0), targets, torch.arange(len(targets)))


def test_evaluators_have_the_interval_of_their_first_metric() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(40, 3), torch.randint(0, 2, (40, 3)).to(torch.uint8)
    some = MultiLabelEvaluator(Sigmoid(classes=("a", "b", "c"), thresholds=(0.5,) * 3))
    some.update({"output": logits}, batch(labels))
    shown, there = logits.double().sigmoid().numpy(), labels.numpy().astype(bool)

    def mean(counts: np.ndarray) -> float:
        pairs = zip(repeated(there, counts).T, repeated(shown, counts).T, strict=True)
        return float(np.mean([average_precision(*pair) for pair in pairs]))

    assert some.intervals()["map"] == pytest.approx(interval_of(mean, 40))

    affine = Affine(names=("a", "b", "c"), scale=(1.0,) * 3, offset=(0.0,) * 3)
    numbers = RegressionEvaluator(affine, "abc", lambda found, wanted: (found - wanted).abs())
    numbers.update({"output": logits}, batch(torch.zeros(40, 3)))
    errors = logits.abs().double().numpy().mean(1)
    assert numbers.intervals()["mae"] == pytest.approx(interval_of(lambda each: repeated(errors, each).mean(), 40))

    classes = ClassificationEvaluator(3)
    classes.update({"output": logits}, batch(logits.argmax(1).roll(1)))
    assert classes.intervals()["accuracy"] == wilson(classes.compute().metrics["accuracy"], 40)


def test_the_interval_of_mean_iou_is_over_images(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    outputs, masks = torch.randn(6, 2, 4, 4), torch.randint(0, 2, (6, 4, 4)).to(torch.uint8)
    evaluator = SegmentationEvaluator(2, None)
    evaluator.update({"output": outputs[:4]}, batch(masks[:4]))
    second = SegmentationEvaluator(2, None)
    second.update({"output": outputs[4:]}, batch(masks[4:]))
    evaluator.merge(second)

    def mean_iou(counts: np.ndarray) -> float:
        rows = torch.from_numpy(np.repeat(np.arange(6), counts))
        one = SegmentationEvaluator(2, None)
        one.update({"output": outputs[rows]}, batch(masks[rows]))
        return one.compute().metrics["mean_iou"]

    low, high = evaluator.intervals()["mean_iou"]
    assert low < evaluator.compute().metrics["mean_iou"] < high
    counts = next(draws(6))[:20]
    monkeypatch.setattr(segmentation_metrics, "bootstrap", lambda _samples, metric: metric(counts))
    assert evaluator.intervals()["mean_iou"] == pytest.approx([mean_iou(each) for each in counts])
