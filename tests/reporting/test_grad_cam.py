"""Grad-CAM against what it must be: on a network of one convolution and a mean, the class's own weighted maps (CAM)."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.reporting.grad_cam import grad_cam


def network(*, inplace: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(inplace=inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)
    ).eval()


@pytest.mark.parametrize("inplace", [False, True])
def test_with_a_mean_and_a_linear_layer_it_is_cam(inplace) -> None:
    model, images = network(inplace=inplace), torch.randn(3, 3, 10, 12)
    logits, maps = grad_cam(model, images)
    torch.testing.assert_close(logits, model(images))
    chosen = logits.argmax(1)
    features = model[:2](images).detach()
    due = torch.einsum(
        "nk,nkhw->nhw", model[4].weight[chosen].detach(), features
    ).relu()  # B. Zhou et al. 2016, equation 2, and the ReLU
    torch.testing.assert_close(maps, due / due.amax((1, 2), keepdim=True))
    assert maps.shape == (3, 10, 12) and maps.min() >= 0 and maps.max() == 1


def test_maps_are_taken_before_the_head_where_it_is_known() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(), nn.Conv2d(6, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    images = torch.rand(1, 3, 15, 15)
    _, before = grad_cam(model, images, head="2")
    features = model[:2](images).detach().requires_grad_(True)
    logits = model[2:](features)
    (gradient,) = torch.autograd.grad(logits[0, logits.argmax()], features)
    due = F.interpolate(
        (gradient.mean((2, 3), keepdim=True) * features.detach()).sum(1, keepdim=True).relu(), (15, 15), mode="bilinear"
    )[:, 0]
    torch.testing.assert_close(before, due / due.max().clamp_min(1e-12))
    _, after = grad_cam(model, images)
    assert not torch.equal(before, after)


def test_a_bright_corner_that_speaks_for_the_class_is_found() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.fill_(-1.0)
        model[4].weight.copy_(torch.tensor([1.0, -1, -1, -1])[:, None].expand(4, 5))
    images = torch.zeros(1, 3, 16, 16)
    images[0, :, :4, 12:] = 1
    _, maps = grad_cam(model, images)
    assert maps[0, :4, 12:].mean() > 0.5 and maps[0, 8:, :8].max() == 0


def test_frozen_weights_are_no_hindrance_and_gradients_stay_off() -> None:
    model = network().requires_grad_(False)
    with torch.inference_mode(False), torch.no_grad():
        grad_cam(model, torch.randn(1, 3, 8, 8))
    assert all(each.grad is None for each in model.parameters()) and not model[0]._forward_hooks


def test_a_network_without_maps_is_told_so() -> None:
    with pytest.raises(UsageError, match="which no layer of this network has"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), torch.zeros(1, 3, 4, 4))
