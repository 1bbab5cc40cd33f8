"""What a network of smaller layers learns from calibration images without any training.

A component analysis of each layer alone lets errors add up from layer to layer. So, from the first to the last, the
last of a layer's smaller ones is fitted by least squares to what the original layer answers to the same images, given
what now arrives there (the asymmetric reconstruction of X. Zhang et al. 2015, section 3.3). A ridge keeps it near what
it was where the images say little. Then batch norms take the statistics of what now arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_svd.forms import Layer
from zoo_svd.places import patches, rows_of
from zoo_svd.seen import Hook, watch

GRID, KEPT_BYTES = 8, 1e9
"""Rows and columns of places that a fit looks at in an image, or fewer, so that what is due at them takes no more
bytes."""
PASSES = 8
"""Times that a network looks at the images at most: of deeper ones, neighbouring layers are fitted together."""
ROWS_A_WEIGHT = 10
"""A layer is fitted where there are at least this many answers for each number that makes one up."""
RIDGE = 1e-3
"""Of the mean variance of what is given."""
NORM_BATCH = 64
"""Images whose mean and variance a batch norm takes at a time."""


class _Enough(Exception):
    """What comes behind need not be computed."""


@dataclass(frozen=True)
class Due:
    """What each layer of the original answers at a ``grid`` of places, (rows, m) a batch; of a layer that is used more
    than once, nothing."""

    grid: int
    answers: dict[str, list[Tensor]]


def answers(model: nn.Module, layers: Mapping[str, Layer], batches: Sequence[Tensor]) -> Due:
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    a_place = 4 * sum(map(len, batches)) * sum(len(layer.weight) for layer in layers.values())
    grid = max(1, min(GRID, math.isqrt(int(KEPT_BYTES / max(1, a_place)))))
    watch(model, {layer: _keeping(found[name], grid) for name, layer in layers.items()}, batches)
    return Due(grid, {name: rows for name, rows in found.items() if len(rows) == len(batches)})


def _keeping(rows: list[Tensor], grid: int) -> Hook:
    return lambda layer, _given, output: rows.append(rows_of(layer, output, grid).clone())


@dataclass
class _Fit:
    """The normal equations of one ``layer``'s difference from what is ``due``: what must be added to its weights."""

    layer: Layer
    due: Sequence[Tensor]
    grid: int
    batch: int = 0
    rows: int = 0
    sums: list[Tensor] = field(default_factory=list)

    def add(self, given: Tensor) -> None:
        inputs = patches(self.layer, given, self.grid).double()
        bias = 0 if self.layer.bias is None else self.layer.bias.double()
        lacking = self.due[self.batch].double() - inputs @ self.layer.weight.flatten(1).double().T - bias
        new = [inputs.sum(0), lacking.sum(0), inputs.T @ inputs, lacking.T @ inputs]
        self.sums = [before + each for before, each in zip(self.sums, new, strict=True)] if self.sums else new
        self.batch, self.rows = self.batch + 1, self.rows + len(inputs)

    def apply(self) -> None:
        size = self.layer.weight[0].numel()
        if self.rows < ROWS_A_WEIGHT * size:
            return
        given, lacking, squares, products = (each / self.rows for each in self.sums)
        if self.layer.bias is not None:
            squares, products = squares - torch.outer(given, given), products - torch.outer(lacking, given)
        ridge = RIDGE * squares.diagonal().mean().clamp_min(1e-30)
        added = torch.linalg.solve(
            squares + ridge * torch.eye(size, dtype=squares.dtype, device=squares.device), products.T
        ).T
        with torch.no_grad():
            self.layer.weight.add_(added.reshape(self.layer.weight.shape))
            if self.layer.bias is not None:
                self.layer.bias.add_(lacking - added @ given)


def refit(model: nn.Module, names: Sequence[str], due: Due, batches: Sequence[Tensor]) -> bool:
    """Fit, in place, the last of the smaller layers that stand for each of ``names``, in the order in which they are
    run, to what is ``due``. False where there was nothing to fit.
    """
    known = [name for name in names if name in due.answers]
    together = -(-len(known) // PASSES) or 1
    for start in range(0, len(known), together):
        group = known[start : start + together]
        fits = [_Fit(model.get_submodule(name)[-1], due.answers[name], due.grid) for name in group]  # type: ignore[index]
        hooks = [fit.layer.register_forward_pre_hook(_taking(fit, last=fit is fits[-1])) for fit in fits]
        try:
            with torch.no_grad():
                for batch in batches:
                    _run(model, batch)
        finally:
            for hook in hooks:
                hook.remove()
        for fit in fits:
            fit.apply()
    return bool(known)


def _taking(fit: _Fit, *, last: bool) -> Callable[[Any, Any], None]:
    def hook(_module: Any, given: Any) -> None:
        fit.add(given[0])
        if last:
            raise _Enough

    return hook


def _run(model: nn.Module, batch: Tensor) -> None:
    try:
        model(batch)
    except _Enough:
        return


def renew_norms(model: nn.Module, images: Tensor) -> bool:
    """Let batch norms, in place, take their statistics anew, the mean over all batches. False where there are none."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [module.momentum for module in norms]
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # the mean over all batches
        module.train()
    with torch.no_grad():
        for batch in images.split(NORM_BATCH) if norms else ():  # type: ignore[no-untyped-call]
            if len(batch) > 1:
                model(batch)
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    model.eval()
    return bool(norms)
