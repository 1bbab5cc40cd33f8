"""An optimizer's state as tensors and JSON, keyed by parameter name, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.errors import CheckpointError


def optimizer_state(optimizer: Optimizer, model: nn.Module) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Tensors as ``optimizer/SLOT/PARAMETER``, keyed by the parameter's name, and the hyperparameters of every group as JSON."""
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    tensors = {}
    for parameter, slots in optimizer.state.items():
        for slot, value in slots.items():
            tensors[f"optimizer/{slot}/{by_id[id(parameter)]}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    groups = [
        {**{key: _plain(value) for key, value in group.items() if key != "params"}, "params": [by_id[id(each)] for each in group["params"]]}
        for group in optimizer.param_groups
    ]
    return tensors, groups


def restore_optimizer(optimizer: Optimizer, model: nn.Module, tensors: dict[str, Tensor], groups: list[dict[str, Any]]) -> None:
    """The inverse of `optimizer_state`. Raises CheckpointError where the parameters are others; their order does not matter."""
    parameters = dict(model.named_parameters())
    if {name for group in groups for name in group["params"]} != {name for name, each in parameters.items() if each.requires_grad}:
        raise CheckpointError("the optimizer's state is of other parameters", fix="resume with the configuration of the run")
    for group, saved in zip(optimizer.param_groups, groups, strict=True):
        for key, value in saved.items():
            if key != "params":
                group[key] = _restored(value)
    optimizer.state.clear()
    for key, value in tensors.items():
        _, slot, name = key.split("/", 2)
        parameter = parameters[name]
        same_layout = value.shape == parameter.shape
        optimizer.state[parameter][slot] = torch.empty_like(parameter, dtype=value.dtype).copy_(value) if same_layout and slot != "step" else value


def _plain(value: Any) -> Any:
    """JSON for a hyperparameter; tuples, and tensors that some optimizers keep among them, say what they are."""
    if isinstance(value, Tensor):
        return {"tensor": value.tolist(), "dtype": str(value.dtype).removeprefix("torch.")}
    return {"tuple": [_plain(each) for each in value]} if isinstance(value, tuple) else value


def _restored(value: Any) -> Any:
    match value:
        case {"tensor": numbers, "dtype": str(dtype)}:
            return torch.tensor(numbers, dtype=getattr(torch, dtype))
        case {"tuple": values}:
            return tuple(_restored(each) for each in values)
    return value
