"""Layers of a network as two of a lower rank.

A linear layer y = W·x + b, W (m×n), becomes a linear layer n → r and one r → m. A convolution of m filters k×k over c channels, whose filters are
the rows of W (m × c·k·k), becomes a convolution of r filters k×k and one of m filters 1×1 (X. Zhang et al.: Accelerating very deep convolutional
networks for classification and detection, 2015; for linear layers R. Girshick: Fast R-CNN, 2015). Both cost r·(m + n) weights in place of m·n.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d


class Pair(NamedTuple):
    """``first`` (r, n) and ``second`` (m, r) with ``bias`` (m,), in the place of W and b."""

    first: Tensor
    second: Tensor
    bias: Tensor | None


def candidates(model: nn.Module) -> dict[str, Layer]:
    """Every linear layer and ungrouped convolution, by name, for which some rank pays."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            rows, columns = sides(module)
            if pays(1, rows, columns):
                found[name] = module
    return found


def sides(layer: Layer) -> tuple[int, int]:
    """m and n of its weight matrix."""
    return len(layer.weight), layer.weight[0].numel()


def pays(rank: int, rows: int, columns: int) -> bool:
    """Whether two layers of this rank are smaller than the one: r < m·n / (m + n)."""
    return rank * (rows + columns) < rows * columns


def matrix_of(layer: Layer) -> Tensor:
    """float64 (m, n)."""
    return layer.weight.detach().flatten(1).double()


def pair_of(layer: Layer, rank: int) -> tuple[Layer, Layer]:
    """Two layers, of weights to be filled, in the place of one."""
    bias = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=bias)
    shape: dict[str, Any] = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")}
    return nn.Conv2d(layer.in_channels, rank, bias=False, **shape), nn.Conv2d(rank, layer.out_channels, 1, bias=bias)


def filled(layer: Layer, pair: Pair) -> nn.Sequential:
    """`pair_of`, with these weights, on the layer's device and in its mode."""
    first, second = pair_of(layer, len(pair.first))
    with torch.no_grad():
        first.weight.copy_(pair.first.reshape(first.weight.shape))
        second.weight.copy_(pair.second.reshape(second.weight.shape))
        if pair.bias is not None and second.bias is not None:
            second.bias.copy_(pair.bias)
    return nn.Sequential(first, second).to(layer.weight.device, layer.weight.dtype).train(layer.training)


def in_eight_bits(model: nn.Module) -> nn.Module:
    """A copy whose linear and convolution weights are rounded to -127 … 127 steps, a step for each output: what 8-bit weights would compute."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for module in rounded.modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                flat = module.weight.flatten(1)
                step = flat.abs().amax(1, keepdim=True).clamp_min(1e-30) / 127
                module.weight.copy_((flat / step).round().mul(step).reshape(module.weight.shape))
    return rounded


def replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, own, new)


def restructured(model: nn.Module, ranks: Mapping[str, int]) -> nn.Module:
    """``model`` with these layers of these ranks, their weights to be filled."""
    for name, rank in ranks.items():
        layer = model.get_submodule(name)
        if not isinstance(layer, (nn.Linear, nn.Conv2d)):
            raise TypeError(f"{name} is a {type(layer).__name__}, and cannot be factorised")
        replace(model, name, nn.Sequential(*pair_of(layer, rank)).to(layer.weight.device))
    return model
