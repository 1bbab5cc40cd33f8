"""Grad-CAM heat maps (R. Selvaraju et al.: Grad-CAM: visual explanations from deep networks via gradient-based
localization, 2017).

The feature maps A_k of the last layer with spatial dimensions (N, K, h, w) are summed, each weighted by the spatial
mean of the gradient of a class's logit; negative values are dropped: ReLU(Σ_k mean(∂y/∂A_k) · A_k), equations 1 and 2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError


def grad_cam(model: nn.Module, inputs: Tensor, head: str | None = None) -> tuple[Tensor, Tensor]:
    """Return the logits (N, K) of images (N, C, H, W), and the Grad-CAM maps of their top-1 classes, float32 (N, H, W),
    0 to 1.

    ``model`` is in eval mode. ``head`` names the module that computes its logits, or is None; feature maps are taken
    before it. Raises UsageError if no layer of the network has feature maps.
    """
    found = _last_maps(model, inputs, head)
    if found is None:
        raise UsageError(
            "Grad-CAM needs feature maps (N, K, h, w), which no layer of this network has",
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
    """Return the name of the last module before the head with feature maps larger than 1×1, by running the network."""
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
