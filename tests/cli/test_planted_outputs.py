"""A link planted where a command writes its output is replaced: what it leads to is left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors.numpy import load_file

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
Zoo = Callable[..., Any]
OUTPUTS = {
    "out.html": ["report", "short", "--out", "out.html"],
    "out.csv": ["predict", "short", "image.png", "--csv", "out.csv"],
    "plot.png": ["predict", "short", "image.png", "--plot", "plot.png"],
    "explained.png": ["predict", "short", "image.png", "--explain", "explained.png"],
    "ellipse.png": ["svd", "ellipse", "5,3,3,5"],
    "out.safetensors": ["weights", "convert", "theirs.pt", "out.safetensors"],
}


@pytest.fixture
def two(short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trained run and a copy of it, with the current folder beside them."""
    for name in ("short", "other"):
        shutil.copytree(short, tmp_path / "runs" / "cnn_digits" / name)
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("plant", ["symbolic link", "hard link", "dangling link", "named pipe"])
@pytest.mark.parametrize("place", OUTPUTS)
def test_what_a_command_writes_leads_to_no_other_file(zoo: Zoo, tmp_path: Path, place: str, plant: str) -> None:
    import torch

    torch.save({"weight": torch.ones(2)}, tmp_path / "theirs.pt")
    Image.new("L", (16, 16)).save(tmp_path / "image.png")
    mine, out = tmp_path / "diary.txt", tmp_path / place
    out.parent.mkdir(exist_ok=True)
    mine.write_text("dear diary", encoding="utf-8")
    match plant:
        case "symbolic link":
            out.symlink_to(mine)
        case "hard link":
            out.hardlink_to(mine)
        case "dangling link":
            out.symlink_to(tmp_path / "not yet there")
        case _:
            os.mkfifo(out)
    told = zoo(*OUTPUTS[place])
    assert mine.read_text(encoding="utf-8") == "dear diary"
    assert not (tmp_path / "not yet there").exists()
    if told.code == 2 and "this file is there already" in told.err:  # what this command never overwrites
        return
    assert told.code == 0, told
    assert out.is_file()
    assert not out.is_symlink()
    assert out.stat().st_nlink == 1
    if place.endswith(".safetensors"):
        assert load_file(out)["weight"].tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("two")
def test_an_evaluation_takes_an_empty_folder_alone(zoo: Zoo, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plots").symlink_to(mine)
    told = zoo("evaluate", "short", "--device", "cpu", "--out", "out")
    assert (told.code, list(mine.iterdir())) == (2, [])
    assert "empty" in told.err
