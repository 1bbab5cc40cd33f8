"""Checkpoints: published in one step, verified, found again, pruned."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from zoo.config.run_config import RunConfig
from zoo.errors import CheckpointError, StorageError
from zoo.models.building import load_state
from zoo.models.tensor_files import read_tensors
from zoo.runs import checkpoints
from zoo.runs.run_directory import RunDir, create
from zoo.support.atomic_files import sha256


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


def new_run(folder: Path) -> RunDir:
    return create(RunConfig.model_validate({"dataset": {"name": "lab/toy"}, "task": {"name": "lab/sort"}}), folder)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return new_run(tmp_path / "run")


def best_of(step: int, value: float = 0.5) -> dict[str, Any]:
    return {"metric": "val_accuracy", "value": value, "epoch": step, "step": step}


def flip_a_bit(file: Path) -> None:
    """One bit of the last byte: safetensors itself would load this."""
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def test_a_checkpoint_comes_back_equal(run, model) -> None:
    name = checkpoints.save(run, 7, model, {"generator/cpu": torch.get_rng_state()}, {"progress": {"step": 7}})
    weights, tensors, state = checkpoints.load(run.checkpoints / name)
    assert name == "step-000007"
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert torch.equal(tensors["generator/cpu"], torch.get_rng_state())
    assert state == {"progress": {"step": 7}}
    assert run.root.last.name == run.root.chosen == name


def test_a_damaged_checkpoint_is_passed_over_for_the_previous_good_one_and_named(run, model) -> None:
    first = checkpoints.save(run, 1, model, {}, {})
    second = checkpoints.save(run, 2, model, {}, {})
    file = run.checkpoints / second / "model.safetensors"
    flip_a_bit(file)
    assert read_tensors(file)
    found, root, lines = checkpoints.newest_good(run)
    assert found.name == root.last.name == first
    assert lines == [f"checkpoint {second} is damaged (model.safetensors changed after zoo wrote it) and is ignored"]


@pytest.mark.parametrize("break_it", ["no manifest", "no state", "garbage manifest", "manifest made anew", "no folder"])
def test_an_incomplete_checkpoint_is_damaged(run, model, break_it) -> None:
    folder = run.checkpoints / checkpoints.save(run, 1, model, {}, {})
    match break_it:
        case "no manifest":
            (folder / "MANIFEST.json").unlink()
        case "no state":
            (folder / "state.json").unlink()
        case "garbage manifest":
            (folder / "MANIFEST.json").write_text("[1]")
        case "manifest made anew":
            flip_a_bit(folder / "model.safetensors")
            manifest = json.loads((folder / "MANIFEST.json").read_text())
            manifest["files"]["model.safetensors"] = sha256(folder / "model.safetensors")
            (folder / "MANIFEST.json").write_text(json.dumps(manifest))
        case "no folder":
            shutil.rmtree(folder)
    assert checkpoints.damage(run.checkpoints, run.root, run.root.last)
    with pytest.raises(CheckpointError, match="no usable checkpoint: checkpoint step-000001 is damaged"):
        checkpoints.newest_good(run)


def test_a_temporary_folder_left_by_a_crash_is_not_a_checkpoint_and_goes(run, model) -> None:
    (run.checkpoints / ".step-000001.tmp").mkdir()
    name = checkpoints.save(run, 1, model, {}, {})
    assert checkpoints.names(run.checkpoints) == [name]
    assert not list(run.checkpoints.glob(".*"))


def test_the_newest_and_the_best_of_each_of_these_are_kept(run, model) -> None:
    for step, best in enumerate([1, 2, 2, 4, 4], start=1):
        checkpoints.save(run, step, model, {}, {}, best=best_of(best), keep=2)
        assert run.root.chosen == f"step-{best:06d}"
    assert checkpoints.names(run.checkpoints) == ["step-000005", "step-000004"]
    checkpoints.save(run, 6, model, {}, {}, best=best_of(6), keep=2)
    checkpoints.save(run, 7, model, {}, {}, best=best_of(6), keep=2)
    checkpoints.save(run, 8, model, {}, {}, best=best_of(8), keep=2)
    assert checkpoints.names(run.checkpoints) == ["step-000008", "step-000007", "step-000006"]  # 6 is the best as of 7
    assert [entry.name for entry in run.root.checkpoints] == ["step-000006", "step-000007", "step-000008"]


def test_steps_beyond_a_million_are_the_newest(run, model) -> None:
    for step in (999_998, 999_999, 1_000_000, 1_000_001):
        checkpoints.save(run, step, model, {}, {}, keep=2)
    assert checkpoints.names(run.checkpoints) == ["step-1000001", "step-1000000"]
    assert checkpoints.newest_good(run)[0].name == "step-1000001"


def test_two_checkpoints_of_one_step_both_stay(run, model) -> None:
    assert [checkpoints.save(run, 3, model, {}, {}) for _ in range(11)][-1] == "step-000003.10"
    assert checkpoints.names(run.checkpoints)[:2] == ["step-000003.10", "step-000003.9"]
    assert checkpoints.newest_good(run)[0].name == "step-000003.10"


def test_what_a_crash_left_between_folder_and_root_record_is_not_used_and_goes(run, model, monkeypatch) -> None:
    first = checkpoints.save(run, 1, model, {}, {})
    with monkeypatch.context() as patch:
        patch.setattr(RunDir, "write_root", lambda *_: (_ for _ in ()).throw(StorageError("full")))
        with pytest.raises(StorageError):
            checkpoints.save(run, 2, model, {}, {})
    assert checkpoints.names(run.checkpoints) == ["step-000002", first]
    found, _, lines = checkpoints.newest_good(run)
    assert found.name == first and lines == ["checkpoint step-000002 is not listed in root.json and is not used"]
    assert checkpoints.save(run, 2, model, {}, {}) == "step-000002"
    assert checkpoints.newest_good(run)[2] == []


def test_a_checkpoint_of_another_run_is_named_and_left_where_it_is(run, model, tmp_path) -> None:
    checkpoints.save(run, 1, model, {}, {})
    other = new_run(tmp_path / "other")
    shutil.copytree(other.checkpoints / checkpoints.save(other, 9, model, {}, {}), run.checkpoints / "step-000009")
    found, _, lines = checkpoints.newest_good(run)
    assert found.name == "step-000001" and lines == ["checkpoint step-000009 comes from another run and is not used"]
    assert checkpoints.save(run, 9, model, {}, {}, keep=1) == "step-000009.1"
    assert checkpoints.names(run.checkpoints) == ["step-000009.1", "step-000009"]


def test_a_file_that_reads_back_otherwise_than_written_publishes_nothing(run, model, monkeypatch) -> None:
    monkeypatch.setattr("zoo.support.atomic_files.sha256", lambda _: "0" * 64)
    with pytest.raises(StorageError, match="differs when read back"):
        checkpoints.save(run, 1, model, {}, {})
    assert run.root.checkpoints == () and list(run.checkpoints.iterdir()) == []


@pytest.mark.parametrize("call", ["mkdir", "open", "fsync", "rename", "replace"])
@pytest.mark.parametrize("nth", [0, 1, 2, 4])
def test_a_full_disk_at_any_call_leaves_the_earlier_checkpoints_in_force(run, model, monkeypatch, call, nth) -> None:
    checkpoints.save(run, 1, model, {}, {}, best=best_of(1))
    before, calls = run.root, []

    def failing(original):
        def refuse(*arguments, **options):
            if call != "open" or any("x" in str(each) or "wb" in str(each) for each in arguments[1:]):
                calls.append(call)
                if len(calls) == nth + 1:
                    raise OSError(errno.ENOSPC, "No space left on device")
            return original(*arguments, **options)

        return refuse

    owner = checkpoints.os if call == "fsync" else Path
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, failing(getattr(owner, call)))
        try:
            checkpoints.save(run, 2, model, {}, {}, best=best_of(2))
        except StorageError as error:
            assert "No space left" in str(error) and "free some space" in str(error)
    done = run.root != before
    assert run.root.chosen == run.root.last.name == ("step-000002" if done else "step-000001")
    assert checkpoints.newest_good(run)[0].name == run.root.last.name
    assert checkpoints.save(run, 3, model, {}, {}, best=best_of(3)) == run.root.chosen == run.root.last.name


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
def test_weights_that_do_not_fit_are_refused_by_name(model, change, words) -> None:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    change(state)
    with pytest.raises(CheckpointError, match=words):
        load_state(model, state, "here")


def test_a_pickle_is_refused(tmp_path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"\x80\x04")
    with pytest.raises(CheckpointError, match="pickle"):
        read_tensors(file)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_tensors(file)
