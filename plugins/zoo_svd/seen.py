"""Means and covariances of the inputs and outputs of layers for calibration images, over images and positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from zoo_svd.forms import Choice, Layer, forms_of, stages
from zoo_svd.places import channels_of, patches, rows_of

GRID = 16
"""The rows and columns of positions per image at which inputs are sampled (Zhang et al. use ten random positions);
outputs are used at all positions."""


Hook = Callable[[Any, Any, Tensor], None]
"""Called with a layer, its inputs (a tuple), and its output."""


class Moments:
    """Running ``mean`` (n,) and ``covariance`` (n, n), float64, of rows (…, n)."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, rows: Tensor) -> None:
        rows = rows.double()
        self._count += len(rows)
        self._sum = self._sum.to(rows.device) + rows.sum(0)
        self._squares = self._squares.to(rows.device) + rows.T @ rows

    @property
    def mean(self) -> Tensor:
        return self._sum / self._count

    @property
    def covariance(self) -> Tensor:
        return self._squares / self._count - torch.outer(self.mean, self.mean)


@dataclass
class Seen:
    """The moments of one layer: of its outputs W·x + b (m) and, for a convolution, of its inputs by channel (c) and by
    the column that a k×1 filter covers (c·k)."""

    answers: Moments = field(default_factory=Moments)
    channels: Moments = field(default_factory=Moments)
    columns: Moments = field(default_factory=Moments)


def look(
    model: nn.Module, layers: Mapping[str, Layer], batches: Iterable[Tensor], *, inputs: bool = True
) -> dict[str, Seen]:
    """Return the moments of each layer for images, with ``model`` in eval mode; ``inputs=False``: only of the
    outputs."""
    found = {name: Seen() for name in layers}
    watch(
        model,
        {layer: _adding(found[name], forms_of(layer) if inputs else ()) for name, layer in layers.items()},
        batches,
    )
    return found


def watch(model: nn.Module, hooks: Mapping[Layer, Hook], batches: Iterable[Tensor]) -> None:
    """Run ``model`` on images, and call each layer's hook with its inputs and output."""
    registered = [layer.register_forward_hook(hook) for layer, hook in hooks.items()]
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        for hook in registered:
            hook.remove()


def _adding(seen: Seen, forms: tuple[str, ...]) -> Hook:
    def hook(layer: Any, given: Any, output: Tensor) -> None:
        seen.answers.add(rows_of(layer, output))
        if "tucker" in forms:
            seen.channels.add(channels_of(given[0], GRID))
        if "spatial" in forms:
            seen.columns.add(patches(stages(layer, Choice("spatial", (1,)))[0].module(bias=False), given[0], GRID))

    return hook
