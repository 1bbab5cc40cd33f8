"""What a network has before its first step: the weights of its plan, and a new head where the targets are others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from zoo.api import Target
from zoo.data.target_summary import summary
from zoo.errors import CheckpointError
from zoo.models.building import load_state
from zoo.runs.initial_weights import RandomWeights, RunWeights
from zoo.runs.plan import RunPlan


class Start(NamedTuple):
    """A sentence about the weights, and for each tensor of the network its name, its shape, that in the weights, and
    `LOADED` or `ANEW`."""

    told: str | None
    tensors: tuple[tuple[str, str, str, str], ...] = ()


LOADED, ANEW = "loaded", "re-initialised"


def initialise(model: nn.Module, plan: RunPlan, target: Target) -> Start:
    """Load the weights of ``plan`` into ``model``.

    Where the plan has a new head, that for another ``target``, or of another size, stays as it was initialised; else
    the head is loaded, and what it was for is said. Raises CheckpointError where anything else differs.
    """
    weights = plan.weights
    if isinstance(weights, RandomWeights) or plan.architecture is None:
        return Start(
            None if weights.text is None else "no pretrained weights: the whole network is initialised at random"
        )
    own = model.state_dict()
    tensors, changes = weights.read(own, plan.config.task.name)
    same = weights.target is None or weights.target == target
    kept = _other_heads(plan.architecture.spec.head, tensors, own, same=same) if plan.task.new_head else []
    try:
        load_state(model, {**tensors, **{name: own[name] for name in kept}}, weights.text)
    except CheckpointError as error:
        raise weights.explain(error) if isinstance(weights, RunWeights) else error from error
    anew = ", ".join(f"{name} {_size(own[name])}" for name in kept)
    read = f", read {', '.join(changes)}" if changes else ""
    told = f"starting from the weights {weights.text}: {len(own) - len(kept)} of {len(own)} tensors{read}" + (
        f"; {ANEW}: {anew}" if anew else ""
    )
    if weights.target is not None and not same and not plan.task.new_head:
        told += f"; the head too, which is for {summary(weights.target)}"
    rows = (
        (name, _size(value), _size(tensors.get(name)), ANEW if name in kept else LOADED) for name, value in own.items()
    )
    return Start(told, tuple(rows))


def _size(tensor: torch.Tensor | None) -> str:
    return "–" if tensor is None else "×".join(map(str, tensor.shape)) or "a number"


def _other_heads(
    head: str | None, tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], *, same: bool
) -> list[str]:
    """Tensors of heads for another target.

    Of another number: they differ in their first dimension alone, or the weights have no head at all; of as many, where
    they are not the ``same``: the head's.
    """
    shared = [(name, value.shape, tensors[name].shape) for name, value in own.items() if name in tensors]
    kept = [name for name, mine, theirs in shared if mine != theirs and mine[1:] == theirs[1:]]
    of_head = [name for name in own if head is not None and name.startswith(f"{head}.")]
    return list(dict.fromkeys([*kept, *(name for name in of_head if name not in tensors or not same)]))
