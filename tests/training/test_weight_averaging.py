"""The moving average against its formula and against torch's own."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoo.training.weight_averaging import MovingAverage


def test_the_average_follows_its_formula() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    average, expected = MovingAverage(model, 0.5), 0.0
    for n in range(20):
        nn.init.constant_(model.weight, float(n))
        average.update(model, average.next_weight())
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    torch.testing.assert_close(average.model.weight.item(), expected)


def test_it_agrees_with_torch_once_warm() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    ours, theirs = (
        MovingAverage(model, 0.9),
        AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True),
    )
    theirs.update_parameters(model)  # its first update copies
    ours.updates = 1000
    for _ in range(5):
        model(torch.rand(4, 1, 8, 8))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.rand_like(parameter))
        ours.update(model, ours.next_weight())
        theirs.update_parameters(model)
    for name, value in theirs.module.named_parameters():
        torch.testing.assert_close(ours.model.get_parameter(name), value)
    torch.testing.assert_close(ours.model[1].running_mean, theirs.module[1].running_mean)
    assert ours.model[1].num_batches_tracked == 5
    assert not any(parameter.requires_grad for parameter in ours.model.parameters())
    assert model.training
