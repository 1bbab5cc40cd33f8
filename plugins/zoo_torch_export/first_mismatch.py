"""Find the first layer of an archive whose output differs from that of its PyTorch module.

The graph of the archive is run node by node; ``nn_module_stack`` of a node has the path of the module that called it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Interpreter, Node

from zoo.plugin import GraphStep, find_first_mismatch
from zoo_torch_export.archive import Archive
from zoo_torch_export.client import load


def first_mismatch(path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
    """Return e.g. ``"conv2 (Conv2d)"``; None if nothing differs. ``inputs`` is float32 (N, C, H, W)."""
    module = load(Archive(path)).module(check_guards=False)
    recording = _Recording(module)
    with torch.no_grad():
        recording.run(inputs.clone())
    return find_first_mismatch(model, inputs, recording.steps, recording.values, recording.main, tolerance)


class _Recording(Interpreter):
    """Runs a graph, and records each operator and its value, float32, if that is a tensor of floats."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.steps: list[GraphStep] = []
        self.values: dict[str, np.ndarray] = {}
        self.main = _name_of_output(module)

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n.op == "call_function":
            self.steps.append(GraphStep(str(n.target), n.name, _module_path(n)))
            first = result[0] if isinstance(result, (tuple, list)) and result else result
            if isinstance(first, Tensor) and first.is_floating_point():
                self.values[n.name] = first.detach().float().numpy().copy()  # an operator in place may change it
        return result


def _name_of_output(module: torch.fx.GraphModule) -> str:
    result = module.graph.output_node().args[0]
    first = result[0] if isinstance(result, (tuple, list)) else result
    return first.name if isinstance(first, Node) else ""


def _module_path(node: Node) -> str:
    """The dotted path of the innermost module; a module that is called twice has "@1" behind it."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return "" if path.startswith("_empty_nn_module_stack") else path.partition("@")[0]
