"""How a network, or one layer of it, fares where it will be deployed: as an exported file, in its exporter's runtime,
on the CPU."""

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

from zoo.api import EmitRequest, Runner
from zoo.errors import ZooError
from zoo.plugin import Item, build_exporter, registry
from zoo_svd.eight_bits import quantise

CALLS, WARMING = 15, 3
"""Calls of which the median counts, after a few that do not."""
FEWEST, ENOUGH = 5, 2.0
"""Number of calls that is enough where they take longer."""
BATCHES = (1, 32)
"""Images at a time whose milliseconds are told."""


class Deployed(nn.Module):
    """An exported file as a network for the CPU; ``size`` is the file's, in bytes."""

    def __init__(self, runner: Runner, size: int) -> None:
        super().__init__()
        self._runner, self.size = runner, size

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.from_numpy(self._runner(inputs.cpu().numpy())).to(inputs.device)

    def milliseconds(self, shape: Sequence[int], batch: int) -> float:
        """Of a call with ``batch`` inputs of ``shape``, the median."""
        inputs, seconds = np.random.default_rng(0).standard_normal((batch, *shape), np.float32), list[float]()
        while len(seconds) < WARMING + CALLS and (len(seconds) < WARMING + FEWEST or sum(seconds) < ENOUGH):
            started = time.perf_counter()
            self._runner(inputs)
            seconds.append(time.perf_counter() - started)
        return 1000 * statistics.median(seconds[WARMING:])


def deployed(item: Item[Any], model: nn.Module, shape: Sequence[int], images: Tensor | None = None) -> Deployed | None:
    """``model`` by the exporter ``item``; with ``images`` to calibrate by, in 8 bits. None where that cannot be."""
    exporter, model = build_exporter(item), copy.deepcopy(model).cpu().eval()
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        path = Path(folder) / f"model{item.spec.suffix}"
        try:
            exporter.emit(model, torch.zeros(2, *shape), path, EmitRequest(None, None, {}))
            if images is not None and not quantise(path, images.cpu().numpy()):
                return None
            # and its weights, where they lie in a second file
            size = sum(file.stat().st_size for file in Path(folder).glob(f"{path.name}*"))
            return Deployed(exporter.runner(path, "cpu"), size)
        except ZooError:
            return None


class Stopwatch:
    """Milliseconds of modules alone, by the first exporter that can; each that is alike is measured once."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, int], float | None] = {}

    def __call__(self, module: nn.Module, shape: Sequence[int], batches: Sequence[int]) -> list[float | None]:
        """For inputs (batch, *shape), each of ``batches``; None where no exporter here can."""
        alike = f"{module} {tuple(shape)}"
        if missing := [batch for batch in batches if (alike, batch) not in self.known]:
            found = (deployed(item, module, shape) for item in registry().items("exporter"))
            network = next((each for each in found if each is not None), None)
            self.known.update(
                {(alike, batch): network.milliseconds(shape, batch) if network else None for batch in missing}
            )
        return [self.known[alike, batch] for batch in batches]
