"""Gradient norms of the layers of a network before the first step, which show vanishing or exploding gradients.

The method follows X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks
(2010). Shortcut connections keep the norms of deep networks similar (K. He et al.: Deep residual learning for image
recognition, 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from zoo.api import Batch
from zoo.errors import UsageError
from zoo.runs.plan import RunPlan
from zoo.support import counter_random
from zoo.training.losses import piece_loss
from zoo.training.preparation import prepare
from zoo.training.train_state import Learning


@dataclass(frozen=True)
class Gradients:
    """By layer in the order of the calls: its name and the 2-norm of the gradient of the mean loss with respect to its
    weight."""

    label: str
    layers: tuple[str, ...]
    norms: tuple[float, ...]
    notes: tuple[str, ...] = ()
    """What the run would say of its data and weights."""

    @property
    def ratio(self) -> float:
        """The first layer's norm divided by the last layer's."""
        return self.norms[0] / self.norms[-1] if self.norms[-1] else float("nan")


def gradients(plan: RunPlan, label: str) -> Gradients:
    """Compute the gradients of the first training batch of ``plan``, before the first step, in fp32.

    Raises the errors of the run.
    """
    ready = prepare(plan)
    config = ready.config
    if ready.learning is None:
        raise UsageError(
            f"task {config.task.name} is solved without training, so it has no gradients",
            fix="choose another task",
        )
    part = ready.data.part("train")
    order = counter_random.order(config.seed, 0, len(part))[: config.train.samples_per_step]
    batch = next(iter(part.batches_of(order, config.train.samples_per_step)))
    layers, norms = _norms(ready.model.to(ready.engine.device), ready.learning, batch)
    return Gradients(label, layers, norms, tuple(ready.notes))


def _norms(model: nn.Module, learning: Learning, batch: Batch) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Of the weights with two dimensions or more: of convolutions, linear layers and the like, not of norms and
    biases."""
    called: dict[str, nn.Parameter] = {}

    def remember(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any) -> None:
            called.setdefault(name, module.weight)  # type: ignore[arg-type]

        return hook

    hooks = [
        module.register_forward_pre_hook(remember(name))
        for name, module in model.named_modules()
        if _has_matrix(module)
    ]
    with learning.reader.reading(model, model.train()) as read:
        outputs = read(batch.inputs)
    for hook in hooks:
        hook.remove()
    piece_loss(learning.task, learning.reader, outputs, [(1.0, batch)]).mean.backward()  # type: ignore[no-untyped-call]
    reached = {name: weight.grad for name, weight in called.items() if weight.grad is not None}
    return tuple(reached), tuple(float(gradient.norm()) for gradient in reached.values())


def _has_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim > 1 and weight.requires_grad


def summary(found: Sequence[Gradients]) -> list[dict[str, Any]]:
    """A row each, as JSON."""
    return [
        {"label": each.label, "ratio": each.ratio, "layers": dict(zip(each.layers, each.norms, strict=True))}
        for each in found
    ]
