"""Transfer with learning rates that fall towards the input, and layers that join one by one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from zoo_tasks.options import TransferOptions
from zoo_tasks.transfer import Transfer

import zoo
from zoo.api import AdaptContext, EvaluationResult, PartView, Raw
from zoo.config.run_config import TrainConfig
from zoo.errors import Interrupted
from zoo.reporting.console import Console
from zoo.runs import checkpoints
from zoo.testing.adaptations import features_of
from zoo.training.optimizers import build_optimizer, build_schedule


def network() -> nn.Sequential:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5))
    return nn.Sequential(backbone, nn.Linear(4 * 6 * 6, 8), nn.Linear(8, 2))


def _no_evaluation(_model: nn.Module, _part: PartView) -> EvaluationResult:
    raise AssertionError("freezing layers evaluates nothing")


CONTEXT = AdaptContext(None, None, _no_evaluation, print, features_of, Raw())  # type: ignore[arg-type]  # it looks at no data


def test_rates_fall_towards_the_input_and_the_head_has_all_of_it() -> None:
    transfer = Transfer(TransferOptions(train="all", layer_decay=0.5))
    model, _ = transfer.adapt(network(), CONTEXT)
    rates = transfer.lr_multipliers(model)
    assert rates == {
        f"{layer}.{kind}": rate
        for layer, rate in (("2", 1.0), ("1", 0.5), ("0.1", 0.25), ("0.0", 0.125))
        for kind in ("weight", "bias")
    }
    optimizer = build_optimizer(model, TrainConfig(lr=0.1, weight_decay=0.01, weight_decay_scope="weights"), rates)
    by_shape = {
        tuple(each.shape): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for each in group["params"]
    }
    assert (
        by_shape[(2, 8)] == (0.1, 0.01)
        and by_shape[(8, 144)] == (0.05, 0.01)
        and by_shape[(4, 3, 3, 3)] == (0.0125, 0.01)
    )
    assert by_shape[(8,)] == (0.05, 0.0)


def test_a_schedule_keeps_the_shares() -> None:
    transfer = Transfer(TransferOptions(train="last:2", layer_decay=0.1))
    model, _ = transfer.adapt(network(), CONTEXT)
    config = TrainConfig(lr=1.0, epochs=4, schedule="cosine", warmup_epochs=1, optimizer="sgd")
    optimizer = build_optimizer(model, config, transfer.lr_multipliers(model))
    set_rates = build_schedule(optimizer, config, 10)
    for step in range(40):
        set_rates(step)
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(0.1 * first, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("epoch", "learning"),
    [(0, ["2"]), (1, ["2"]), (2, ["1", "2"]), (4, ["0.1", "1", "2"]), (20, ["0.0", "0.1", "1", "2"])],
)
def test_layers_join_one_by_one_from_the_head_backwards(epoch, learning) -> None:
    transfer = Transfer(TransferOptions(train="all", unfreeze_every=2))
    model, _ = transfer.adapt(network(), CONTEXT)
    assert all(parameter.requires_grad for parameter in model.parameters())
    transfer.on_epoch_start(model, epoch)
    assert [name for name, each in model.named_parameters() if each.requires_grad] == [
        f"{layer}.{kind}" for layer in learning for kind in ("weight", "bias")
    ]


def test_what_has_not_joined_stays_to_the_bit_in_a_run_and_a_resumed_run_ends_the_same(tmp_path, monkeypatch) -> None:
    overrides = {
        "architecture": {"name": "lenet"}, "dataset": {"name": "digits", "val_fraction": 0.8}, "weights": "none",
        "device": "cpu", "threads": 1,
        "task": {"name": "transfer", "train": "last:3", "unfreeze_every": 1, "layer_decay": 0.5},
        "train": {"epochs": 2, "keep_checkpoints": 5},
    }  # fmt: skip
    whole = zoo.run(None, overrides=overrides, out=tmp_path / "whole", console=Console(quiet=True))
    first, last = (checkpoints.weights(each) for each in sorted((whole.path / "checkpoints").glob("step-*")))
    changed = {name.partition(".")[0] for name in first if not torch.equal(first[name], last[name])}
    assert changed == {"fc3", "fc2"}  # fc1 would have joined in a third epoch
    from zoo.training import trainer

    def stopping(state, stop):
        if state.progress.epoch == 1:
            raise Interrupted("stopped", signum=2, where=state.run.path, fix="go on")

    monkeypatch.setattr(trainer, "stop_if_asked", stopping)
    with pytest.raises(Interrupted):
        zoo.run(None, overrides=overrides, out=tmp_path / "cut", console=Console(quiet=True))
    monkeypatch.undo()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    resumed = zoo.run(resume=tmp_path / "cut", console=Console(quiet=True))
    mine, theirs = (zoo.load(each.path).module.state_dict() for each in (resumed, whole))
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())
