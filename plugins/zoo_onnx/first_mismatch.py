"""Find the first layer of an exported network whose output differs from that of its PyTorch module.

The exporter writes the module of each node beside the file. The file is run in onnxruntime without optimisation and
with every value as an output, and compared with the network in PyTorch.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from zoo.errors import ExportError
from zoo.plugin import GraphStep, find_first_mismatch
from zoo_onnx.writing import layers_file

FUSION = (
    "no layer by itself: unoptimised, the graph is right, so the likely cause is a fusion by onnxruntime's optimiser"
)


def first_mismatch(path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
    """E.g. ``"conv2 (Conv2d)"``; a sentence where only the optimised graph differs; None where nothing does."""
    proto = onnx.load(path)
    layers, output = _layers(path), proto.graph.output[0].name
    steps = [GraphStep(node.op_type, node.output[0], layers.get(node.output[0], "")) for node in proto.graph.node]
    values = _run_unoptimised(proto, path, inputs)
    found = find_first_mismatch(model, inputs, steps, values, output, tolerance)
    if found is not None:
        return found
    plain = open_session(path, optimised=True).run(None, {proto.graph.input[0].name: inputs.numpy()})[0]
    with torch.no_grad():
        expected = model(inputs.clone()).numpy()  # a layer may work in place
    largest = float(np.abs(expected).max(initial=0))
    return None if np.abs(expected - plain).max(initial=0) <= tolerance * largest else FUSION


def _layers(path: Path) -> dict[str, str]:
    """Module path by a node's first output; empty where nothing stands beside the file: then operators alone are
    compared."""
    beside = layers_file(path)
    return dict(json.loads(beside.read_text(encoding="utf-8"))) if beside.is_file() else {}


def _run_unoptimised(proto: onnx.ModelProto, path: Path, inputs: Tensor) -> dict[str, np.ndarray]:
    """Every float value of the graph, by name."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(proto)
    typed = {value.name: value for value in proto.graph.value_info}  # torch's exporter writes one for every value
    produced = {name for node in proto.graph.node for name in node.output}
    present = {value.name for value in proto.graph.output}
    exposed.graph.output.extend(
        value
        for name, value in typed.items()
        if name in produced - present and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    )
    with TemporaryDirectory(prefix="zoo-export-") as folder:
        copy = Path(folder, path.name)
        onnx.save(exposed, copy, save_as_external_data=exposed.ByteSize() > 2**30, location=f"{path.name}.data")
        session = open_session(copy, optimised=False)
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, {proto.graph.input[0].name: inputs.numpy()})
    return {name: value for name, value in zip(names, found, strict=True) if value.dtype == np.float32}


def open_session(path: Path, *, optimised: bool) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(
            f"onnxruntime cannot load the file: {' '.join(str(error).split())[:200]}", where=path.name
        ) from error
