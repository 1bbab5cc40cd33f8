"""Where a network looks: Grad-CAM (R. Selvaraju et al.: Grad-CAM: visual explanations from deep networks via
gradient-based localization, 2017).

The maps A_k of the last layer that still has places (N, K, h, w) are added up, each weighted by the mean over its
places of the gradient of a class's logit, and what speaks against the class is left out: ReLU(Σ_k mean(∂y/∂A_k) · A_k),
their equations 1 and 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError


def grad_cam(model: nn.Module, inputs: Tensor, head: str | None = None) -> tuple[Tensor, Tensor]:
    """The logits (N, K) of images (N, C, H, W), and for each a map float32 (N, H, W), 0 to 1, of what speaks for its
    top-1 class.

    ``model`` is in eval mode; ``head`` names the module that gives its logits, where that is known: maps are taken
    before it. Raises UsageError where no layer of the network has maps.
    """
    found = _last_maps(model, inputs, head)
    if found is None:
        raise UsageError(
            "no layer of this network gives maps (N, K, h, w) that could be looked at",
            fix="choose a convolutional network",
        )
    module, kept = model.get_submodule(found), list[Tensor]()

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_(True))
        return kept[-1].clone()  # what follows may work in place

    hook = module.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(inputs)
            chosen = logits.gather(1, logits.argmax(1, keepdim=True)).sum()
            (gradient,) = torch.autograd.grad(chosen, kept[-1])
    finally:
        hook.remove()
    weighted = (gradient.mean((2, 3), keepdim=True) * kept[-1].detach()).sum(1, keepdim=True).relu()
    maps = F.interpolate(weighted, inputs.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return logits.detach(), maps / maps.amax((1, 2), keepdim=True).clamp_min(1e-12)


def _last_maps(model: nn.Module, inputs: Tensor, head: str | None) -> str | None:
    """The module that gave the last maps of more than one place before the head was reached, by running the network
    once."""
    last, reached = None, False
    hooks = []

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            nonlocal last
            if (
                not reached
                and isinstance(output, Tensor)
                and output.ndim == 4
                and output.shape[2] * output.shape[3] > 1
            ):
                last = name

        return hook

    def arrive(_module: nn.Module, _inputs: Any) -> None:
        nonlocal reached
        reached = True

    for name, module in model.named_modules():
        if name:
            hooks.append(module.register_forward_hook(watch(name)))
        if name == head and head is not None:
            hooks.append(module.register_forward_pre_hook(arrive))
    try:
        with torch.no_grad():
            model(inputs[:1])
    finally:
        for each in hooks:
            each.remove()
    return last
