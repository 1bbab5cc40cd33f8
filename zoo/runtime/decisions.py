"""Decisions: from a network's outputs to the values that answers are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

REQUIRED = object()
NAMES = {"softmax": "classes", "sigmoid": "classes", "affine": "names", "pixel_argmax": "classes"}
"""The field with the name of each output, for the kinds of decision that have one."""
FIELDS: dict[str, dict[str, Any]] = {
    "softmax": {"classes": REQUIRED, "temperature": 1.0, "abstain_below": None},
    "sigmoid": {"classes": REQUIRED, "thresholds": REQUIRED},
    "affine": {
        "names": REQUIRED,
        "units": [],
        "scale": REQUIRED,
        "offset": REQUIRED,
        "link": "identity",
        "clip": None,
    },
    "pixel_argmax": {"classes": REQUIRED, "size": "image", "colours": []},
    "embedding": {"gallery": None},
    "raw": {},
}
"""The fields of each kind of decision with their defaults."""
SIDES = {"vector": ("N", "K"), "features": ("N", "D"), "map": ("N", "K", "H", "W")}
"""The shape of each kind of output."""
OUTPUT_KINDS = {
    "softmax": ("vector",),
    "sigmoid": ("vector",),
    "affine": ("vector",),
    "pixel_argmax": ("map",),
    "embedding": ("vector", "features"),
    "raw": ("vector", "features", "map"),
}
"""The kinds of output that each kind of decision can be made on."""


def decision_of(description: dict[str, Any]) -> dict[str, Any]:
    """The decision in a description, complete; a description of format 1 has classes alone, which means softmax."""
    output = description["output"]
    given = output["decision"] if "decision" in output else {"kind": "softmax", "classes": output["classes"]}
    return {**FIELDS[given["kind"]], **given}


def decide(outputs: np.ndarray, decision: dict[str, Any]) -> np.ndarray:
    """The values that answers are made of, a row for each row of a network's outputs.

    softmax and sigmoid: probabilities, float64 (N, K). affine: numbers in their units, float64 (N, K). pixel_argmax:
    the class of each pixel of the network's input, uint8 (N, H, W); where the decision's size is "image", `predict`
    brings them to the size of the image. embedding: float64 (N, D) of length 1, zero vectors stay zero. raw: the
    outputs.
    """
    kind = decision["kind"]
    if kind == "softmax":
        return softmax(outputs, decision.get("temperature", 1.0))
    if kind == "sigmoid":
        return sigmoid(outputs)
    if kind == "affine":
        return affine(outputs, decision)
    if kind == "pixel_argmax":
        return np.asarray(outputs.argmax(axis=1).astype(np.uint8))
    if kind == "embedding":
        return normalise_rows(outputs)
    if kind == "raw":
        return outputs
    raise ValueError(f"decision {kind!r} is not one of {', '.join(FIELDS)}")


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """float64: of a class that is all but impossible, it still tells how much so."""
    exact = logits.astype(np.float64) / temperature
    shifted = np.exp(exact - exact.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def sigmoid(outputs: np.ndarray) -> np.ndarray:
    """float64; the exponential of a negative number alone, which cannot overflow."""
    exact = outputs.astype(np.float64)
    small = np.exp(-np.abs(exact))
    return np.asarray(np.where(exact >= 0, 1, small) / (1 + small))


def affine(outputs: np.ndarray, decision: dict[str, Any]) -> np.ndarray:
    """float64: link(output) · scale + offset, clipped; infinite where the link "exp" is beyond float64."""
    values = linked(outputs, decision) * np.asarray(decision["scale"], np.float64)
    values = values + np.asarray(decision["offset"], np.float64)
    clip = decision.get("clip")
    return values if clip is None else np.clip(values, clip[0], clip[1])


def linked(outputs: np.ndarray, decision: dict[str, Any]) -> np.ndarray:
    """float64: the outputs through the link of an affine decision."""
    exact, link = outputs.astype(np.float64), decision.get("link", "identity")
    if link == "sigmoid":
        return sigmoid(exact)
    with np.errstate(over="ignore"):
        return np.exp(exact) if link == "exp" else exact


def normalise_rows(outputs: np.ndarray) -> np.ndarray:
    """float64, each row divided by its L2 norm; a row of zeros stays one."""
    exact = outputs.astype(np.float64)
    norms = np.sqrt((exact * exact).sum(axis=-1, keepdims=True))
    return np.asarray(exact / np.where(norms > 0, norms, 1))


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask uint8 (H, W) at the width and height ``size``: each pixel has the class of the one that its centre lies
    in.

    In whole numbers: a centre on an edge must not fall to one side here and to the other elsewhere by rounding.
    """
    rows, across = ((2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size[::-1], mask.shape))  # noqa: B905
    return np.asarray(mask[rows][:, across])


def chosen(values: np.ndarray, decision: dict[str, Any]) -> list[int]:
    """The classes in the answer of one image by their index, for softmax (one, or none where it abstains) and
    sigmoid."""
    if decision["kind"] == "sigmoid":
        return [int(index) for index in np.flatnonzero(values >= np.asarray(decision["thresholds"], np.float64))]
    best, least = int(values.argmax()), decision.get("abstain_below")
    return [] if least is not None and values[best] < least else [best]


def top(probabilities: np.ndarray, classes: Sequence[str], count: int) -> list[tuple[str, float]]:
    """The ``count`` classes with the largest probabilities, best first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(classes[index], float(probabilities[index])) for index in order]


def shares(mask: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """float64 (K,): the share of the pixels of a mask that have each class."""
    return np.asarray(np.bincount(mask.ravel(), minlength=len(classes)) / max(1, mask.size))
