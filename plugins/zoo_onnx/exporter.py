"""The ONNX exporter: writes a file with torch.onnx, checks it with onnx, and runs it with onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxscript
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from torch import Tensor, nn

from zoo.api import EmitRequest, Options
from zoo.errors import ExportError, SetupError, UsageError
from zoo_onnx.first_mismatch import find_first_mismatch
from zoo_onnx.onnx_file import (
    HIGHEST_OPSET,
    INPUT,
    LOWEST_OPSET,
    OUTPUT,
    asked_opset,
    layers_file,
    lowest_ir,
    translate,
    write,
)
from zoo_onnx.walking import tensors_of

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
STRICT_FP32: dict[str, dict[str, str]] = {"CUDAExecutionProvider": {"use_tf32": "0"}}
"""Provider options. On CUDA, onnxruntime uses TF32 (10 bits) for fp32 products by default, too imprecise to verify."""


def build(_options: Options) -> OnnxExporter:
    return OnnxExporter()


class OnnxExporter:
    """The implementation of `zoo.api.Exporter` for ONNX."""

    def emit(self, model: nn.Module, example: Tensor, path: Path, request: EmitRequest) -> None:
        """Write ``model`` with input "input" (N, C, H, W) and output "output" (N, …).

        Only N is dynamic, and only if ``request.batch`` is None. Weights are in the file, or above 2 GB in
        ``<name>.data``. ``<stem>.layers.json`` has the module of each node. Raises ExportError or StorageError, and
        then leaves no files.
        """
        opset = asked_opset(request)
        try:
            write(translate(model, example, opset, request.batch), path, opset, request.metadata)
        except BaseException:
            for file in (path, data_file(path), layers_file(path)):
                file.unlink(missing_ok=True)
            raise

    def check(self, path: Path, request: EmitRequest) -> dict[str, Any]:
        """Check the file with onnx's full check, and its opset, metadata, batch and data files. Raises ExportError."""
        try:
            model = onnx.load(path, load_external_data=False)
        except Exception as error:
            raise ExportError(f"this is not an ONNX file: {_one_line(error)}", where=path.name) from error
        _refuse_escaping_data(model, path)
        try:
            onnx.checker.check_model(str(path), full_check=True)
        except Exception as error:
            raise ExportError(f"the file fails onnx's checker: {_one_line(error)}", where=path.name) from error
        opset = _check_opset(model, asked_opset(request))
        if model.ir_version != lowest_ir(opset):
            raise ExportError(
                f"the file has IR version {model.ir_version} where opset {opset} needs no more than {lowest_ir(opset)}",
                where=path.name,
            )
        _check_metadata(model, request)
        _check_batch(model, request.batch)
        return {
            "opset": opset,
            "ir_version": model.ir_version,
            "size_bytes": sum(file.stat().st_size for file in (path, data_file(path)) if file.exists()),
            "nodes": len(model.graph.node),
            "input": INPUT,
            "output": OUTPUT,
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
            "versions": {
                "onnx": onnx.__version__,
                "onnxscript": onnxscript.__version__,
                "onnxruntime": onnxruntime.__version__,
            },
        }

    def runner(self, path: Path, provider: str) -> OnnxRunner:
        return OnnxRunner(path, provider)

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        return find_first_mismatch(path, model, inputs, tolerance)


class OnnxRunner:
    """A file in onnxruntime, at the default optimisation level, as in deployment."""

    def __init__(self, path: Path, provider: str) -> None:
        """Raises UsageError for a provider unknown here, SetupError where it is not the one that runs, ExportError
        where the file does not load."""
        if provider not in PROVIDERS:
            raise UsageError(f"no provider is called '{provider}'", fix=f"choose one of: {', '.join(PROVIDERS)}")
        self.provider = provider
        asked = PROVIDERS[provider]
        _refuse_missing(asked)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors alone
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=[(asked, STRICT_FP32.get(asked, {}))])
        except Exception as error:
            raise ExportError(
                f"onnxruntime {onnxruntime.__version__} cannot load the file: {_one_line(error)}", where=path.name
            ) from error
        running = self._session.get_providers()[0]
        if running != asked:
            raise SetupError(
                f"onnxruntime cannot use {asked} here and falls back to {running}",
                where=f"provider {provider}",
                fix=(
                    "install the driver and the libraries it needs (onnxruntime-gpu[cuda,cudnn]), or use the provider "
                    "cpu"
                ),
            )

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run([OUTPUT], {INPUT: np.ascontiguousarray(inputs, np.float32)})[0])


def data_file(path: Path) -> Path:
    """Return the path of the weights of a model over 2 GB."""
    return path.with_name(path.name + ".data")


def _refuse_missing(provider: str) -> None:
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise SetupError(
            f"this onnxruntime has no {provider}",
            where=f"it has {', '.join(available)}",
            fix="install onnxruntime-gpu[cuda,cudnn], or use the provider cpu",
        )
    if provider == PROVIDERS["cuda"]:
        import contextlib
        import io

        onnxruntime.set_default_logger_severity(4)  # the error below replaces onnxruntime's log
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            onnxruntime.preload_dlls()


def _refuse_escaping_data(model: onnx.ModelProto, path: Path) -> None:
    folder = path.parent.resolve()
    for tensor in tensors_of(model):
        if not uses_external_data(tensor):
            continue
        location = ExternalDataInfo(tensor).location
        outside = (
            not location or Path(location).is_absolute() or not (folder / location).resolve().is_relative_to(folder)
        )
        if outside:
            raise ExportError(
                f"the weights '{tensor.name}' lie outside the bundle, in '{location}'",
                where=path.name,
                fix="export again",
            )
        if location != data_file(path).name:
            raise ExportError(
                f"the weights '{tensor.name}' lie in '{location}', which is no file of the bundle",
                where=path.name,
                fix="export again",
            )


def _check_opset(model: onnx.ModelProto, asked: int) -> int:
    found = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if found != [asked]:
        got = ", ".join(map(str, found)) or "none"
        raise ExportError(
            f"the file has opset {got}, not {asked} as requested",
            fix=f"choose another, from {LOWEST_OPSET} to {HIGHEST_OPSET}",
        )
    return asked


def _check_metadata(model: onnx.ModelProto, request: EmitRequest) -> None:
    written = {entry.key: entry.value for entry in model.metadata_props}
    for key, value in request.metadata.items():
        if written.get(key) != value:
            raise ExportError(f"the metadata '{key}' is {'altered in' if key in written else 'missing from'} the file")


def _check_batch(model: onnx.ModelProto, batch: int | None) -> None:
    names = ([value.name for value in model.graph.input], [value.name for value in model.graph.output])
    if names != ([INPUT], [OUTPUT]):
        raise ExportError(
            f"the file's inputs and outputs are {names[0]} and {names[1]}, not ['{INPUT}'] and ['{OUTPUT}']"
        )
    for value in (model.graph.input[0], model.graph.output[0]):
        first = value.type.tensor_type.shape.dim[0]
        if batch is None and not first.dim_param:
            raise ExportError(
                f"the batch of '{value.name}' is fixed at {first.dim_value} in the file",
                fix=f"export with --batch {first.dim_value}",
            )
        if batch is not None and first.dim_value != batch:
            raise ExportError(
                f"the batch of '{value.name}' is {first.dim_param or first.dim_value} in the file, not {batch}"
            )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
