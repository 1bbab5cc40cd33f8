"""The comparison before anything is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.benching.reference import Reference

SPEC = {"channels": 1, "height": 2, "width": 2}
DESCRIPTION = {"input": SPEC, "output": {"decision": {"kind": "softmax", "classes": ["a", "b"]}}}
OUTPUTS = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32)


@pytest.fixture
def reference() -> Reference:
    made = Reference(DESCRIPTION)
    made.add(Path("two.npy"), OUTPUTS, "PyTorch")
    return made


def test_equal_outputs_are_right_and_their_difference_is_kept(reference: Reference) -> None:
    assert reference.difference(Path("two.npy"), OUTPUTS + np.array([1e-5, 0], np.float32)) is None
    assert reference.largest is not None and 0 < reference.largest < 1e-4
    assert reference.source == "PyTorch"


@pytest.mark.parametrize("wrong", [OUTPUTS * 1.5, OUTPUTS[::-1], OUTPUTS * np.nan, OUTPUTS[:1]])
def test_other_outputs_are_a_difference(reference: Reference, wrong: np.ndarray) -> None:
    assert reference.difference(Path("two.npy"), wrong.astype(np.float32))
    assert reference.largest is None


def test_inputs_without_a_reference_are_not_compared(reference: Reference) -> None:
    assert reference.difference(Path("eight.npy"), OUTPUTS * 9) is None
    assert reference.largest is None


def test_the_record_of_an_export_is_a_reference(tmp_path: Path) -> None:
    reference = Reference(DESCRIPTION)
    recorded = {"input": SPEC, "random": {"outputs": OUTPUTS.tolist()}}
    inputs = reference.add_recorded(recorded, tmp_path / "inputs.npy")
    assert inputs is not None and np.load(inputs).shape == (2, 1, 2, 2)
    assert reference.difference(inputs, OUTPUTS) is None
    assert reference.difference(inputs, OUTPUTS * 2)


@pytest.mark.parametrize("recorded", [{}, {"random": {"outputs": None}}])
def test_an_export_that_recorded_nothing_is_no_reference(tmp_path: Path, recorded: dict[str, Any]) -> None:
    reference = Reference(DESCRIPTION)
    assert reference.add_recorded(recorded, tmp_path / "inputs.npy") is None
    assert reference.source == ""
