"""The factorisations (forms) of a layer, and their costs.

A linear layer y = W·x + b, W (m×n), becomes a linear layer n → r and one r → m (R. Girshick: Fast R-CNN, 2015). A
convolution of m filters k×k over c channels becomes

- ``channels``: r filters k×k, then m filters 1×1 (E. Denton et al.: Exploiting linear structure within convolutional
  networks, 2014; X. Zhang et al.: Accelerating very deep convolutional networks for classification and detection,
  2015): r·(c·k² + m) weights in place of m·c·k²;
- ``spatial``: r filters k×1, then m filters 1×k (M. Jaderberg et al.: Speeding up convolutional neural networks with
  low rank expansions, 2014): r·k·(c + m) weights;
- ``tucker``: s filters 1×1, r filters k×k, m filters 1×1 (Y. Kim et al.: Compression of deep convolutional neural
  networks for fast and low power mobile applications, 2016): c·s + s·r·k² + r·m weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from zoo_svd.options import CONVOLUTIONS

Layer = nn.Linear | nn.Conv2d
Form = Literal["linear", "channels", "spatial", "tucker"]


class Choice(NamedTuple):
    """A form and its ranks: (r,), for ``tucker`` (s, r)."""

    form: Form
    ranks: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.form} {', '.join(map(str, self.ranks))}"


class Stage(NamedTuple):
    """One of the smaller layers: linear where there is no ``kernel``."""

    inputs: int
    outputs: int
    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] | str = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    padding_mode: str = "zeros"

    @property
    def weights(self) -> int:
        height, width = self.kernel or (1, 1)
        return self.inputs * self.outputs * height * width

    def after(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of what it gives for images of such a size."""
        if self.kernel is None or self.padding == "same":
            return size
        padding = (0, 0) if isinstance(self.padding, str) else self.padding
        sides = zip(size, self.kernel, self.stride, padding, self.dilation, strict=True)
        height, width = (
            (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, stride, pad, dilation in sides
        )
        return height, width

    def module(self, *, bias: bool) -> Layer:
        if self.kernel is None:
            return nn.Linear(self.inputs, self.outputs, bias=bias)
        shape: dict[str, Any] = {
            name: getattr(self, name) for name in ("stride", "padding", "dilation", "padding_mode")
        }
        return nn.Conv2d(self.inputs, self.outputs, self.kernel, bias=bias, **shape)


def forms_of(layer: Layer, allowed: Sequence[Form] = CONVOLUTIONS) -> tuple[Form, ...]:
    """Return the distinct forms among ``allowed`` for this layer: a linear layer or a 1×1 convolution has only one."""
    if isinstance(layer, nn.Linear):
        return ("linear",)
    if min(layer.kernel_size) == 1:
        return ("channels",)
    # With another padding, the values beyond the edge of a column are unknown.
    separable = isinstance(layer.padding, tuple) and layer.padding_mode == "zeros"
    return tuple(form for form in allowed if form != "spatial" or separable) or ("channels",)


def stages(layer: Layer, choice: Choice) -> list[Stage]:
    """Return the factors of a layer; the last of them has its bias."""
    form, ranks = choice
    rank = ranks[-1]
    if isinstance(layer, nn.Linear):
        return [Stage(layer.in_features, rank), Stage(rank, layer.out_features)]
    inputs, outputs = layer.in_channels, layer.out_channels
    kernel, stride, padding, dilation = (
        _two(getattr(layer, name)) for name in ("kernel_size", "stride", "padding", "dilation")
    )
    if form == "spatial":
        along = [
            ((kernel[0], 1), (stride[0], 1), (padding[0], 0), (dilation[0], 1)),
            ((1, kernel[1]), (1, stride[1]), (0, padding[1]), (1, dilation[1])),
        ]
        return [Stage(inputs, rank, *along[0]), Stage(rank, outputs, *along[1])]
    whole = (kernel, stride, padding, dilation, layer.padding_mode)
    if form == "tucker":
        return [Stage(inputs, ranks[0], (1, 1)), Stage(ranks[0], rank, *whole), Stage(rank, outputs, (1, 1))]
    return [Stage(inputs, rank, *whole), Stage(rank, outputs, (1, 1))]


def _two(value: Any) -> Any:
    return value if isinstance(value, str) else tuple(value)


def weights_of(layer: Layer, choice: Choice) -> int:
    return sum(stage.weights for stage in stages(layer, choice))


def macs_of(layer: Layer, choice: Choice, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates for one image, ``shape`` being what the layer takes of it: (C, H, W), or (…, n) of a
    linear layer."""
    if isinstance(layer, nn.Linear):
        return weights_of(layer, choice) * places_of(layer, shape)
    total, size = 0, (shape[-2], shape[-1])
    for stage in stages(layer, choice):
        size = stage.after(size)
        total += stage.weights * size[0] * size[1]
    return total


def places_of(layer: Layer, shape: tuple[int, ...]) -> int:
    """Return the number of positions at which the layer's matrix is applied to one image."""
    if isinstance(layer, nn.Linear):
        return int(torch.Size(shape[:-1]).numel())
    whole = Stage(0, 0, *(_two(getattr(layer, name)) for name in ("kernel_size", "stride", "padding", "dilation")))
    height, width = whole.after((shape[-2], shape[-1]))
    return height * width


def empty(layer: Layer, choice: Choice) -> nn.Sequential:
    """Return the factors with uninitialised weights, on the layer's device and in its mode."""
    chain = stages(layer, choice)
    modules = [stage.module(bias=layer.bias is not None and stage is chain[-1]) for stage in chain]
    return nn.Sequential(*modules).to(layer.weight.device, layer.weight.dtype).train(layer.training)


def filled(layer: Layer, choice: Choice, weights: Sequence[Tensor], offset: Tensor | None) -> nn.Sequential:
    """Return the factors with these weights, and with ``offset`` (m,) added to the layer's bias."""
    chain = empty(layer, choice)
    with torch.no_grad():
        for module, weight in zip(chain, weights, strict=True):
            module.weight.copy_(weight.reshape(module.weight.shape))  # type: ignore[operator,arg-type]
        if layer.bias is not None:
            chain[-1].bias.copy_(layer.bias if offset is None else layer.bias + offset)  # type: ignore[operator]
    return chain


def candidates(model: nn.Module) -> dict[str, Layer]:
    """Return, by name, every linear layer and ungrouped convolution for which some rank saves weights."""
    found: dict[str, Layer] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1):
            least = ((form, (1, 1) if form == "tucker" else (1,)) for form in forms_of(module))
            if any(pays(module, Choice(*each)) for each in least):
                found[name] = module
    return found


def pays(layer: Layer, choice: Choice) -> bool:
    """Return whether a choice has fewer weights than the layer: for a matrix, r < m·n / (m + n)."""
    return weights_of(layer, choice) < layer.weight.numel()


def sides(layer: Layer) -> tuple[int, int]:
    """m and n of its weight matrix."""
    return len(layer.weight), layer.weight[0].numel()


def replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent) if parent else model, own, new)


def to_json(choices: Mapping[str, Choice | None]) -> dict[str, Any]:
    """The structure of a compressed network: what became of its layers."""
    return {
        "layers": {
            name: {"form": each.form, "ranks": list(each.ranks)} for name, each in choices.items() if each is not None
        }
    }


def from_json(structure: Mapping[str, Any]) -> dict[str, Choice]:
    """The layers that `to_json` names. Runs from before there were forms have ``ranks`` alone."""
    older = {name: {"form": "channels", "ranks": [rank]} for name, rank in structure.get("ranks", {}).items()}
    return {
        name: Choice(facts["form"], tuple(facts["ranks"])) for name, facts in structure.get("layers", older).items()
    }


def restructured(model: nn.Module, structure: Mapping[str, Any]) -> nn.Module:
    """``model`` with the layers of a structure, their weights to be filled."""
    for name, choice in from_json(structure).items():
        layer = model.get_submodule(name)
        if not isinstance(layer, (nn.Linear, nn.Conv2d)):
            raise TypeError(f"{name} is a {type(layer).__name__}, and cannot be factorised")
        replace(model, name, empty(layer, choice))
    return model
