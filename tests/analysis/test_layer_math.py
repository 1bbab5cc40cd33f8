"""One layer's arithmetic against the layer that torch builds, over a seeded sample."""

from __future__ import annotations

import random

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.analysis.layer_math import Settings, single
from zoo.errors import UsageError

CHANCE = random.Random(0)


def settings_of(count: int, groups: int) -> Settings:
    def numbers(low: int, high: int) -> tuple[int, ...]:
        return tuple(CHANCE.randint(low, high) for _ in range(CHANCE.choice([1, count])))

    return Settings(
        CHANCE.randint(1, 4) * groups,
        numbers(1, 5),
        numbers(1, 3),
        numbers(0, 3),
        numbers(1, 2),
        groups,
        bias=CHANCE.random() < 0.5,
    )


def convolutions() -> list[tuple[str, tuple[int, ...], Settings]]:
    made = []
    for kind, count in [("conv1d", 1), ("conv2d", 2)] * 20:
        groups = CHANCE.choice([1, 1, 2, 3])
        made.append(
            (
                kind,
                (groups * CHANCE.randint(1, 3), *(CHANCE.randint(9, 24) for _ in range(count))),
                settings_of(count, groups),
            )
        )
    return made


@pytest.mark.parametrize(("kind", "shape", "settings"), convolutions())
def test_a_convolution_is_what_torch_builds(kind, shape, settings) -> None:
    layer = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d}[kind](
        shape[0], settings.out, settings.kernel if len(settings.kernel) > 1 else settings.kernel[0],
        *(each if len(each) > 1 else each[0] for each in (settings.stride, settings.padding, settings.dilation)),
        groups=settings.groups, bias=settings.bias,
    )  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        output = layer(torch.zeros(1, *shape))
    answer = single(kind, shape, settings)
    assert answer.output == tuple(output.shape[1:])
    assert answer.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert answer.macs == counter.get_total_flops() // 2
    assert f"{answer.parameters:,}" in answer.formulas["parameters"]
    assert f"{answer.macs:,}" in answer.formulas["macs"]


@pytest.mark.parametrize("kind", ["maxpool2d", "avgpool2d"])
@pytest.mark.parametrize(
    "settings",
    [Settings(kernel=(2,)), Settings(kernel=(3,), stride=(2,), padding=(1,)), Settings(kernel=(2, 3), stride=(1, 2))],
)
def test_a_pool_is_what_torch_builds(kind, settings) -> None:
    def plain(values: tuple[int, ...]) -> int | tuple[int, ...]:
        return values if len(values) > 1 else values[0]

    layer = {"maxpool2d": nn.MaxPool2d, "avgpool2d": nn.AvgPool2d}[kind](
        plain(settings.kernel), plain(settings.stride) if settings.stride else None, plain(settings.padding)
    )
    answer = single(kind, (3, 17, 20), settings)
    assert answer.output == tuple(layer(torch.zeros(1, 3, 17, 20)).shape[1:])
    assert (answer.parameters, answer.macs) == (0, 0)


@pytest.mark.parametrize(("shape", "bias"), [((400,), True), ((16, 5, 5), True), ((7,), False)])
def test_a_linear_layer_is_what_torch_builds(shape, bias) -> None:
    inputs = torch.zeros(1, *shape).numel()
    layer = nn.Linear(inputs, 120, bias=bias)
    answer = single("linear", shape, Settings(out=120, bias=bias))
    assert answer.parameters == sum(parameter.numel() for parameter in layer.parameters())
    assert (answer.output, answer.macs) == ((120,), inputs * 120)


def test_a_worked_example() -> None:
    """5×5 on 3×32×32 to 10 channels: 760 parameters, 28×28; the same convolution with one filter each: 260."""
    answer = single("conv2d", (3, 32, 32), Settings(out=10, kernel=(5,)))
    assert (answer.parameters, answer.output) == (760, (10, 28, 28))
    assert answer.formulas["parameters"] == "(5·5·3 + 1)·10 = 760"
    assert single("conv2d", (1, 32, 32), Settings(out=10, kernel=(5,))).parameters == 260


@pytest.mark.parametrize(
    ("kind", "shape", "settings", "message"),
    [
        ("conv2d", (3, 32), Settings(out=1, kernel=(3,)), "takes 3 numbers"),
        ("conv2d", (3, 8, 8), Settings(out=1), "needs a kernel"),
        ("conv2d", (3, 8, 8), Settings(kernel=(3,)), "needs the number of its output channels"),
        ("conv2d", (3, 8, 8), Settings(out=4, kernel=(3,), groups=2), "2 groups do not divide 3 and 4 channels"),
        ("conv2d", (3, 4, 4), Settings(out=4, kernel=(7,)), "spans 7 does not fit into 4"),
        (
            "conv2d",
            (3, 8, 8),
            Settings(out=4, kernel=(3,), stride=(0,)),
            "stride takes one number, or 2, of at least 1",
        ),
        ("conv2d", (3, 8, 8), Settings(out=4, kernel=(3, 3, 3)), "kernel takes one number, or 2"),
        ("maxpool2d", (3, 8, 8), Settings(out=4, kernel=(2,)), "keeps the number of channels"),
        ("maxpool2d", (3, 8, 8), Settings(kernel=(2,), padding=(2,)), "at most half its kernel"),
        ("avgpool2d", (3, 8, 8), Settings(kernel=(2,), dilation=(2,)), "has no dilation"),
        ("linear", (8,), Settings(), "needs the number of its outputs"),
        ("linear", (8,), Settings(out=2, kernel=(3,)), "has no kernel"),
        ("linear", (8,), Settings(out=2, groups=2), "has no groups"),
    ],
)
def test_what_there_cannot_be_is_said(kind, shape, settings, message) -> None:
    with pytest.raises(UsageError, match=message):
        single(kind, shape, settings)
