"""Time and size of a network or a layer as an exported file, in the exporter's runtime on the CPU."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import MAIN_INPUT, MAIN_OUTPUT, ExportJob, Runner
from zoo.errors import ZooError
from zoo.plugin import Item, build_exporter, registry, runtime
from zoo_svd.eight_bits import quantise

CALLS, WARMING = 15, 3
"""The number of timed calls, of which the median is used, after a warm-up."""
FEWEST, ENOUGH = 5, 2.0
"""The number of timed calls if a call takes longer."""
BATCHES = (1, 32)
"""The batch sizes whose milliseconds are reported."""


class Deployed(nn.Module):
    """An exported file as a network for the CPU; ``size`` is the file's, in bytes."""

    def __init__(self, runner: Runner, size: int) -> None:
        super().__init__()
        self._runner, self.size = runner, size

    def forward(self, inputs: Tensor) -> Tensor:
        found = self._runner({MAIN_INPUT: inputs.cpu().numpy()})[MAIN_OUTPUT]
        return torch.from_numpy(found).to(inputs.device)

    def milliseconds(self, shape: Sequence[int], batch: int) -> float:
        """Return the median time of a call with ``batch`` inputs of ``shape``."""
        inputs, seconds = np.random.default_rng(0).standard_normal((batch, *shape), np.float32), list[float]()
        while len(seconds) < WARMING + CALLS and (len(seconds) < WARMING + FEWEST or sum(seconds) < ENOUGH):
            started = time.perf_counter()
            self._runner({MAIN_INPUT: inputs})
            seconds.append(time.perf_counter() - started)
        return 1000 * statistics.median(seconds[WARMING:])


def deployed(item: Item[Any], model: nn.Module, shape: Sequence[int], images: Tensor | None = None) -> Deployed | None:
    """Return ``model`` exported with ``item``, and quantised to 8 bits if there are calibration ``images``; None if
    that fails."""
    model = copy.deepcopy(model).cpu().eval()
    job = ExportJob(model, torch.zeros(2, *shape))
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        path = Path(folder) / f"model{item.spec.suffix}"
        try:
            exporter = build_exporter(item)
            exporter.require(job, "cpu")
            exporter.write(job, path)
            if images is not None and not quantise(path, images.cpu().numpy()):
                return None
            # and its weights, where they lie in a second file
            size = sum(file.stat().st_size for file in Path(folder).glob(f"{path.name}*"))
            return Deployed(exporter.open(path, "cpu"), size)
        except (ZooError, runtime.ModelError, runtime.SetupError):
            return None


class Stopwatch:
    """Measures the milliseconds of single modules with the first suitable exporter; equal modules are measured once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], float | None] = {}

    def __call__(self, module: nn.Module, shape: Sequence[int], batches: Sequence[int]) -> list[float | None]:
        """Return the times for inputs (batch, *shape), for each of ``batches``; None if no exporter can run it."""
        alike = f"{module} {tuple(shape)}"
        if missing := [batch for batch in batches if (alike, batch) not in self.known]:
            found = (deployed(item, module, shape) for item in registry().items("exporter"))
            network = next((each for each in found if each is not None), None)
            self.known.update(
                {(alike, batch): network.milliseconds(shape, batch) if network else None for batch in missing}
            )
        return [self.known[alike, batch] for batch in batches]
