"""From an `nn.Module` to the bytes of an ONNX file: trace, translate, bring to the opset, describe."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter
import torch
from torch import Tensor, nn

from zoo.api import EmitRequest
from zoo.errors import ExportError
from zoo.files import write_bytes
from zoo_onnx.blame import export_error

INPUT, OUTPUT = "input", "logits"
DEFAULT_OPSET = 18
"""What torch's exporter writes natively: no conversion, and read by every onnxruntime since 1.14."""
LOWEST_OPSET, HIGHEST_OPSET = 15, 25
"""Below 18 onnx's own converter works downwards, as far as 15; 25 is the last that torch's exporter reaches."""
IN_FILE_BYTES = 2_000_000_000
"""A protobuf file ends at 2 GiB: more weights than this go into a second file."""
LEFT_OUT = ("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.fx_node")
"""Notes of torch's exporter that name this machine's files, or are long and of no use to a reader."""


def asked_opset(request: EmitRequest) -> int:
    """Raises ExportError where it is out of range."""
    opset = DEFAULT_OPSET if request.opset is None else request.opset
    if not LOWEST_OPSET <= opset <= HIGHEST_OPSET:
        raise ExportError(f"opset {opset} is not available", fix=f"choose one from {LOWEST_OPSET} to {HIGHEST_OPSET} (default {DEFAULT_OPSET})")
    return opset


def translate(model: nn.Module, example: Tensor, opset: int, batch: int | None) -> torch.onnx.ONNXProgram:
    """Trace ``model`` on ``example`` (2, C, H, W) and translate it. Raises ExportError naming operator and module."""
    inputs = example if batch is None else example[:1].repeat(batch, 1, 1, 1)
    shapes = ({0: torch.export.Dim("batch")},) if batch is None else None
    program: torch.export.ExportedProgram | None = None
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(model, (inputs,), dynamic_shapes=shapes, strict=False)
            written = torch.onnx.export(
                program,
                (inputs,),
                dynamo=True,
                opset_version=max(opset, DEFAULT_OPSET),
                input_names=[INPUT],
                output_names=[OUTPUT],
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        with quiet():
            raise export_error(error, model, inputs, shapes, program) from error
    if written is None:
        raise ExportError("torch's exporter wrote nothing")
    return written


def write(program: torch.onnx.ONNXProgram, path: Path, opset: int, metadata: Mapping[str, str]) -> None:
    """Save a translated network under ``opset``, with ``metadata`` in it."""
    weights = sum(tensor.nbytes for value in program.model.graph.initializers.values() if (tensor := value.const_value) is not None)
    with quiet():
        program.save(path, external_data=weights > IN_FILE_BYTES)
        model = onnx.load(path, load_external_data=False)
        if opset < DEFAULT_OPSET:
            model = _convert_down(model, opset)
    _name_batch(model)
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key not in LEFT_OUT]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.helper.set_model_props(model, dict(metadata))
    write_bytes(path, model.SerializeToString())


def _convert_down(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """By onnx's converter, which drops the notes on the nodes: they are put back, since errors are located by them."""
    notes = {node.output[0]: list(node.metadata_props) for node in model.graph.node}
    try:
        converted = onnx.version_converter.convert_version(model, opset)
    except Exception as error:
        reason = " ".join(str(error).split())[-200:]
        fix = f"choose {DEFAULT_OPSET} or more (up to {HIGHEST_OPSET})"
        raise ExportError(f"this network cannot be written in opset {opset}: {reason}", fix=fix) from error
    for node in converted.graph.node:
        node.metadata_props.extend(notes.get(node.output[0], []))
    return converted


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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Torch's exporter writes to stderr, logs and warns; what matters of it is told by the errors raised here and by the checks."""
    before: Any = logging.root.manager.disable
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
