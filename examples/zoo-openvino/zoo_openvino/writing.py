"""Convert a network with openvino."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import openvino
import torch
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

from zoo.api import MAIN_INPUT, MAIN_OUTPUT, ExportJob
from zoo.errors import ExportError
from zoo.plugin import quiet, storage_errors, trace
from zoo_openvino.client import METADATA

MODULES = "zoo_modules"
"""The entry of the model's rt_info that has the dotted path of the module of each operator, as JSON."""


def write(job: ExportJob, path: Path, compress_to_fp16: bool) -> None:
    """Trace, convert and save. Raises ExportError that names what cannot be traced or converted."""
    program = trace(job)
    try:
        with quiet():
            decoder = TorchFXPythonDecoder.from_exported_program(program)  # it decomposes operators of the graph
            model = openvino.convert_model(decoder)
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise ExportError(f"openvino cannot convert the network: {text}", fix="change the network") from error
    batch = -1 if job.batch is None else job.batch
    model.reshape({0: openvino.PartialShape([batch, *job.example.shape[1:]])})
    model.input(0).set_names({MAIN_INPUT})
    model.output(0).set_names({MAIN_OUTPUT})
    _name(model, decoder.pt_module.graph)
    # as ASCII, because XML cannot hold every character
    model.set_rt_info(json.dumps(dict(job.metadata)), [METADATA])
    with quiet(), storage_errors(path):
        openvino.save_model(model, str(path), compress_to_fp16=compress_to_fp16)


def _name(model: Any, graph: torch.fx.Graph) -> None:
    """Give every operator a name that depends on the network alone: openvino's count up within a process, so that two
    exports would differ. Names of operators begin with that of their node in the graph, but for those that openvino
    fuses. The module of each node is stored for `first_mismatch`."""
    model.set_friendly_name("model")
    modules: dict[str, str] = {}
    paths = {node.name: _module_path(node) for node in graph.nodes}
    for index, operator in enumerate(model.get_ordered_ops()):
        node = operator.get_friendly_name().partition("/")[0]
        name = f"{index}_{node if node in paths else re.sub(r'[^A-Za-z]', '', operator.get_type_name())}"
        operator.set_friendly_name(name)
        if node in paths and operator.get_type_name() not in ("Parameter", "Constant", "Result"):
            modules[name] = paths[node]
    model.set_rt_info(json.dumps(modules), [MODULES])


def _module_path(node: torch.fx.Node) -> str:
    """The innermost module that called a node; a module that is called twice has "@1" behind it."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]).partition("@")[0] if stack else ""
