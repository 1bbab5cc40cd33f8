"""What is compared of two engines' outputs, by the kind of the decision that is made on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from zoo import runtime
from zoo.contract.decisions import Affine, Decision, Embedding, PixelArgmax, Sigmoid, Softmax

TOLERANCE = 1e-4
"""Largest difference allowed at fp32, as a share of the largest compared value of the batch."""
ALMOST_ONE = float(np.nextafter(1.0, 0.0))
UNITS = {"softmax": "samples", "sigmoid": "labels", "pixel_argmax": "pixels"}
"""What is counted where answers are compared with targets."""
WORDS = {"softmax": "the top-1 class", "sigmoid": "a label", "pixel_argmax": "the class of a pixel"}


class Answers(NamedTuple):
    """Discrete answers (B, …), and by how much the compared values would have to differ for another one, each way."""

    values: np.ndarray
    margins: np.ndarray


def as_json(decision: Decision) -> dict[str, Any]:
    """The decision as `zoo.runtime` takes it."""
    return dict(decision.model_dump(mode="json"))


def names_of(decision: Decision) -> tuple[str, ...]:
    """The names of the classes, labels or values; empty for decisions without."""
    if isinstance(decision, Affine):
        return decision.names
    return decision.classes if isinstance(decision, Softmax | Sigmoid | PixelArgmax) else ()


def compared(outputs: np.ndarray, decision: Decision) -> np.ndarray:
    """float64: centred over the classes for softmax and pixel_argmax, of length 1 for embedding, else as they are.

    Softmax ignores what all logits of a row share, so an offset that is common to them must not count as an error, nor,
    above all, as size: the tolerance is a share of the largest value, and an offset of 10,000 would allow an error of 1
    in logits that differ by 2.
    """
    if isinstance(decision, Softmax | PixelArgmax):
        return centred(outputs)
    return runtime.normalise_rows(outputs) if isinstance(decision, Embedding) else outputs.astype(np.float64)


def centred(logits: np.ndarray) -> np.ndarray:
    """float64 (B, K, …), the mean over K subtracted.

    A single class has nothing to be compared with: its logit stays as it is.
    """
    exact = logits.astype(np.float64)
    return exact if exact.shape[1] < 2 else exact - exact.mean(1, keepdims=True)


def layer_tolerance(outputs: np.ndarray, decision: Decision) -> float:
    """What is allowed of the compared values, as a share of the largest output: layers are compared as they are."""
    if not isinstance(decision, Softmax | PixelArgmax):
        return TOLERANCE
    return TOLERANCE * float(np.abs(centred(outputs)).max() / max(float(np.abs(outputs).max()), 1e-30))


def answers(values: np.ndarray, decision: Decision) -> Answers | None:
    """Of compared values; None for decisions whose answers are numbers."""
    if isinstance(decision, Softmax):
        return _abstaining(values, decision)
    if isinstance(decision, PixelArgmax):
        return Answers(values.argmax(1), two_largest(values))
    if isinstance(decision, Sigmoid):
        # a probability of 1 is reached where float64 rounds to it
        thresholds = np.clip(np.asarray(decision.thresholds, np.float64), 1e-300, ALMOST_ONE)
        limits = np.log(thresholds) - np.log1p(-thresholds)
        return Answers(runtime.sigmoid(values) >= np.asarray(decision.thresholds), np.abs(values - limits))
    return None


def _abstaining(values: np.ndarray, decision: Softmax) -> Answers:
    """-1 for no answer. A change of every logit by ε changes the logarithm of a probability by at most 2ε /
    temperature."""
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
    """What is wrong with the numbers of an affine decision, in words: a link may enlarge an error that the outputs are
    allowed."""
    if not isinstance(decision, Affine) or decision.link == "identity":
        return None
    ours, theirs = (runtime.linked(values, as_json(decision)) for values in (expected, found))
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return f"values are not finite after the link {decision.link}"
    error, scale = float(np.abs(ours - theirs).max()), float(np.abs(ours).max())
    if error <= TOLERANCE * scale:
        return None
    return f"largest error after the link {decision.link} {error / scale:.3g} relative, where {TOLERANCE:g} is allowed"
