"""Load the initial weights of a plan into its network; the head is re-initialised if the targets differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from zoo.api import Target
from zoo.data.target_summary import summary
from zoo.errors import CheckpointError
from zoo.models.building import load_state
from zoo.runs.file_weights import FileWeights
from zoo.runs.initial_weights import PretrainedWeights, RandomWeights, RunWeights
from zoo.runs.plan import RunPlan


class Start(NamedTuple):
    """A summary line, and a row for each tensor: name, shape, shape in the weights, and `LOADED` or `ANEW`."""

    told: str | None
    tensors: tuple[tuple[str, str, str, str], ...] = ()


LOADED, ANEW = "loaded", "re-initialised"


def initialise(model: nn.Module, plan: RunPlan, target: Target) -> Start:
    """Load the weights of ``plan`` into ``model``.

    If the plan has a new head, a head for another ``target`` or of another size stays randomly initialised. Otherwise
    the head is loaded, too, and the summary names its target. Raises CheckpointError if any other tensor differs.
    """
    weights = plan.weights
    if isinstance(weights, RandomWeights) or plan.architecture is None:
        return Start(
            None if weights.text is None else "no pretrained weights: the whole network is randomly initialised"
        )
    same = weights.target is None or weights.target == target
    own, tensors, changes, kept = load_into(
        model,
        weights,
        plan.architecture.spec.head,
        same=same,
        new_head=plan.task.new_head,
        task=plan.config.task.name,
    )
    anew = ", ".join(f"{name} {_size(own[name])}" for name in kept)
    read = f", read {', '.join(changes)}" if changes else ""
    name = weights.told if isinstance(weights, FileWeights) else weights.text
    told = f"initial weights {name}: loaded {len(own) - len(kept)} of {len(own)} tensors{read}" + (
        f"; {ANEW}: {anew}" if anew else ""
    )
    if weights.target is not None and not same and not plan.task.new_head:
        told += f"; loaded the head, too, whose target is {summary(weights.target)}"
    rows = (
        (name, _size(value), _size(tensors.get(name)), ANEW if name in kept else LOADED) for name, value in own.items()
    )
    return Start(told, tuple(rows))


class Loaded(NamedTuple):
    """The network's state dict, the tensors of the weights, what was changed on reading them, and the names of
    tensors that stay as they were initialised."""

    own: dict[str, torch.Tensor]
    tensors: dict[str, torch.Tensor]
    changes: Sequence[str]
    kept: list[str]


def load_into(
    model: nn.Module,
    weights: PretrainedWeights,
    head: str | None,
    *,
    same: bool,
    new_head: bool,
    task: str | None = None,
) -> Loaded:
    """Load trained weights into a network; with ``new_head``, the head stays as it is if it has another size, or unless
    its target is the ``same``. Raises CheckpointError, whose fix mentions ``task``."""
    own = model.state_dict()
    tensors, changes = weights.read(own, task)
    kept = _other_heads(head, tensors, own, same=same) if new_head else []
    try:
        load_state(model, {**tensors, **{name: own[name] for name in kept}}, weights.text)
    except CheckpointError as error:
        raise weights.explain(error) if isinstance(weights, RunWeights) else error from error
    return Loaded(own, tensors, changes, kept)


def _size(tensor: torch.Tensor | None) -> str:
    return "–" if tensor is None else "×".join(map(str, tensor.shape)) or "a number"


def _other_heads(
    head: str | None, tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], *, same: bool
) -> list[str]:
    """Return the names of the tensors of heads for another target.

    With another number of outputs, these are the tensors whose first dimension differs, or the head's if the weights
    have none. With the same number of outputs but not the ``same`` target, these are the head's tensors.
    """
    shared = [(name, value.shape, tensors[name].shape) for name, value in own.items() if name in tensors]
    kept = [name for name, mine, theirs in shared if mine != theirs and mine[1:] == theirs[1:]]
    of_head = [name for name in own if head is not None and name.startswith(f"{head}.")]
    return list(dict.fromkeys([*kept, *(name for name in of_head if name not in tensors or not same)]))
