"""PyTorch's outputs for inputs that can be made again, recorded in verify.json.

With them, a bundle can be verified on another machine or execution provider, without the run it was exported from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import runtime
from zoo.contract.decisions import Decision
from zoo.exporting.output_comparison import Comparison

if TYPE_CHECKING:
    from zoo.api import Runner

SEED = 20_011
RECORDED = 2
"""The batch size of the recorded random inputs."""
MOST_NUMBERS = 200_000
"""Outputs with more numbers, such as maps of large images, are not recorded."""


def random_inputs(shape: Sequence[int], batches: Sequence[int]) -> Iterator[np.ndarray]:
    """Yield standard normal inputs, float32 (B, C, H, W), which resemble normalised images.

    They are from `numpy.random.RandomState`, whose stream is frozen.
    """
    numbers = np.random.RandomState(SEED)  # the frozen one
    for batch in batches:
        yield numbers.standard_normal((batch, *shape)).astype(np.float32)


def shaded_inputs(shape: Sequence[int], batch: int) -> np.ndarray:
    """Return images of nearly one brightness, from dark to bright, float32 (batch, C, H, W).

    Some units of a network are active for such images only, and a change of their weights shows on no other sample.
    The weak noise keeps normalisation layers from dividing by a standard deviation of 0.
    """
    noise = np.random.RandomState(SEED).standard_normal((batch, *shape))  # the frozen one
    brightness = np.linspace(-2, 2, batch).reshape(batch, *(1 for _ in shape))
    return np.asarray(brightness + 0.1 * noise, np.float32)


def record(run: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int, int], batch: int | None) -> dict[str, Any]:
    """Return the outputs of ``run``, the PyTorch model, for random inputs (B, *shape), as JSON."""
    (inputs,) = random_inputs(shape, (batch or RECORDED,))
    return {"seed": SEED, "outputs": as_numbers(run(inputs))}


def as_numbers(outputs: np.ndarray) -> list[Any] | None:
    """As JSON; None for outputs that are too large to be recorded."""
    return outputs.tolist() if outputs.size <= MOST_NUMBERS else None


def compare_random(reference: dict[str, Any], runner: Runner, decision: Decision) -> Comparison | str:
    """Compare a file's outputs with those recorded for random inputs; returns what differs as text."""
    spec, comparison = reference["input"], Comparison(decision)
    expected = np.asarray(reference["random"]["outputs"], np.float32)
    (inputs,) = random_inputs((spec["channels"], spec["height"], spec["width"]), (len(expected),))
    fault = comparison.add(expected, np.asarray(runner({runtime.INPUT: inputs})[runtime.OUTPUT]))
    return comparison if fault is None else fault


def changed_fields(reference: dict[str, Any], description: dict[str, Any]) -> list[str]:
    """Return the fields of a description that differ from those of the PyTorch model, as the export recorded them."""
    own, decision = description["input"], runtime.decision_of(description)
    wrong = [f"input.{name}" for name, value in reference["input"].items() if own.get(name) != value]
    return [
        *wrong,
        *(f"decision.{name}" for name, value in reference["decision"].items() if decision.get(name) != value),
    ]
