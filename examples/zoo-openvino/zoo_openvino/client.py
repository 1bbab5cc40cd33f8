"""Run the OpenVINO model beside this file on images, with numpy, Pillow and openvino.

    python predict.py photo.jpg folder/ … [--top 3] [--csv FILE] [--masks FOLDER]

This file is the predict.py of a bundle, and the part of the plugin that opens models. `zoo_runtime.py`, beside it in a
bundle, decodes and prepares the images and turns outputs into predictions.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

if __package__:
    from zoo.plugin import runtime
else:
    import zoo_runtime as runtime  # beside this file in a bundle

OLDEST = {"openvino": (2026, 4)}
"""The oldest version that this plugin is tested with."""
PROVIDERS = ("cpu",)
METADATA = "zoo_metadata"
"""The entry of the model's rt_info that has the metadata, as JSON."""


class OpenVinoRunner:
    """A model in OpenVINO on the CPU, in float32."""

    provider = "cpu"

    def __init__(self, path: Path, provider: str = "cpu", threads: int | None = None) -> None:
        """Raises SetupError without openvino, ModelError if the model cannot be loaded."""
        openvino = import_openvino()
        self.runtime = f"openvino {openvino.__version__.partition('-')[0]}"
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        try:
            model = openvino.Core().read_model(str(path))
            self.metadata = metadata_of(model)
            self._compiled = openvino.Core().compile_model(model, "CPU", config)
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise runtime.ModelError(f"{path}: {self.runtime} cannot load it: {text}") from error

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        images = np.ascontiguousarray(inputs[runtime.INPUT], np.float32)
        return {runtime.OUTPUT: np.array(self._compiled([images])[0], np.float32)}

    def close(self) -> None:
        del self._compiled


def import_openvino() -> Any:
    """Raises SetupError with the command that installs it."""
    try:
        import openvino
    except ImportError as error:
        raise runtime.SetupError(f"{error}; fix: pip install openvino") from error
    runtime.refuse_older({"openvino": openvino.__version__}, OLDEST)
    return openvino


def metadata_of(model: Any) -> dict[str, str]:
    """Return the metadata of a model that this plugin wrote; empty for others."""
    if not model.has_rt_info([METADATA]):
        return {}
    value = model.get_rt_info([METADATA])
    return dict(json.loads(str(getattr(value, "value", value))))


if __name__ == "__main__":
    sys.exit(runtime.main(OpenVinoRunner, Path(__file__).with_name("model.xml"), PROVIDERS))
