"""What is timed: a network in PyTorch, an exported file in its runtime, and the preprocessing of images.

A call takes a numpy array and returns one, so that every engine pays for the same transfers.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo import runtime
from zoo.registry.lookup import registry

MOST_SHAPES = 64
"""The number of batch sizes that one network is compiled for; torch.compile's own limit is 8."""


class Engine(Protocol):
    """``runtime`` is its name and version, ``place`` the device or execution provider, ``description`` the text that
    an exported file carries."""

    runtime: str
    place: str
    description: dict[str, Any] | None

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Return the main output, float32 (N, …), for inputs, float32 (N, C, H, W)."""
        ...

    def caller(self, inputs: np.ndarray | None) -> Callable[[], object]:
        """Return what a turn calls."""
        ...


class _Network:
    def run(self, inputs: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def caller(self, inputs: np.ndarray | None) -> Callable[[], object]:
        assert inputs is not None  # noqa: S101  # for mypy: only images are called without
        return lambda: self.run(inputs)


class PyTorchEngine(_Network):
    """A run's network, or pretrained weights, in eager mode or compiled; float32, without TF32."""

    description: dict[str, Any] | None = None

    def __init__(self, question: Mapping[str, Any]) -> None:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = question["folder"]  # so that compiling is timed, not loading a cache
        import torch

        from zoo.runs.load_model import load_run, load_shipped
        from zoo.runs.run_directory import find

        torch.set_num_threads(question["threads"])
        self._torch, self._device = torch, torch.device(question["device"])
        if self._device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        model = question["model"]
        found = load_run(find(model["model"])) if "model" in model else load_shipped(registry(), model["published"])
        network = found.model.to(self._device).eval()
        if question["compiled"]:
            import torch._dynamo

            torch._dynamo.config.recompile_limit = MOST_SHAPES
            network = torch.compile(network, dynamic=False)  # type: ignore[assignment]
        self._network = network
        self.runtime, self.place = f"torch {torch.__version__}", str(self._device)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        with self._torch.inference_mode():
            outputs = self._network(self._torch.from_numpy(inputs).to(self._device))
            return np.asarray(outputs.float().cpu().numpy())


class FileEngine(_Network):
    """An exported file in the runtime of its exporter."""

    def __init__(self, question: Mapping[str, Any]) -> None:
        from zoo.config.item_options import build_exporter
        from zoo.exporting.opening import runtime_errors

        exporter = build_exporter(registry().exporter(question["exporter"]), question["options"])
        exporter.require(None, question["provider"])
        with runtime_errors():
            self._runner = exporter.open(Path(question["file"]), question["provider"], question["threads"])
        self.runtime, self.place = self._runner.runtime, self._runner.provider
        text = self._runner.metadata.get(runtime.METADATA_KEY)
        self.description = None if text is None else json.loads(text)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self._runner({runtime.INPUT: inputs})[runtime.OUTPUT])


class ImagesEngine:
    """Decoding and preprocessing: a call prepares the next image."""

    runtime, place = "numpy and Pillow", "cpu"
    description: dict[str, Any] | None = None

    def __init__(self, question: Mapping[str, Any]) -> None:
        self._files, self._spec = [Path(file) for file in question["files"]], question["input"]

    def run(self, inputs: np.ndarray) -> np.ndarray:
        return inputs

    def caller(self, inputs: np.ndarray | None) -> Callable[[], object]:
        files = itertools.cycle(self._files)
        return lambda: runtime.prepare(next(files), self._spec)


ENGINES: dict[str, Callable[[Mapping[str, Any]], Engine]] = {
    "pytorch": PyTorchEngine,
    "file": FileEngine,
    "images": ImagesEngine,
}
"""By the ``kind`` of the question."""
