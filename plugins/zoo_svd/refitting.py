"""Refit a factorised network to calibration images by least squares, without training.

If each layer is factorised separately, errors accumulate from layer to layer. Therefore, from the first layer to the
last, the last factor of each layer is fitted to the outputs of the original layer for the same images, given the
present inputs (the asymmetric reconstruction of X. Zhang et al. 2015, section 3.3). Ridge regularisation keeps it close
to its previous weights. The statistics of batch norms are then recomputed.
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
"""The rows and columns of positions per image for a fit, and the limit in bytes of the outputs at them, which may
reduce the positions."""
PASSES = 8
"""The maximum number of passes over the images; in deeper networks, neighbouring layers are fitted together."""
ROWS_A_WEIGHT = 10
"""The minimum number of outputs per input feature for fitting a layer."""
RIDGE = 1e-3
"""The ridge parameter, relative to the mean variance of the inputs."""
NORM_BATCH = 64
"""The batch size for the statistics of batch norms."""


class _Enough(Exception):
    """Raised to stop a forward pass after the last layer that is needed."""


@dataclass(frozen=True)
class Due:
    """The outputs of the original layers at a ``grid`` of positions, (rows, m) per batch; none for a layer that is
    called more than once."""

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
    """The normal equations for the update of one ``layer``'s weights towards the outputs ``due``."""

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
    """Fit, in place, the last factor of each layer of ``names`` (in order of execution) to the outputs ``due``. Return
    False if there was nothing to fit."""
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
    """Recompute the statistics of batch norms in place, as the mean over all batches. Return False without batch
    norms."""
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
