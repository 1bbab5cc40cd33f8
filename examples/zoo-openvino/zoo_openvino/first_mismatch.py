"""Run a model with the value of every operator as an output, and find the first layer that differs from PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino
from torch import Tensor, nn

from zoo.plugin import GraphStep, find_first_mismatch
from zoo_openvino.writing import MODULES


def first_mismatch(path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
    """Return e.g. ``"conv2 (Conv2d)"``; None if nothing differs. ``inputs`` is float32 (N, C, H, W).

    openvino fuses layers when it converts: of a convolution and a batch norm, the latter is named.
    """
    graph = openvino.Core().read_model(str(path))
    stored = graph.get_rt_info([MODULES]) if graph.has_rt_info([MODULES]) else "{}"
    modules: dict[str, str] = json.loads(str(getattr(stored, "value", stored)))
    operators = [each for each in graph.get_ordered_ops() if each.get_friendly_name() in modules]
    steps = [
        GraphStep(each.get_type_name(), each.get_friendly_name(), modules[each.get_friendly_name()])
        for each in operators
    ]
    last = graph.output(0).get_node().input_value(0).get_node().get_friendly_name()
    graph.add_outputs([each.output(0) for each in operators if each.output(0).get_element_type() == openvino.Type.f32])
    compiled = openvino.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled([inputs.numpy()])
    names = [output.get_node().input_value(0).get_node().get_friendly_name() for output in graph.outputs]
    values = {name: np.array(results[index]) for index, name in enumerate(names)}
    return find_first_mismatch(model, inputs, steps, values, last, tolerance)
