"""Find the first layer of an exported graph whose output differs from that of its PyTorch module.

The network is run in PyTorch with a hook on every module and a record of every operator. An exporter runs its file, and
passes the operators in the order of execution, each with its module and its value. Both are compared in that order: a
leaf module by its last operator, and operators outside of leaf modules (``F.relu``, ``flatten``) by their values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.exporting.tracing import module_label


class GraphStep(NamedTuple):
    """One operator of an exported graph: its name in the format, the name of its first output, and the dotted path of
    the module that calls it."""

    operator: str
    output: str
    path: str


class _Group(NamedTuple):
    """One call of a leaf module, or the end of the network (None): its last value, and the steps between the former
    group and it."""

    path: str | None
    value: str
    between: list[GraphStep]


def find_first_mismatch(
    model: nn.Module,
    inputs: Tensor,
    steps: Sequence[GraphStep],
    values: Mapping[str, np.ndarray],
    output: str,
    tolerance: float,
) -> str | None:
    """Return the first layer whose value differs, such as ``"conv2 (Conv2d)"``; None if none does.

    ``inputs`` is float32 (N, C, H, W). ``values`` has the output of every step for these inputs, or of some of them,
    by its name; ``output`` is the name of the network's. ``tolerance`` is relative to the largest value of a layer.
    """
    record = _Record.of(model, inputs.clone())  # a layer may work in place
    calls: dict[str, int] = defaultdict(int)
    for group in _groups(steps, model, output):
        if group.path is None:
            expected: np.ndarray | None = record.outputs_of_model
        else:
            outputs = record.outputs[group.path]
            expected = outputs[calls[group.path]] if calls[group.path] < len(outputs) else None
            calls[group.path] += 1
        found = values.get(group.value)
        if expected is None or found is None or agree(expected, found, tolerance):
            continue
        wrong = _first_wrong_step(group.between, record, values, tolerance)
        if wrong is not None:
            return f"{wrong.operator} '{wrong.output}', called by {module_label(model, wrong.path)}"
        if group.path is not None:
            return module_label(model, group.path)
        return f"the output '{output}' of {module_label(model, '')}"
    return None


def agree(expected: np.ndarray, found: np.ndarray, tolerance: float) -> bool:
    """Return whether two arrays agree, relative to the largest expected value. Shapes may differ where sizes do not:
    an exporter may reshape early or late."""
    if expected.size != found.size:
        return False
    if expected.size == 0:
        return True
    difference = np.abs(expected.ravel() - found.ravel()).max()
    return bool(difference <= tolerance * np.abs(expected).max())  # False for NaN, on one side or both


def _groups(steps: Sequence[GraphStep], model: nn.Module, output: str) -> Iterator[_Group]:
    leaves = {path for path, module in model.named_modules() if path and not any(True for _ in module.children())}
    between: list[GraphStep] = []
    for index, step in enumerate(steps):
        if step.path not in leaves:
            between.append(step)
            continue
        following = steps[index + 1] if index + 1 < len(steps) else None
        if following is None or following.path != step.path:
            yield _Group(step.path, step.output, between)
            between = []
    yield _Group(None, output, between)


def _first_wrong_step(
    between: list[GraphStep], record: _Record, values: Mapping[str, np.ndarray], tolerance: float
) -> GraphStep | None:
    """Return the step after the last one whose value occurs in PyTorch too. An operator may be written as several
    steps, so values of earlier ones may occur nowhere."""
    wrong: GraphStep | None = None
    for step in between:
        found = values.get(step.output)
        if found is None:
            continue
        seen = any(agree(each, found, tolerance) for each in record.operators[step.path])
        wrong = None if seen else wrong or step
    return wrong


class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What a network computed: the outputs of each leaf module, call by call, and of each operator by the module that
    called it."""

    supports_higher_order_operators = True  # such as torch.cond, whose branches are not recorded

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outputs: dict[str, list[np.ndarray]] = defaultdict(list)
        self.operators: dict[str, list[np.ndarray]] = defaultdict(list)
        self.outputs_of_model = np.empty(0)
        self._inside: list[str] = [""]

    @classmethod
    def of(cls, model: nn.Module, inputs: Tensor) -> _Record:
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
                outputs = model(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        record.outputs_of_model = copy_of(outputs)
        return record

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, Tensor) and each.is_floating_point():
                self.operators[self._inside[-1]].append(copy_of(each))
        return result

    def _leave(self, path: str, output: Any) -> None:
        self._inside.pop()
        if isinstance(output, Tensor):
            self.outputs[path].append(copy_of(output))


def copy_of(tensor: Tensor) -> np.ndarray:
    """Return a copy as float32, out of sight of every dispatch mode: operators in place would change what was
    recorded."""
    with torch.utils._python_dispatch._disable_current_modes():
        return tensor.detach().to("cpu", torch.float32).numpy().copy()
