"""Find the first layer of an exported network whose output differs from that of its PyTorch module.

The exporter writes the module of each node beside the file. The network is run in PyTorch with a hook on every module
and a record of every operator, and in onnxruntime without optimisation and with every value as an output. Both are
compared in the order of execution: a leaf module by its last node, and operators outside of leaf modules (``F.relu``,
``flatten``) by their values.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.errors import ExportError
from zoo_onnx.blame import describe
from zoo_onnx.writing import layers_file

FUSION = (
    "no layer by itself: unoptimised, the graph is right, so the likely cause is a fusion by onnxruntime's optimiser"
)


class Step(NamedTuple):
    """One node of the graph: its operator, its first output, and the module it stands for (a leaf, or one that calls
    operators itself)."""

    operator: str
    output: str
    path: str
    leaf: bool


class Group(NamedTuple):
    """One call of a leaf module, or the end of the network: its last value, and the steps between the former group and
    it."""

    path: str | None
    value: str
    between: list[Step]


def find_first_mismatch(path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
    """E.g. ``"conv2 (Conv2d)"``; a sentence where only the optimised graph differs; None where nothing does."""
    record = Record.of(model, inputs)
    proto = onnx.load(path)
    values = _run_unoptimised(proto, path, inputs)
    calls: dict[str, int] = defaultdict(int)
    graph_output = proto.graph.output[0].name
    for group in _groups(proto, model, graph_output, _layers(path)):
        if group.path is None:
            expected: np.ndarray | None = record.logits
        else:
            outputs = record.outputs[group.path]
            expected = outputs[calls[group.path]] if calls[group.path] < len(outputs) else None
            calls[group.path] += 1
        found = values.get(group.value)
        if expected is None or found is None or _agree(expected, found, tolerance):
            continue
        guilty = _first_wrong_step(group.between, record, values, tolerance)
        if guilty is not None:
            return f"{guilty.operator} '{guilty.output}', called by {describe(model, guilty.path)}"
        return (
            describe(model, group.path)
            if group.path is not None
            else f"the output '{graph_output}' of {describe(model, '')}"
        )
    plain = open_session(path, optimised=True).run(None, {proto.graph.input[0].name: inputs.numpy()})[0]
    return None if _agree(record.logits, plain, tolerance) else FUSION


def _first_wrong_step(
    between: list[Step], record: Record, values: dict[str, np.ndarray], tolerance: float
) -> Step | None:
    """The step after the last one whose value PyTorch saw too; an operator may be written as several steps, so earlier
    ones tell nothing."""
    wrong: Step | None = None
    for step in between:
        found = values.get(step.output)
        if found is None:
            continue
        seen = any(_agree(each, found, tolerance) for each in record.operators[step.path])
        wrong = None if seen else wrong or step
    return wrong


def _agree(expected: np.ndarray, found: np.ndarray, tolerance: float) -> bool:
    """Shapes may differ where sizes do not: an exporter is free to reshape early or late."""
    if expected.size != found.size:
        return False
    if expected.size == 0:
        return True
    difference = np.abs(expected.ravel() - found.ravel()).max()
    return bool(difference <= tolerance * np.abs(expected).max())  # False for NaN, on one side or both


# ----------------------------------------------------------------------------------------------------------- in PyTorch


class Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What a network computed: the outputs of each leaf module, call by call, and of each operator by the module that
    called it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outputs: dict[str, list[np.ndarray]] = defaultdict(list)
        self.operators: dict[str, list[np.ndarray]] = defaultdict(list)
        self.logits = np.empty(0)
        self._inside: list[str] = [""]

    @classmethod
    def of(cls, model: nn.Module, inputs: Tensor) -> Record:
        record = cls()
        hooks = []
        for path, module in model.named_modules():
            if not path:
                continue
            hooks.append(module.register_forward_pre_hook(lambda *_, path=path: record._inside.append(path)))
            hooks.append(
                module.register_forward_hook(lambda _module, _inputs, output, path=path: record._leave(path, output))
            )
        try:
            with torch.no_grad(), record:
                logits = model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        record.logits = _array(logits)
        return record

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, Tensor) and each.is_floating_point():
                self.operators[self._inside[-1]].append(_array(each))
        return result

    def _leave(self, path: str, output: Any) -> None:
        self._inside.pop()
        if isinstance(output, Tensor):
            self.outputs[path].append(_array(output))


def _array(tensor: Tensor) -> np.ndarray:
    """A copy, out of sight of every dispatch mode: operators in place would change what was recorded."""
    with torch.utils._python_dispatch._disable_current_modes():
        return tensor.detach().to("cpu", torch.float32).numpy().copy()


# ------------------------------------------------------------------------------------------------------- in onnxruntime


def _layers(path: Path) -> dict[str, str]:
    """Module path by a node's first output; empty where nothing stands beside the file: then operators alone are
    compared."""
    beside = layers_file(path)
    return dict(json.loads(beside.read_text(encoding="utf-8"))) if beside.is_file() else {}


def _groups(proto: onnx.ModelProto, model: nn.Module, output: str, layers: Mapping[str, str]) -> Iterator[Group]:
    leaves = {path for path, module in model.named_modules() if path and not any(True for _ in module.children())}
    between: list[Step] = []
    steps = [_step(node, leaves, layers) for node in proto.graph.node]
    for index, step in enumerate(steps):
        if not step.leaf:
            between.append(step)
            continue
        following = steps[index + 1] if index + 1 < len(steps) else None
        if following is None or following.path != step.path:
            yield Group(step.path, step.output, between)
            between = []
    yield Group(None, output, between)


def _step(node: onnx.NodeProto, leaves: set[str], layers: Mapping[str, str]) -> Step:
    path = layers.get(node.output[0], "")
    return Step(node.op_type, node.output[0], path, path in leaves)


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
