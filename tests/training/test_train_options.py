"""What `train.*` changes: micro-batches, warm-up, averaging, precision, compilation and the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import zoo
from zoo.api import Output
from zoo.config.run_config import RunConfig
from zoo.data.mixup import mix
from zoo.errors import SetupError, UsageError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs import checkpoints
from zoo.runs.load_model import load
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir, create
from zoo.training.preparation import prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit, forward, remaining_batches

FAST = {
    "train": {"epochs": 2, "batch_size": 100, "log_steps": 5, "schedule": "constant"},
    "dataset": {"resize": 16},
    "device": "cpu",
}


def make_state(tmp_path: Path, **train) -> TrainState:
    plan = resolve(registry(), "cnn_digits", overrides={**FAST, "train": {**FAST["train"], **train}})
    ready = prepare(plan)
    assert ready.learning is not None
    run = create(plan.config, tmp_path / "run")
    return TrainState(plan.config, ready.learning, ready.model, ready.data, ready.engine, run, Console(quiet=True))


def weights_after(tmp_path, name, **train):
    state = make_state(tmp_path / name, epochs=1, **train)
    fit(state)
    return [parameter.detach().clone() for parameter in state.model.parameters()]


@pytest.mark.parametrize("pieces", [3, 7])
def test_a_batch_in_pieces_is_the_same_step(tmp_path, pieces) -> None:
    whole = weights_after(tmp_path, "whole", optimizer="sgd", lr=0.1, momentum=0.9)
    pieced = weights_after(tmp_path, "pieces", optimizer="sgd", lr=0.1, momentum=0.9, micro_batches=pieces)
    for one, other in zip(whole, pieced, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_auxiliary_classifiers_add_their_weighted_losses(tmp_path) -> None:
    """Independent computation: cross_entropy of each head, times its weight."""

    class WithHeads(nn.Module):
        def __init__(self, backbone: nn.Module) -> None:
            super().__init__()
            self.backbone = backbone

        def forward(self, x):
            logits = self.backbone(x)
            return {"output": logits, "early": 2 * logits, "late": -logits}

    state = make_state(tmp_path)
    heads = Output(name="early", auxiliary=0.3), Output(name="late", auxiliary=0.1)
    state.learning.reader = OutputReader((Output(), *heads))
    state.network = WithHeads(state.model)
    batch = next(iter(remaining_batches(state, 0)))
    piece = mix(batch, None, None)
    logits = state.model(batch.inputs)
    expected = sum(
        weight * nn.functional.cross_entropy(factor * logits, batch.targets)
        for weight, factor in ((1, 1), (0.3, 2), (0.1, -1))
    )
    with state.reading():
        torch.testing.assert_close(forward(state, piece).mean, expected)


def test_warm_up_rises_to_what_the_schedule_says(tmp_path) -> None:
    warm = make_state(tmp_path / "warm", lr=0.1, warmup_epochs=0.4, schedule="cosine")
    plain = make_state(tmp_path / "plain", lr=0.1, schedule="cosine")
    rates = []
    for step in range(30):
        warm.stepper.set_rates(step)
        plain.stepper.set_rates(step)
        rates.append((warm.stepper.lr, plain.stepper.lr))
    assert [one / other for one, other in rates[:8]] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1, 1])
    constant = make_state(tmp_path / "constant", lr=0.1, warmup_epochs=0.2)
    found = []
    for step in range(5):
        constant.stepper.set_rates(step)
        found.append(constant.stepper.lr)
    assert found == pytest.approx([0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1])


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_biases_and_norms_are_left_out_of_weight_decay_where_asked(tmp_path, optimizer) -> None:
    state = make_state(tmp_path, optimizer=optimizer, weight_decay=0.1, weight_decay_scope="weights")
    decays = {
        id(parameter): group["weight_decay"]
        for group in state.stepper.optimizer.param_groups
        for parameter in group["params"]
    }
    assert {name: decays[id(parameter)] for name, parameter in state.model.named_parameters()} == {
        name: 0.1 if name.endswith("weight") else 0.0 for name, _ in state.model.named_parameters()
    }


def test_the_moving_average_is_what_is_judged_and_kept(tmp_path) -> None:
    state = make_state(tmp_path, epochs=1, ema_decay=0.9, lr=0.05)
    weights = []
    state.watch.step = lambda progress, count: weights.append(state.model.fc2.bias.detach().clone())
    expected = state.model.fc2.bias.detach().clone()
    fit(state)
    for n, value in enumerate(weights):
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(state.result.fc2.bias, expected)
    kept = checkpoints.load(checkpoints.newest_good(state.run)[0])
    assert torch.equal(kept[0]["fc2.bias"], state.result.fc2.bias)
    assert torch.equal(kept[1]["raw/fc2.bias"], state.model.fc2.bias)


def test_augmented_images_reach_the_network_and_the_report_part_stays_as_it_is(tmp_path) -> None:
    state = make_state(tmp_path, augment=["flip"])
    plain = make_state(tmp_path / "plain")
    ours, theirs = next(iter(remaining_batches(state, 0))), next(iter(remaining_batches(plain, 0)))
    assert torch.equal(ours.indices, theirs.indices)
    flipped = [
        torch.equal(one, other.flip(2)) and not torch.equal(one, other)
        for one, other in zip(ours.inputs, theirs.inputs, strict=True)
    ]
    same = [torch.equal(one, other) for one, other in zip(ours.inputs, theirs.inputs, strict=True)]
    assert all(one or other for one, other in zip(flipped, same, strict=True))
    assert 20 < sum(flipped) < 80
    evaluated = [next(iter(each.data.part("test").batches(50))).inputs for each in (state, plain)]
    assert torch.equal(*evaluated)


def test_the_evaluation_before_training_needs_a_validation_split(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"on the validation split, and there is none .*dataset\.val_fraction"):
        zoo.run(
            "cnn_digits",
            overrides={"train": {"evaluate_start": True}},
            out=tmp_path / "none",
            console=Console(quiet=True),
        )
    assert not (tmp_path / "none").exists()


def test_early_stopping_waits_for_its_patience_and_needs_a_select_part(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"dataset\.val_fraction"):
        zoo.run("cnn_digits", overrides={"train": {"patience": 2}}, out=tmp_path / "none", console=Console(quiet=True))
    assert not (tmp_path / "none").exists()
    notes = []

    class Notes(Console):
        def print(self, text):
            notes.append(text)

    overrides = {
        **FAST,
        "dataset": {"resize": 16, "val_fraction": 0.2},
        "train": {**FAST["train"], "epochs": 50, "patience": 2, "lr": 1e-12, "optimizer": "sgd"},
    }
    result = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "run", console=Notes(quiet=True))
    # the first is the best, since nothing moves; then two more
    assert len(RunDir(result.path).metrics_file.read_text().splitlines()) == 1 + 3
    assert any("stopping early" in note and "epoch 1" in note for note in notes)


def test_images_are_not_augmented_after_their_pixels_were_permuted(tmp_path) -> None:
    with pytest.raises(UsageError, match="cannot be combined with permuted pixels"):
        zoo.run(
            "cnn_digits",
            overrides={"dataset": {"permute_pixels": 1}, "train": {"augment": "flip"}},
            out=tmp_path / "none",
        )
    assert not (tmp_path / "none").exists()


def test_fp16_scales_the_loss_and_trains(tmp_path) -> None:
    state = make_state(tmp_path, precision="fp16", epochs=1)
    assert state.stepper.scaler.is_enabled()
    fit(state)
    kept = checkpoints.load(checkpoints.newest_good(state.run)[0])[2]
    assert kept["scaler"]["scale"] == state.stepper.scaler.get_scale() > 1
    assert all(parameter.isfinite().all() for parameter in state.model.parameters())


def test_bf16_and_fp32_end_near_each_other(tmp_path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        state = make_state(tmp_path / precision, precision=precision, epochs=1)
        fit(state)
        losses.append(float(state.run.metrics_file.read_text().splitlines()[1].split(",")[3]))
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)


def test_case_86_out_of_memory_says_what_was_asked_and_what_to_do(tmp_path) -> None:
    state = make_state(tmp_path)
    state.network = lambda inputs: torch.empty(2**60)
    with pytest.raises(
        SetupError, match=r"out of memory.*batch of 100, images of 1×16×16, on cpu.*train\.micro_batches=2"
    ) as caught:
        fit(state)
    assert caught.value.exit_code == 6


def test_another_fault_of_the_network_is_not_called_out_of_memory(tmp_path) -> None:
    state = make_state(tmp_path)
    state.network = lambda inputs: inputs @ torch.zeros(3, 3)
    with pytest.raises(RuntimeError, match="shapes"):
        fit(state)


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one(tmp_path) -> None:
    plain = weights_after(tmp_path, "plain", optimizer="sgd", lr=0.1)
    compiled = weights_after(tmp_path, "compiled", optimizer="sgd", lr=0.1, compile=True)
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_compiler_that_fails_is_one_line(tmp_path) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    state = make_state(tmp_path)
    state.config.train.compile = True

    def fail(inputs):
        raise BackendCompilerFailed(lambda: None, RuntimeError("no C++ compiler"), None)

    state.network = fail
    with pytest.raises(SetupError, match=r"cannot be compiled here.*--compile"):
        fit(state)


def test_bf16_on_the_cpu_trains_and_is_recorded(tmp_path) -> None:
    result = zoo.run(
        "cnn_digits",
        overrides=FAST | {"train": FAST["train"] | {"precision": "bf16"}},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert result.record.device["precision"] == "bfloat16"
    assert result.metrics["accuracy"] > 0.5


def test_channels_last_gives_the_same_run(tmp_path) -> None:
    runs = []
    for last in (False, True):
        overrides = FAST | {"train": FAST["train"] | {"channels_last": last}}
        runs.append(zoo.run("cnn_digits", overrides=overrides, out=tmp_path / str(last), console=Console(quiet=True)))
    assert runs[1].record.device["channels_last"]
    assert runs[0].metrics["loss"] == pytest.approx(runs[1].metrics["loss"], rel=0.05)


def test_the_resolved_configuration_repeats_the_run(tmp_path) -> None:
    first = zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "first", console=Console(quiet=True))
    again = zoo.run(config_file=first.path / "config.yaml", out=tmp_path / "again", console=Console(quiet=True))
    assert RunConfig.model_validate(RunDir(first.path).config.as_dict()) == RunDir(again.path).config
    assert all(
        torch.equal(value, load(again.path).state_dict()[key]) for key, value in load(first.path).state_dict().items()
    )
