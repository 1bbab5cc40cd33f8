"""Run the ONNX model beside this file on images, with numpy, Pillow and onnxruntime.

    python predict.py photo.jpg folder/ … [--top 3] [--csv FILE] [--masks FOLDER] [--provider cuda]

This file is the predict.py of a bundle, and the part of zoo that opens ONNX files. `zoo_runtime.py`, beside it in a
bundle, decodes and prepares the images and turns outputs into predictions.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path

if __package__:
    from zoo.plugin import runtime
else:  # in a bundle; Python may leave out the folder of a script (-P, -I, PYTHONSAFEPATH)
    sys.path.insert(0, str(Path(__file__).parent))
    import zoo_runtime as runtime  # type: ignore[import-not-found,no-redef]

import numpy as np  # after the runtime, which says what to install if it is missing

OLDEST: dict[str, tuple[int, ...]] = {"onnxruntime": (1, 15)}
"""The oldest version that this file works with, which it is tested with."""
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "qnn": "QNNExecutionProvider",
    "webgpu": "WebGpuExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
"""onnxruntime's names of the execution providers."""
PACKAGES = {
    "cpu": "onnxruntime",
    "cuda": "'onnxruntime-gpu[cuda,cudnn]'",
    "tensorrt": "'onnxruntime-gpu[cuda,cudnn]' tensorrt",
    "openvino": "onnxruntime-openvino",
    "coreml": "onnxruntime",
    "directml": "onnxruntime-directml",
    "rocm": "onnxruntime-rocm",
    "migraphx": "onnxruntime-migraphx",
    "qnn": "onnxruntime-qnn",
    "webgpu": "onnxruntime-webgpu",
}
"""The packages with each provider; the others need a build of onnxruntime."""
STRICT_FP32: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""Provider options. On CUDA, onnxruntime uses TF32 (10 bits) for fp32 products by default, too imprecise to verify."""


class OnnxRunner:
    """A file in onnxruntime, at the default optimisation level, as in deployment.

    The first input and output of the file are also called "input" and "output", whatever their names in the file.
    """

    def __init__(self, path: Path, provider: str = "cpu", threads: int | None = None) -> None:
        """Raises SetupError if the provider is not available, ModelError if the file cannot be loaded."""
        try:
            import onnxruntime
        except ImportError as error:
            raise runtime.SetupError(f"{error}; fix: pip install {PACKAGES.get(provider, 'onnxruntime')}") from error
        runtime.refuse_older({"onnxruntime": onnxruntime.__version__}, OLDEST)
        asked = PROVIDERS[provider]
        _refuse_missing(provider)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # only errors
        if provider != "cpu":
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[(asked, STRICT_FP32.get(asked, {}))]
            )
            self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:  # onnxruntime loads any bytes, and decodes them here
            raise runtime.ModelError(f"{path}: its metadata is not UTF-8 text: {error}") from error
        except Exception as error:
            if "pthread" in str(error):
                raise runtime.SetupError(f"onnxruntime cannot start its threads here: {_one_line(error)}") from error
            raise runtime.ModelError(
                f"{path}: onnxruntime {onnxruntime.__version__} cannot load it: {_one_line(error)}"
            ) from error
        _refuse_fallback(asked, self._session.get_providers()[0])
        elsewhere = "" if provider == "cpu" else _nodes_elsewhere(self._session, asked)
        self.runtime, self.provider = f"onnxruntime {onnxruntime.__version__}{elsewhere}", provider
        self._inputs = [value.name for value in self._session.get_inputs()]
        self._outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fed = {
            self._inputs[0] if name == runtime.INPUT else name: np.ascontiguousarray(value, np.float32)
            for name, value in inputs.items()
        }
        found = dict(zip(self._outputs, map(np.asarray, self._session.run(None, fed))))  # noqa: B905  # Python 3.8
        return {runtime.OUTPUT: found[self._outputs[0]], **found}

    def close(self) -> None:
        del self._session


def _refuse_missing(provider: str) -> None:
    """Raises SetupError if this onnxruntime was built without the provider."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if PROVIDERS[provider] not in available:
        package = PACKAGES.get(provider)
        install = f"pip install {package}" if package else "use an onnxruntime that was built with it"
        raise runtime.SetupError(
            f"this onnxruntime has no {PROVIDERS[provider]}, it has {', '.join(available)}; fix: {install}, or use "
            "--provider cpu"
        )
    if provider in ("cuda", "tensorrt") and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.set_default_logger_severity(4)  # the error below replaces onnxruntime's log
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            onnxruntime.preload_dlls()


def _refuse_fallback(asked: str, running: str) -> None:
    if running != asked:
        provider = next(name for name, known in PROVIDERS.items() if known == asked)
        raise runtime.SetupError(
            f"onnxruntime cannot use {asked} here and falls back to {running}; fix: install the driver and libraries "
            f"it needs (pip install {PACKAGES.get(provider, 'onnxruntime')}), or use --provider cpu"
        )


def _nodes_elsewhere(session, asked: str) -> str:  # type: ignore[no-untyped-def]  # onnxruntime has no types
    """Return which operators of an opened file another provider computes, as text; "" if none, or if this onnxruntime
    (before 1.24) does not tell. Raises SetupError if the provider computes no node at all."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return ""
    parts = session.get_provider_graph_assignment_info()
    placed = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
    operators = [operator for provider, operator in placed if provider != asked]
    if placed and len(operators) == len(placed):
        raise runtime.SetupError(f"{asked} computes no operator of this model; fix: use --provider cpu")
    if not operators:
        return ""
    return f" ({len(operators)} of {len(placed)} nodes on the CPU: {', '.join(sorted(set(operators)))})"


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


if __name__ == "__main__":
    sys.exit(runtime.main(OnnxRunner, Path(__file__).with_name("model.onnx"), tuple(PROVIDERS)))
