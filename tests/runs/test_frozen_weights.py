"""Weights that a run does not train: stored twice for all checkpoints, and either copy may be lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.config.run_config import RunConfig
from zoo.errors import CheckpointError
from zoo.runs import checkpoints
from zoo.runs.run_directory import RunDir, create

FROZEN = ("0.weight", "0.bias")


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(600, 500), nn.Linear(500, 2))  # 1.2 MB and 4 kB


@pytest.fixture
def run(tmp_path: Path, model: nn.Module) -> RunDir:
    """With three checkpoints, between which the head has changed."""
    run = create(
        RunConfig.model_validate({"dataset": {"name": "lab/toy"}, "task": {"name": "lab/sort"}}), tmp_path / "run"
    )
    for step in range(3):
        nn.init.constant_(model[1].weight, step)
        checkpoints.save(run, step, model, {}, {}, frozen=FROZEN)
    return run


def copies(run: RunDir) -> list[Path]:
    return sorted(run.checkpoints.glob("frozen-*"))


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def test_they_take_two_files_whatever_the_number_of_checkpoints(run: RunDir, model: nn.Module) -> None:
    first, second = copies(run)
    assert first.read_bytes() == second.read_bytes() and not first.samefile(second)
    assert all(file.stat().st_nlink == 1 for file in run.checkpoints.rglob("*.safetensors"))
    assert sum(file.stat().st_size for file in run.checkpoints.rglob("*")) < 2 * 4 * 600 * 501 + 200_000
    weights = checkpoints.weights(run.checkpoints / "step-000001")
    assert torch.equal(weights["0.weight"], model[0].weight) and set(weights) == set(model.state_dict())
    assert torch.equal(weights["1.weight"], torch.ones(2, 500))


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("how", [flip_a_bit, Path.unlink])
def test_one_lost_copy_costs_nothing_is_named_and_is_written_again(
    run: RunDir, model: nn.Module, lost: int, how: object
) -> None:
    file = copies(run)[lost]
    how(file)  # type: ignore[operator]
    newest, _, lines = checkpoints.newest_good(run)
    assert newest.name == "step-000002" and lines == [
        f"{file.name} is damaged; the other copy of the frozen weights is used"
    ]
    assert torch.equal(checkpoints.weights(newest)["0.weight"], model[0].weight)
    checkpoints.save(run, 3, model, {}, {}, frozen=FROZEN)
    assert checkpoints.newest_good(run)[2] == [] and len(copies(run)) == 2


def test_without_either_copy_no_checkpoint_counts_as_good(run: RunDir) -> None:
    for file in copies(run):
        flip_a_bit(file)
    with pytest.raises(CheckpointError, match="both copies of its frozen weights changed after zoo wrote it"):
        checkpoints.newest_good(run)
    with pytest.raises(CheckpointError, match="both copies of the frozen weights are damaged"):
        checkpoints.weights(run.checkpoints / "step-000002")


def test_other_frozen_weights_have_a_file_of_their_own_until_no_checkpoint_needs_the_old(
    run: RunDir, model: nn.Module
) -> None:
    old = copies(run)
    model.append(nn.Linear(2, 2))
    checkpoints.save(run, 3, model, {}, {}, frozen=(*FROZEN, "2.bias"), keep=2)
    assert len(copies(run)) == 4
    checkpoints.save(run, 4, model, {}, {}, frozen=(*FROZEN, "2.bias"), keep=2)
    assert len(copies(run)) == 2 and not set(old) & set(copies(run))
    assert torch.equal(checkpoints.weights(checkpoints.newest_good(run)[0])["2.bias"], model[2].bias)


def test_a_few_frozen_bytes_stay_in_the_checkpoint(tmp_path: Path, model: nn.Module) -> None:
    run = create(
        RunConfig.model_validate({"dataset": {"name": "lab/toy"}, "task": {"name": "lab/sort"}}), tmp_path / "run"
    )
    checkpoints.save(run, 1, model, {}, {}, frozen=["0.bias"])
    assert copies(run) == []
