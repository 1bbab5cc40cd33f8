"""How two engines' outputs are compared, by the kind of the decision, beside numpy on whole arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from zoo.contract.decisions import Affine, Decision, Embedding, PixelArgmax, Raw, Sigmoid, Softmax
from zoo.exporting.output_comparison import Comparison

LABELS = ("a", "b", "c")
NUMBERS = np.random.default_rng(0)
VECTORS = NUMBERS.normal(0, 2, (50, 3)).astype(np.float32)
MAPS = NUMBERS.normal(0, 2, (6, 3, 5, 4)).astype(np.float32)
CASES: list[tuple[Decision, np.ndarray]] = [
    (Softmax(classes=LABELS), VECTORS),
    (Sigmoid(classes=LABELS, thresholds=(0.5, 0.3, 0.9)), VECTORS),
    (Affine(names=LABELS, scale=(1, 2, 3), offset=(0, 100, 1e6)), VECTORS),
    (PixelArgmax(classes=LABELS), MAPS),
    (Embedding(), VECTORS),
    (Raw(), MAPS),
]
IDS = [decision.kind for decision, _ in CASES]


@pytest.mark.parametrize(("decision", "outputs"), CASES, ids=IDS)
def test_rounding_passes_and_an_error_beyond_the_tolerance_does_not(decision: Decision, outputs: np.ndarray) -> None:
    noise = NUMBERS.normal(0, 1e-7, outputs.shape).astype(np.float32)
    comparison = Comparison(decision)
    assert comparison.add(outputs, outputs + noise) is None
    facts = comparison.facts()
    counted = {"sigmoid": VECTORS.size, "pixel_argmax": MAPS[:, 0].size}.get(decision.kind, len(outputs))
    assert facts["samples"] == len(outputs)
    assert facts["decisions"] == facts["decisions_agree"] == facts["decisions_clear"] == counted
    wrong = outputs.copy()
    wrong[3, 1] += 0.01
    assert "largest error" in str(Comparison(decision).add(outputs, wrong))
    assert "not finite" in str(Comparison(decision).add(outputs * np.float32(np.nan), outputs * np.float32(np.nan)))
    assert "shape" in str(Comparison(decision).add(outputs, outputs[:, :2]))


@pytest.mark.parametrize(("decision", "outputs"), CASES, ids=IDS)
def test_only_what_the_decision_ignores_may_differ(decision: Decision, outputs: np.ndarray) -> None:
    """Softmax and masks ignore an offset that all classes share, embeddings a factor."""
    shared = decision.kind in ("softmax", "pixel_argmax")
    assert (Comparison(decision).add(outputs, outputs + np.float32(0.5)) is None) == shared
    assert (Comparison(decision).add(outputs, outputs * np.float32(1.5)) is None) == (decision.kind == "embedding")


def test_a_label_must_be_equal_where_its_logit_is_clear_of_its_threshold() -> None:
    decision = Sigmoid(classes=LABELS, thresholds=(0.5, 0.3, 0.9))
    limits = np.log([0.5 / 0.5, 0.3 / 0.7, 0.9 / 0.1])
    near, far = 1e-5 * np.ones(3), 0.001 * np.ones(3)
    expected = np.float32([[100, 0, 0], limits + near])  # the largest output allows an error of 0.01
    comparison = Comparison(decision)
    assert comparison.add(expected, np.float32([[100, 0, 0], limits - near])) is None
    assert comparison.facts()["decisions_agree"] == 3
    assert comparison.facts()["decisions_clear"] == 3
    one = Comparison(decision)
    assert "largest error" in str(one.add(np.float32([limits + far]), np.float32([limits - far])))


def test_no_answer_is_an_answer() -> None:
    decision = Softmax(classes=LABELS, abstain_below=0.6, temperature=2.0)
    probabilities = np.array([[0.7, 0.2, 0.1], [0.5, 0.499999, 0.000001], [0.600001, 0.3, 0.099999]])
    logits = (2 * np.log(probabilities)).astype(np.float32)
    comparison = Comparison(decision)
    assert comparison.add(logits, logits, np.array([0, 0, 0])) is None
    assert comparison.facts()["decisions_clear"] == 2  # the third is at its limit, the second far below
    accuracy = comparison.accuracy()
    assert accuracy is not None and accuracy["pytorch"] == pytest.approx(2 / 3)  # the second gives no answer
    assert decision.model_copy(update={"abstain_below": None}) == Softmax(classes=LABELS, temperature=2.0)


def test_numbers_are_compared_behind_their_link_too() -> None:
    """Outputs that differ by 5e-5 of the largest are values that differ by 1e-3 of it."""
    decision = Affine(names=("n",), scale=(1,), offset=(0,), link="exp")
    expected = np.float32([[20.0], [1.0]])
    assert "after the link exp" in str(Comparison(decision).add(expected, expected + np.float32(1e-3)))
    assert Comparison(decision).add(expected, expected + np.float32(2e-6)) is None
    assert "not finite after the link" in str(Comparison(decision).add(expected * 100, expected * 100))


def test_the_error_of_values_is_told_in_their_units() -> None:
    decision, found = CASES[2][0], VECTORS + np.float32(1e-5)
    comparison = Comparison(decision)
    assert comparison.add(VECTORS, found, np.zeros((50, 3), np.float32)) is None
    due = np.abs((found.astype(np.float64) - VECTORS) * [1, 2, 3]).max(0)
    assert list(comparison.facts()["max_value_error"].values()) == pytest.approx(due.tolist(), abs=1e-9)
    errors = comparison.mean_absolute_error()
    mean = np.abs(VECTORS.astype(np.float64) * [1, 2, 3] + [0, 100, 1e6]).mean(0)
    assert errors is not None and [errors[name]["pytorch"] for name in LABELS] == pytest.approx(mean.tolist())
    assert comparison.accuracy() is None and comparison.drop() is None


@pytest.mark.parametrize("pieces", [1, 3])
def test_the_accuracy_of_labels_and_pixels_is_that_of_whole_arrays(pieces: int) -> None:
    thresholds = np.array([0.5, 0.3, 0.9])
    multi = NUMBERS.integers(0, 2, (50, 3), dtype=np.uint8)
    mask = NUMBERS.choice(np.array([0, 1, 2, 255], np.uint8), (6, 5, 4))
    labels = (1 / (1 + np.exp(-VECTORS.astype(np.float64))) >= thresholds) == multi
    pixels, counted = MAPS.argmax(1) == mask, mask != 255
    cases: list[tuple[Decision, np.ndarray, np.ndarray, float, str]] = [
        (CASES[1][0], VECTORS, multi, labels.mean(), "labels"),
        (CASES[3][0], MAPS, mask, pixels[counted].mean(), "pixels"),
    ]
    for decision, outputs, targets, due, unit in cases:
        comparison = Comparison(decision, ignore=255)
        for rows in np.array_split(np.arange(len(outputs)), pieces):
            assert comparison.add(outputs[rows], outputs[rows], targets[rows]) is None
        accuracy = comparison.accuracy()
        assert accuracy is not None and accuracy["counted"] == unit
        assert accuracy["pytorch"] == accuracy["exported"] == pytest.approx(float(due))
        rows_ = accuracy["per_class"]
        if unit == "labels":
            assert [rows_[name]["pytorch"] for name in LABELS] == pytest.approx(labels.mean(0).tolist())
        else:
            assert [rows_[name]["pixels"] for name in LABELS] == [int((mask == index).sum()) for index in range(3)]
            shares = [float(pixels[mask == index].mean()) for index in range(3)]
            assert [rows_[name]["exported"] for name in LABELS] == pytest.approx(shares)


def test_a_drop_of_pixels_or_labels_that_the_tolerance_does_not_explain_is_told() -> None:
    """An outlier in another sample widens the tolerance of the batch, and explains nothing of this one."""
    expected = np.zeros((2, 3, 2, 2), np.float32)
    expected[0, 0] = 1e6
    expected[1, 1] = 5
    found = expected.copy()
    found[1, :, 0, 0] = [5, 0, 0]
    mask = np.array([[[0, 0], [0, 0]], [[1, 1], [1, 1]]], np.uint8)
    comparison = Comparison(PixelArgmax(classes=LABELS), ignore=255)
    assert comparison.add(expected, found, mask) is None
    assert comparison.drop() == (
        "its accuracy is 87.50%, PyTorch's is 100.00%: 1 of 8 pixels are lost, of which the tolerance explains 0"
    )
    ignored = Comparison(PixelArgmax(classes=LABELS), ignore=255)
    mask[1, 0, 0] = 255
    assert ignored.add(expected, found, mask) is None
    assert ignored.drop() is None
    multi: Any = Comparison(Sigmoid(classes=LABELS, thresholds=(0.5, 0.5, 0.5)))
    assert (
        multi.add(np.float32([[1e6, 1e6, 1e6], [3, 3, 3]]), np.float32([[1e6, 1e6, 1e6], [3, 3, -3]]), np.ones((2, 3)))
        is None
    )
    assert "1 of 6 labels are lost" in str(multi.drop())
