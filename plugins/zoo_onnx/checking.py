"""Check an ONNX file: onnx's own full check, its data files, and whether it is the one that was to be written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime
import onnxscript
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from zoo.api import ExportJob, FileFacts
from zoo.errors import ExportError
from zoo_onnx.client import OLDEST
from zoo_onnx.options import HIGHEST_OPSET, LOWEST_OPSET
from zoo_onnx.walking import tensors_of
from zoo_onnx.writing import INPUT, OUTPUT, data_file, lowest_ir


def check(path: Path, job: ExportJob | None, opset: int) -> FileFacts:
    """Return the facts of the file. With a ``job``, it must have ``opset``, and the batch and metadata of the job.

    Raises ExportError.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        raise ExportError(f"this is not an ONNX file: {_one_line(error)}", where=path.name) from error
    _refuse_escaping_data(model, path)
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        raise ExportError(f"the file fails onnx's checker: {_one_line(error)}", where=path.name) from error
    if job is not None:
        _check_opset(model, opset, path)
        _check_metadata(model, job.metadata, path)
        _check_batch(model, job.batch)
    return FileFacts(
        size_bytes=sum(file.stat().st_size for file in (path, data_file(path)) if file.exists()),
        batch=_batch(model),
        requires={name: ".".join(map(str, oldest)) for name, oldest in OLDEST.items()},
        versions={
            "onnx": onnx.__version__,
            "onnxscript": onnxscript.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        details={
            "opset": next(iter(_opsets(model)), None),
            "ir_version": model.ir_version,
            "nodes": len(model.graph.node),
            "input": next((value.name for value in model.graph.input), None),
            "output": next((value.name for value in model.graph.output), None),
            "producer": f"{model.producer_name} {model.producer_version}".strip(),
        },
    )


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


def _opsets(model: onnx.ModelProto) -> list[int]:
    return [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]


def _check_opset(model: onnx.ModelProto, asked: int, path: Path) -> None:
    found = _opsets(model)
    if found != [asked]:
        got = ", ".join(map(str, found)) or "none"
        raise ExportError(
            f"the file has opset {got}, not {asked} as requested",
            fix=f"choose another with --set export.opset=N, from {LOWEST_OPSET} to {HIGHEST_OPSET}",
        )
    if model.ir_version != lowest_ir(asked):
        raise ExportError(
            f"the file has IR version {model.ir_version} where opset {asked} needs no more than {lowest_ir(asked)}",
            where=path.name,
        )


def _check_metadata(model: onnx.ModelProto, asked: Mapping[str, str], path: Path) -> None:
    found = {entry.key: entry.value for entry in model.metadata_props}
    for key, value in asked.items():
        if found.get(key) != value:
            state = "altered in" if key in found else "missing from"
            raise ExportError(f"the metadata '{key}' is {state} the file", where=path.name, fix="export again")


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


def _batch(model: onnx.ModelProto) -> int | None:
    """The fixed batch size; None if it is dynamic or unknown."""
    inputs = [value for value in model.graph.input if value.name not in {each.name for each in model.graph.initializer}]
    sides = inputs[0].type.tensor_type.shape.dim if inputs else []
    return int(sides[0].dim_value) or None if sides and sides[0].HasField("dim_value") else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
