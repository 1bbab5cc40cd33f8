"""Checkpoints: atomic, verified, found again; an optimizer's state follows its parameters by name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo import checkpoints
from zoo.errors import CheckpointError
from zoo.models import load_state
from zoo.tensorfiles import read_tensors


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def test_a_checkpoint_comes_back_equal(tmp_path, model):
    name = checkpoints.save(tmp_path, 7, model, {"generator/cpu": torch.get_rng_state()}, {"progress": {"step": 7}})
    weights, tensors, state = checkpoints.load(tmp_path / name)
    assert name == "step-000007"
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert torch.equal(tensors["generator/cpu"], torch.get_rng_state())
    assert state == {"progress": {"step": 7}}
    assert checkpoints.pointed(tmp_path, "last") == name


def test_a_damaged_checkpoint_is_passed_over_for_the_previous_good_one_and_named(tmp_path, model):
    first = checkpoints.save(tmp_path, 1, model, {}, {})
    second = checkpoints.save(tmp_path, 2, model, {}, {})
    file = tmp_path / second / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # one bit: safetensors itself would load this
    file.write_bytes(bytes(content))
    assert read_tensors(file)
    found, complaints = checkpoints.newest_good(tmp_path)
    assert found.name == first
    assert len(complaints) == 1
    assert second in complaints[0]


@pytest.mark.parametrize("break_it", ["no manifest", "no state", "garbage manifest"])
def test_an_incomplete_checkpoint_is_damaged(tmp_path, model, break_it):
    folder = tmp_path / checkpoints.save(tmp_path, 1, model, {}, {})
    match break_it:
        case "no manifest":
            (folder / "MANIFEST.json").unlink()
        case "no state":
            (folder / "state.json").unlink()
        case "garbage manifest":
            (folder / "MANIFEST.json").write_text("[1]")
    assert checkpoints.damage(folder)
    with pytest.raises(CheckpointError, match="no usable checkpoint"):
        checkpoints.newest_good(tmp_path)


def test_a_dangling_pointer_is_no_obstacle(tmp_path, model):
    name = checkpoints.save(tmp_path, 1, model, {}, {})
    checkpoints.point(tmp_path, "last", "step-999999")
    assert checkpoints.newest_good(tmp_path)[0].name == name


def test_a_temporary_folder_left_by_a_crash_is_not_a_checkpoint(tmp_path, model):
    (tmp_path / ".step-000009.tmp").mkdir()
    name = checkpoints.save(tmp_path, 1, model, {}, {})
    assert checkpoints.names(tmp_path) == [name]


def test_pruning_keeps_the_newest_and_the_best(tmp_path, model):
    for step in range(1, 6):
        checkpoints.save(tmp_path, step, model, {}, {})
    checkpoints.point(tmp_path, "best", "step-000002")
    checkpoints.prune(tmp_path, keep=2)
    assert checkpoints.names(tmp_path) == ["step-000005", "step-000004", "step-000002"]


def test_two_checkpoints_of_one_step_both_stay(tmp_path, model):
    assert checkpoints.save(tmp_path, 3, model, {}, {}) == "step-000003"
    assert checkpoints.save(tmp_path, 3, model, {}, {}) == "step-000003.1"
    assert checkpoints.newest_good(tmp_path)[0].name == "step-000003.1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("0.bias"), "missing 0.bias"),
        (lambda state: state.update({"2.weight": torch.ones(1)}), "unknown 2.weight"),
        (lambda state: state.update({"0.weight": torch.ones(4, 3)}), r"0.weight is \(4, 3\), not \(3, 4\)"),
        (lambda state: state["1.bias"].fill_(float("nan")), r"values that are not finite: 1\.bias \(2 of 2 values\)"),
    ],
    ids=["60-missing", "60-unknown", "60-shape", "63-nan"],
)
def test_weights_that_do_not_fit_are_refused_by_name(model, change, words):
    state = {key: value.clone() for key, value in model.state_dict().items()}
    change(state)
    with pytest.raises(CheckpointError, match=words):
        load_state(model, state, "here")


def test_a_pickle_is_refused(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"\x80\x04")
    with pytest.raises(CheckpointError, match="pickle"):
        read_tensors(file)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path):
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(file)
