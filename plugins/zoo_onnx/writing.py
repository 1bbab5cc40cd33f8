"""Write an `nn.Module` as an ONNX file: trace, translate, convert to the opset, add metadata."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.helper
import onnx.version_converter
import torch

from zoo.api import MAIN_INPUT, MAIN_OUTPUT, ExportJob
from zoo.errors import ExportError
from zoo.plugin import quiet, storage_errors, trace, write_bytes, write_json
from zoo_onnx.blame import translation_error
from zoo_onnx.options import DEFAULT_OPSET, HIGHEST_OPSET
from zoo_onnx.walking import graphs_of

INPUT, OUTPUT = MAIN_INPUT, MAIN_OUTPUT
IN_FILE_BYTES = 2_000_000_000
"""A protobuf file ends at 2 GiB: more weights than this go into a second file."""
SCOPES = "pkg.torch.onnx.name_scopes"
"""Under which torch's exporter notes on a node the modules that it was called in, the outermost first and the operator
last."""


def layers_file(path: Path) -> Path:
    """Beside an exported file: the dotted path of the module that each node stands for, by the node's first output, as
    JSON."""
    return path.with_suffix(".layers.json")


def data_file(path: Path) -> Path:
    """Return the path of the weights of a model over 2 GB."""
    return path.with_name(path.name + ".data")


def translate(job: ExportJob, opset: int) -> torch.onnx.ONNXProgram:
    """Trace and translate the network of ``job``. Raises ExportError naming operator and module."""
    program = trace(job)
    try:
        with quiet(), torch.no_grad():
            written = torch.onnx.export(
                program,
                program.example_inputs[0],
                dynamo=True,
                opset_version=max(opset, DEFAULT_OPSET),
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        with quiet():
            raise translation_error(error, job.model, program) from error
    if written is None:
        raise ExportError("torch's exporter wrote nothing")
    return written


def write(program: torch.onnx.ONNXProgram, path: Path, opset: int, metadata: Mapping[str, str]) -> None:
    """Save a translated network under ``opset``, in the lowest IR version that has it, with ``metadata`` in it; and its
    layers beside it.

    Raises StorageError where the disk refuses, whatever the library makes of that.
    """
    weights = sum(
        tensor.nbytes
        for value in program.model.graph.initializers.values()
        if (tensor := value.const_value) is not None
    )
    with quiet():
        with storage_errors(path):
            program.save(path, external_data=weights > IN_FILE_BYTES)
            model = onnx.load(path, load_external_data=False)
        layers = {node.output[0]: _module_path(node) for node in model.graph.node}
        if opset < DEFAULT_OPSET:
            model = _convert_down(model, opset)
    _name_batch(model)
    _lower_ir(model)
    onnx.helper.set_model_props(model, dict(metadata))
    write_json(layers_file(path), {node.output[0]: layers.get(node.output[0], "") for node in model.graph.node})
    write_bytes(path, model.SerializeToString())


def _module_path(node: onnx.NodeProto) -> str:
    text = next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "[]")
    scopes: list[str] = ast.literal_eval(text)
    return scopes[-2].partition("@")[0] if len(scopes) > 1 else ""


def lowest_ir(opset: int) -> int:
    """The IR version that came with an opset: every runtime that has the one reads the other."""
    return int(onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)]))


def _lower_ir(model: onnx.ModelProto) -> None:
    """Take out the notes of torch's exporter, for which alone the file would need IR version 10 (onnxruntime 1.18)."""
    for graph in graphs_of(model):
        for noted in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            del noted.metadata_props[:]
    for function in model.functions:
        for noted in (function, *function.node):
            del noted.metadata_props[:]
    model.ir_version = lowest_ir(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))


def _convert_down(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(model, opset)
    except Exception as error:
        reason = " ".join(str(error).split())[-200:]
        fix = f"choose {DEFAULT_OPSET} or more (up to {HIGHEST_OPSET})"
        raise ExportError(f"this network cannot be written in opset {opset}: {reason}", fix=fix) from error


def _name_batch(model: onnx.ModelProto) -> None:
    """Call the symbol of the batch "batch" wherever it stands, also in sizes that derive from it."""
    symbol = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    if not symbol:
        return
    pattern = re.compile(rf"\b{re.escape(symbol)}\b")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = pattern.sub("batch", size.dim_param)
