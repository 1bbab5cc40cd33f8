"""The peak of the memory of tensors, against sums by hand."""

from __future__ import annotations

import torch
from torch import nn

from zoo.training.live_memory import LiveMemory

KB = 4 * 256  # a tensor of 256 floats


def test_the_peak_is_that_of_tensors_that_exist_at_once() -> None:
    given = torch.ones(256)
    with LiveMemory() as memory:
        for _ in range(3):
            one = given + 1  # 1
            other = one * 2  # 2, and 3 when the next one is made before this one is freed
            del one
        other.add_(1)
        given.mul_(2)
        view = other.view(16, 16)
        assert memory.now == KB
        del other
        assert memory.now == KB
        del view
        assert memory.now == 0
    assert memory.peak == 3 * KB


def test_activations_are_alive_until_the_backward_pass() -> None:
    weights = [torch.ones(256, requires_grad=True) for _ in range(4)]
    x = torch.ones(256)
    with LiveMemory() as memory:
        for weight in weights:
            x = x * weight
        assert memory.now == 4 * KB  # three inputs of later products, and the result
        loss = x.sum()
        loss.backward()
        del loss, x
        assert memory.now == 4 * KB  # the gradients
    assert memory.peak > 5 * KB


def test_the_memory_grows_in_proportion_to_the_batch() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())

    def peak(samples: int) -> int:
        with LiveMemory() as memory:
            network(torch.ones(samples, 3, 16, 16)).sum().backward()
            network.zero_grad()
        return memory.peak

    least, middle, most = peak(4), peak(8), peak(16)
    assert least == peak(4)
    assert (most - middle) / (middle - least) == 2
