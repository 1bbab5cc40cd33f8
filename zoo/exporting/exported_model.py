"""An exported file as a trained model, so that it is evaluated like a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo import runtime
from zoo.api import Output
from zoo.data.preprocessing import Preprocessing
from zoo.exporting.evaluation_record import assumed_record, decision_in, read_record
from zoo.exporting.opening import Exported, check_provider, index_beside, runtime_errors
from zoo.registry.lookup import registry
from zoo.runs.load_model import LoadedModel

CHUNK = 128
"""The maximum number of images that a file is run on at once."""


class ExportedNetwork(nn.Module):
    """The main output (N, …) of an exported file for images (N, C, H, W), both on the CPU, computed by its runtime."""

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], batch: int | None) -> None:
        super().__init__()
        self._run, self._batch = run, batch

    def forward(self, inputs: Tensor) -> Tensor:
        size = self._batch or CHUNK
        arrays = np.ascontiguousarray(inputs.numpy(), np.float32)
        with runtime_errors():
            outputs = [self._of(arrays[start : start + size]) for start in range(0, len(arrays), size)]
        return torch.from_numpy(np.concatenate(outputs))

    def _of(self, images: np.ndarray) -> np.ndarray:
        """A file with a fixed batch takes no fewer images; the outputs of those added are dropped."""
        missing = (self._batch or len(images)) - len(images)
        padding = np.zeros((missing, *images.shape[1:]), np.float32)
        return self._run(np.concatenate([images, padding]))[: len(images)]


@contextmanager
def opened_model(exported: Exported, provider: str = "cpu", threads: int | None = None) -> Iterator[LoadedModel]:
    """Open an exported file as a model, and close it at the end.

    Raises UsageError for an unknown provider or a file that does not imply its target, SetupError, or CheckpointError
    for a file that is damaged or does not describe itself.
    """
    exporter, notes = exported.exporter, list[str]()
    check_provider(exporter, provider, exported.item.spec.name)
    with runtime_errors():
        found = runtime.open_model(exported.model, lambda path: exporter.open(path, provider, threads), notes.append)
    try:
        yield _as_model(exported, found, notes)
    finally:
        found.runner.close()


def _as_model(exported: Exported, found: runtime.Model, notes: list[str]) -> LoadedModel:
    description: dict[str, Any] = found.description
    record = read_record(registry(), index_beside(exported.model) or {})
    if record is None:
        record, assumed = assumed_record(registry(), description)
        notes = [*notes, assumed]
    spec = description["input"]
    known = {name: spec[name] for name in Preprocessing.model_fields if name in spec}
    bundle = (exported.model.parent / runtime.INDEX).is_file()
    return LoadedModel(
        ExportedNetwork(found.run, spec.get("batch")).eval(),
        str(description.get("name", exported.model.stem)),
        record.target,
        decision_in(description),
        Preprocessing.model_validate(known),
        record.config,
        dict(description.get("provenance", {})),
        output=Output(kind=description["output"].get("kind", "vector")),
        statistics=record.statistics,
        label=str(exported.model.parent if bundle else exported.model),
        engine=f"{found.runner.runtime} on {found.runner.provider}",
        notes=tuple(notes),
    )
