"""Files of tensors: pickles become safetensors without running what is in them, and what cannot be is said."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.errors import CheckpointError, StorageError, UsageError
from zoo.models import tensor_files
from zoo.models.tensor_files import convert, read_tensors, write_tensors

STATE = {
    "conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
    "conv.bias": torch.tensor([1.5, -2.5]),
    "seen": torch.tensor(7),
}


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize(
    "content",
    [STATE, OrderedDict(STATE), {"epoch": 3, "state_dict": STATE}, {"model": STATE, "optimizer": {"lr": 0.1}}],
    ids=["plain", "ordered", "nested", "model"],
)
def test_a_pickled_state_dict_becomes_safetensors(tmp_path: Path, content: Any) -> None:
    convert(saved(tmp_path / "net.pth", content), tmp_path / "new" / "net.safetensors")
    found = read_tensors(tmp_path / "new" / "net.safetensors")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in STATE.items())
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["net.safetensors"]


def test_tensors_that_share_memory_or_are_not_contiguous_are_written_out(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    convert(saved(tmp_path / "net.pth", {"a": base, "b": base, "t": base.t()}), tmp_path / "net.safetensors")
    found = read_tensors(tmp_path / "net.safetensors")
    assert torch.equal(found["b"], base) and torch.equal(found["t"], base.t())


class Shell:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("owned"),))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_case_62_code_in_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "evil.pth"
    torch.save({"weight": Shell()}, file) if how == "torch" else file.write_bytes(pickle.dumps({"weight": Shell()}))
    with pytest.raises(
        CheckpointError, match=r"has other objects than tensors, and is not loaded: .*\bpathlib\."
    ) as caught:
        convert(file, tmp_path / "out.safetensors")
    assert "orch" not in str(caught.value) and "eights_only" not in str(caught.value)
    assert not (tmp_path / "owned").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([torch.zeros(1)], "this file holds a list"),
        ({"lr": 0.1}, "this file holds a dict"),
        ({}, "this file holds a dict"),
        ({1: torch.zeros(1)}, "holds a dict"),
    ],
)
def test_what_is_no_state_dict_is_said(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        convert(saved(tmp_path / "net.pth", content), tmp_path / "out.safetensors")


def test_values_that_are_not_finite_name_their_tensor_and_nothing_is_written(tmp_path: Path) -> None:
    broken = {**STATE, "conv.bias": torch.tensor([float("nan"), 1.0])}
    with pytest.raises(CheckpointError, match=r"values that are not finite: conv\.bias \(1 of 2 values\)"):
        convert(saved(tmp_path / "net.pth", broken), tmp_path / "net.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["net.pth"]


def test_one_of_several_networks_is_chosen_by_its_key(tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in STATE.items()}
    file = saved(tmp_path / "net.pth", {"model": STATE, "ema": other, "scaler": {"scale": torch.tensor(2.0)}})
    with pytest.raises(
        UsageError, match=r"several networks in these weights: 'model', 'ema'.*fix: choose one: --weights-key ema"
    ):
        convert(file, tmp_path / "net.safetensors")
    convert(file, tmp_path / "net.safetensors", "ema")
    assert torch.equal(read_tensors(tmp_path / "net.safetensors")["seen"], torch.tensor(8))


@pytest.mark.parametrize("damage", [b"", b"<html>not found</html>", b"PK\x03\x04 cut off"])
def test_a_damaged_pickle_is_one_line(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(damage)
    with pytest.raises(CheckpointError) as caught:
        convert(tmp_path / "net.pth", tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value) and "net.pth" in str(caught.value)
    with pytest.raises(CheckpointError, match="does not exist"):
        convert(tmp_path / "nothing.pth", tmp_path / "out.safetensors")


def test_a_pickle_is_refused_and_its_converter_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"fix: convert it first: zoo weights convert net\.pth net\.safetensors"):
        read_tensors(saved(tmp_path / "net.pth", STATE))


def test_a_full_disk_is_a_storage_error_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "net.safetensors"
    write_tensors(place, {"a": torch.zeros(1)})

    def full(_tensors: object, path: Path) -> None:
        path.write_bytes(b"part")
        raise tensor_files.SafetensorError("No space left on device")

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(StorageError, match="No space left"):
        write_tensors(place, {"a": torch.ones(1)})
    assert torch.equal(read_tensors(place)["a"], torch.zeros(1))
    assert [file.name for file in tmp_path.iterdir()] == ["net.safetensors"]
