"""Sampled positions of feature maps, the same for inputs and outputs of a layer, to save time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_svd.forms import Layer


def rows_of(layer: Layer, outputs: Tensor, grid: int | None = None) -> Tensor:
    """Return outputs of ``layer``, (N·places, m), at all positions, or at ``grid``² of them: rows and columns of a
    convolution's maps (N, m, H, W), or positions of a linear layer's outputs (N, …, m)."""
    return _at_some(outputs, grid) if isinstance(layer, nn.Linear) else channels_of(outputs, grid)


def channels_of(maps: Tensor, grid: int | None = None) -> Tensor:
    """(N, C, H, W) → (N·places, C)."""
    if grid is not None:
        maps = maps[..., spread(maps.shape[2], grid), :][..., spread(maps.shape[3], grid)]
    return maps.movedim(1, -1).reshape(-1, maps.shape[1])


def _at_some(values: Tensor, grid: int | None) -> Tensor:
    """(N, …, n) → (N·places, n)."""
    places = values.reshape(len(values), -1, values.shape[-1])
    if grid is not None:
        places = places[:, spread(places.shape[1], grid**2)]
    return places.reshape(-1, places.shape[-1])


def patches(layer: Layer, inputs: Tensor, grid: int) -> Tensor:
    """What ``layer`` multiplies by its weights at these places of its output: (N·places, n), in the order of its
    weights.

    A convolution pads with zeros, by numbers.
    """
    if isinstance(layer, nn.Linear):
        return _at_some(inputs, grid)
    padding = layer.padding
    if isinstance(padding, str) or layer.padding_mode != "zeros":
        raise ValueError(f"what {layer} sees beyond the edge is not zeros of a known number")
    down, across = (
        _taken(side + 2 * pad, kernel, stride, dilation, grid)
        for side, pad, kernel, stride, dilation in zip(
            inputs.shape[2:], padding, layer.kernel_size, layer.stride, layer.dilation, strict=True
        )
    )
    padded = F.pad(inputs, (padding[1], padding[1], padding[0], padding[0]))
    # N, C, rows, k, columns, k
    seen = padded[:, :, down.flatten()][..., across.flatten()].reshape(*inputs.shape[:2], *down.shape, *across.shape)
    return seen.permute(0, 2, 4, 1, 3, 5).reshape(-1, layer.weight[0].numel())


def _taken(side: int, kernel: int, stride: int, dilation: int, grid: int) -> Tensor:
    """Return, for sampled positions along an axis, the input indices that a filter covers: (places, kernel)."""
    starts = spread((side - dilation * (kernel - 1) - 1) // stride + 1, grid) * stride
    return starts[:, None] + dilation * torch.arange(kernel)


def spread(count: int, grid: int) -> Tensor:
    """Some of ``count`` places, evenly spaced; all where they are few."""
    return torch.linspace(0, count - 1, min(grid, count)).round().long()
