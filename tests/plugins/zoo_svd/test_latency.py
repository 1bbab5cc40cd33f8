"""Networks and layers as exported files: their time, and 8 bits."""

from __future__ import annotations

import time

import torch
from torch import nn
from zoo_svd.latency import FEWEST, WARMING, Deployed, Stopwatch, deployed

from zoo.registry.lookup import registry


def test_eight_bits_are_those_of_the_quantizer_and_near_the_network() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 50)).eval()
    images = torch.randn(40, 3, 8, 8)
    item = next(iter(registry().items("exporter")))
    whole, small = deployed(item, model, (3, 8, 8)), deployed(item, model, (3, 8, 8), images)
    with torch.no_grad():
        due = model(images)
        torch.testing.assert_close(whole(images), due, rtol=1e-4, atol=1e-5)
        error = (small(images) - due).abs().max() / due.abs().max()
    # 0.05 where the processor has VNNI; without, sums of 16 bits saturate
    assert 1e-4 < error < 0.1 and small.size < 0.4 * whole.size


def test_a_layer_that_is_like_another_is_timed_once() -> None:
    watch = Stopwatch()
    first = watch(nn.Linear(8, 4), (8,), [1, 2])
    assert min(first) > 0 and watch(nn.Linear(8, 4), (8,), [2, 1]) == first[::-1] and len(watch.known) == 2
    assert watch(nn.Conv2d(3, 4, 3), (3, 9, 9), [1])[0] > 0 and len(watch.known) == 3


def test_what_cannot_be_exported_has_no_time() -> None:
    class Branching(nn.Module):
        def forward(self, inputs):
            return inputs if inputs.sum() > 0 else -inputs

    assert Stopwatch()(Branching(), (3, 4, 4), [1, 32]) == [None, None]


def test_calls_that_take_long_are_fewer() -> None:
    calls = []

    def slow(inputs):
        calls.append(inputs["input"].shape)
        time.sleep(0.3)
        return {"output": inputs["input"]}

    assert Deployed(slow, 0).milliseconds((2,), 4) > 0 and calls == [(4, 2)] * (WARMING + FEWEST)
