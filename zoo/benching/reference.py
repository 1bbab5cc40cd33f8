"""The outputs that an engine must have before it is timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from zoo import runtime
from zoo.api import Decision
from zoo.exporting.output_comparison import Comparison
from zoo.exporting.reference_outputs import random_inputs


class Reference:
    """PyTorch's outputs by the .npy file with the inputs.

    ``source`` says where they come from, and is empty if there are none. ``largest`` is the largest difference of an
    engine, relative to the largest output; None before the first comparison.
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self._decision = TypeAdapter[Decision](Decision).validate_python(runtime.decision_of(description))
        self._expected: dict[Path, np.ndarray] = {}
        self.source = ""
        self.largest: float | None = None

    def add(self, inputs: Path, outputs: np.ndarray, source: str) -> None:
        self._expected[inputs], self.source = outputs, source

    def add_recorded(self, recorded: dict[str, Any], inputs: Path) -> Path | None:
        """Add what an export recorded in verify.json, and write its inputs. Returns ``inputs``, None if nothing was
        recorded."""
        random = recorded.get("random", {})
        if random.get("outputs") is None:
            return None
        outputs, spec = np.asarray(random["outputs"], np.float32), recorded["input"]
        (drawn,) = random_inputs((spec["channels"], spec["height"], spec["width"]), (len(outputs),))
        np.save(inputs, drawn)
        self.add(inputs, outputs, "the outputs of PyTorch that the export recorded")
        return inputs

    def difference(self, inputs: Path, outputs: np.ndarray) -> str | None:
        """Return how the outputs differ by more than the tolerance of exports; None if they do not, or if there is no
        reference for these inputs."""
        expected = self._expected.get(inputs)
        if expected is None:
            return None
        comparison = Comparison(self._decision)
        difference = comparison.add(expected, outputs)
        if difference is None:
            self.largest = max(self.largest or 0.0, comparison.facts()["max_rel_error"])
        return difference
