"""Which values of two engines' outputs are compared, for each kind of decision."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zoo import runtime
from zoo.contract.decisions import Affine, Decision, Embedding, PixelArgmax, Sigmoid, Softmax

TOLERANCE = 1e-4
"""The tolerance at fp32, relative to the largest compared value of the batch."""
ALMOST_ONE = float(np.nextafter(1.0, 0.0))
UNITS = {"softmax": "samples", "sigmoid": "labels", "pixel_argmax": "pixels"}
"""The unit in which correct predictions are counted."""
WORDS = {"softmax": "the top-1 class", "sigmoid": "a label", "pixel_argmax": "the class of a pixel"}


class Answers(NamedTuple):
    """Discrete predictions (B, …), and their margins: by how much the compared values must change to change them."""

    values: np.ndarray
    margins: np.ndarray


def as_json(decision: Decision) -> dict[str, Any]:
    """Return the decision in the form of `zoo.runtime`."""
    return dict(decision.model_dump(mode="json"))


def names_of(decision: Decision) -> tuple[str, ...]:
    """The names of the classes, labels or values; empty for decisions without."""
    if isinstance(decision, Affine):
        return decision.names
    return decision.classes if isinstance(decision, Softmax | Sigmoid | PixelArgmax) else ()


def compared(outputs: np.ndarray, decision: Decision) -> np.ndarray:
    """Return the values to compare, float64: centred over the classes for softmax and pixel_argmax, L2-normalised for
    embedding, otherwise unchanged.

    Softmax ignores an offset common to all logits of a row. Without centring, an offset of 10,000 would count as size:
    the tolerance is relative to the largest value, and would allow an error of 1 in logits that differ by 2.
    """
    if isinstance(decision, Softmax | PixelArgmax):
        return centred(outputs)
    return runtime.normalise_rows(outputs) if isinstance(decision, Embedding) else outputs.astype(np.float64)


def centred(logits: np.ndarray) -> np.ndarray:
    """Return float64 (B, K, …) with the mean over K subtracted; the logit of a single class is unchanged."""
    exact = logits.astype(np.float64)
    return exact if exact.shape[1] < 2 else exact - exact.mean(1, keepdims=True)


def layer_tolerance(outputs: np.ndarray, decision: Decision) -> float:
    """Return the tolerance for layers, relative to the largest output, because layers are compared without centring."""
    if not isinstance(decision, Softmax | PixelArgmax):
        return TOLERANCE
    return TOLERANCE * float(np.abs(centred(outputs)).max() / max(float(np.abs(outputs).max()), 1e-30))


def answers(values: np.ndarray, decision: Decision) -> Answers | None:
    """Return the predictions for compared values; None for decisions that predict numbers."""
    if isinstance(decision, Softmax):
        return _abstaining(values, decision)
    if isinstance(decision, PixelArgmax):
        return Answers(values.argmax(1), two_largest(values))
    if isinstance(decision, Sigmoid):
        # A probability can reach 1 by rounding in float64.
        thresholds = np.clip(np.asarray(decision.thresholds, np.float64), 1e-300, ALMOST_ONE)
        limits = np.log(thresholds) - np.log1p(-thresholds)
        return Answers(runtime.sigmoid(values) >= np.asarray(decision.thresholds), np.abs(values - limits))
    return None


def _abstaining(values: np.ndarray, decision: Softmax) -> Answers:
    """Return the predictions, with -1 for abstention. A change of each logit by at most ε changes the logarithm of a
    probability by at most 2ε / temperature."""
    best, margins = values.argmax(1), two_largest(values)
    if decision.abstain_below is None:
        return Answers(best, margins)
    probabilities = runtime.softmax(values, decision.temperature).max(1)
    above = (np.log(probabilities) - np.log(decision.abstain_below)) * decision.temperature
    absent = probabilities < decision.abstain_below
    return Answers(np.where(absent, -1, best), np.where(absent, -above, np.minimum(margins, above)))


def two_largest(values: np.ndarray) -> np.ndarray:
    """(B, …): the difference between the two largest values along axis 1 of (B, K, …)."""
    if values.shape[1] < 2:
        return np.full((len(values), *values.shape[2:]), np.inf)
    two = np.partition(values, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def value_fault(expected: np.ndarray, found: np.ndarray, decision: Decision) -> str | None:
    """Return what is wrong with the numbers of an affine decision, or None. The link may enlarge an error that is
    within the tolerance for outputs."""
    if not isinstance(decision, Affine) or decision.link == "identity":
        return None
    ours, theirs = (runtime.linked(values, as_json(decision)) for values in (expected, found))
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return f"values are not finite after the link {decision.link}"
    error, scale = float(np.abs(ours - theirs).max()), float(np.abs(ours).max())
    if error <= TOLERANCE * scale:
        return None
    return f"largest error after the link {decision.link} {error / scale:.3g} relative, tolerance {TOLERANCE:g}"
