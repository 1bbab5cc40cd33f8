"""Conversion of an optimizer's state to tensors and JSON, keyed by parameter name, and back, with the optimizer's
``state_dict`` and ``load_state_dict``.

Types and nesting are preserved: Python numbers, tuples, dtypes and strides of tensors, and tensors that are shared. A
value that cannot be stored is an error with its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.errors import CheckpointError, UsageError

PREFIX = "optimizer/"


def optimizer_state(optimizer: Optimizer, model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors by ``optimizer/NUMBER/PARAMETER/SLOT``, and JSON with all other values and the places of the
    tensors.

    Raises UsageError for a value that cannot be stored.
    """
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    names = [by_id[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    packer, content = _Packer(), optimizer.state_dict()
    groups = [
        {
            "params": [names[index] for index in group["params"]],
            "options": packer.pack({key: group[key] for key in group if key != "params"}, "group"),
        }
        for group in content["param_groups"]
    ]
    slots = {key: slot for key, slot in content["state"].items() if type(key) is int}
    state = {names[index]: packer.pack(slot, names[index]) for index, slot in slots.items()}
    # what belongs to no parameter
    others = {key: slot for key, slot in content["state"].items() if type(key) is not int}
    # and what an optimizer adds of its own
    more = {key: value for key, value in content.items() if key not in ("state", "param_groups")}
    return packer.tensors, {
        "groups": groups,
        "state": state,
        "others": packer.pack(others, "others"),
        "more": packer.pack(more, "more"),
    }


def restore_optimizer(
    optimizer: Optimizer, model: nn.Module, tensors: Mapping[str, Tensor], saved: Mapping[str, Any]
) -> None:
    """The inverse of `optimizer_state`.

    Raises CheckpointError if the parameters differ; their order does not matter.
    """
    by_id = {id(parameter): name for name, parameter in model.named_parameters()}
    own = [[by_id[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]
    if [sorted(names) for names in own] != [sorted(group["params"]) for group in saved["groups"]]:
        raise CheckpointError(
            "the optimizer's state is for other parameters", fix="resume with the configuration of the run"
        )
    index = {name: at for at, name in enumerate(name for names in own for name in names)}
    unpacker = _Unpacker(tensors)
    groups = [
        {**unpacker.unpack(group["options"]), "params": [index[name] for name in names]}
        for names, group in zip(own, saved["groups"], strict=True)
    ]
    state = {index[name]: unpacker.unpack(slot) for name, slot in saved["state"].items()}
    others, more = unpacker.unpack(saved["others"]), unpacker.unpack(saved["more"])
    optimizer.load_state_dict({**more, "state": {**state, **others}, "param_groups": groups})


class _Packer:
    """Converts values to JSON. Types that JSON lacks become an object with one key; ``tensors`` has those that the JSON
    refers to."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._keys: dict[int, str] = {}

    def pack(self, value: Any, path: str) -> Any:
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) in (list, tuple, dict):
            return self._nested(value, path)
        return self._tensor(value, path) if isinstance(value, Tensor) else _scalar(value, path)

    def _nested(self, value: Any, path: str) -> Any:
        if type(value) is dict:
            return {"dict": [[self.pack(key, path), self.pack(each, f"{path}/{key}")] for key, each in value.items()]}
        packed = [self.pack(each, f"{path}/{at}") for at, each in enumerate(value)]
        return packed if type(value) is list else {"tuple": packed}

    def _tensor(self, value: Tensor, path: str) -> dict[str, Any]:
        if type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided or value.is_quantized:
            raise _cannot_hold(value, path)
        key = self._keys.setdefault(id(value), f"{PREFIX}{len(self._keys)}/{path}")
        self.tensors[key] = value
        strides = torch.empty_like(
            value, device="meta"
        ).stride()  # of the copy that will be restored: dense, its axes in the same order
        return {"tensor": [key, None if value.is_contiguous() else list(strides)]}


def _scalar(value: Any, path: str) -> Any:
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.generic):
        return {"numpy": [value.dtype.name, value.item()]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    raise _cannot_hold(value, path)


def _cannot_hold(value: Any, path: str) -> UsageError:
    return UsageError(
        f"the optimizer's state has a {type(value).__name__} ({path}), which a checkpoint cannot store",
        fix="choose another optimizer",
    )


class _Unpacker:
    """The inverse of `_Packer`."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors, self._made = tensors, dict[str, Tensor]()
        self._by_type: dict[str, Callable[[Any], Any]] = {
            "dict": lambda pairs: {self.unpack(key): self.unpack(each) for key, each in pairs},
            "tuple": lambda values: tuple(self.unpack(each) for each in values),
            "tensor": lambda facts: self._tensor(*facts),
            "float": float,
            "numpy": lambda facts: np.dtype(facts[0]).type(facts[1]),
            "dtype": lambda name: getattr(torch, name),
        }

    def unpack(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.unpack(each) for each in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        return self._by_type[kind](content)

    def _tensor(self, key: str, strides: list[int] | None) -> Tensor:
        """Return a copy, because a loaded tensor may be a view of the file."""
        if key not in self._made:
            read = self._tensors[key]
            made = (
                torch.empty(read.shape, dtype=read.dtype)
                if strides is None
                else torch.empty_strided(read.shape, strides, dtype=read.dtype)
            )
            self._made[key] = made.copy_(read)
        return self._made[key]
