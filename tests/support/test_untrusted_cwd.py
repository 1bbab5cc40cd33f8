"""A command started in a third party's folder runs nothing that lies there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MARK = "import pathlib; pathlib.Path(__file__).with_name('ran').touch()\n"
MODULES = (
    "torch.py", "numpy.py", "PIL.py", "matplotlib.py", "pydantic.py", "typer.py", "rich.py", "onnx.py", "timm.py",
    "zoo_classics.py", "evil.py",
    "sitecustomize.py", "usercustomize.py", "conftest.py", "setup.py", "mplbackend.py",
)  # fmt: skip
PROGRAMS = ("git", "latex", "dvipng", "nvidia-smi", "unrar", "unar", "7z", "bsdtar", "cc", "gcc", "uname")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a module, a program or settings of every name that somebody might look for there."""
    place = tmp_path / "theirs"
    info = place / "evil-1.0.dist-info"
    info.mkdir(parents=True)
    for name in MODULES:
        (place / name).write_text(MARK, encoding="utf-8")
    (place / "evil.pth").write_text("import evil\n", encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[zoo]\nevil = evil\n", encoding="utf-8")
    for name in PROGRAMS:
        (place / name).write_text(f"#!/bin/sh\ntouch {place}/ran\n", encoding="utf-8")
        (place / name).chmod(0o755)
    (place / "pyproject.toml").write_text("[project.entry-points.zoo]\nevil = 'evil'\n", encoding="utf-8")
    (place / ".netrc").write_text("machine example.com login me password secret\n", encoding="utf-8")
    (place / "matplotlibrc").write_text(
        "text.usetex: True\nbackend: module://mplbackend\nfigure.figsize: 1, 1\n", encoding="utf-8"
    )
    return place


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zoo", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=dict(os.environ),
    )


def test_a_command_runs_nothing_from_the_current_folder(folder: Path) -> None:
    for command in (["list"], ["svd", "ellipse", "5,3,3,5"], ["run", "cnn_digits", "--dry-run", "--device", "cpu"]):
        done = start(folder, *command)
        assert done.returncode == 0, done.stderr
        assert not (folder / "ran").exists(), command
        assert "evil" not in done.stdout


def test_a_drawing_is_the_same_whatever_matplotlibrc_lies_in_the_current_folder(folder: Path, tmp_path: Path) -> None:
    assert start(folder, "svd", "ellipse", "5,3,3,5").returncode == 0
    (tmp_path / "mine").mkdir()
    assert start(tmp_path / "mine", "svd", "ellipse", "5,3,3,5").returncode == 0
    assert (folder / "ellipse.png").read_bytes() == (tmp_path / "mine" / "ellipse.png").read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="pipes have no names there")
@pytest.mark.parametrize("kind", ["named pipe", "device", "not UTF-8"])
def test_a_matplotlibrc_that_cannot_be_read_is_none(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "matplotlibrc"
    if kind == "named pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        place.write_bytes(b"\xff\xfe: \xff")
    done = start(tmp_path, "svd", "ellipse", "5,3,3,5")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "ellipse.png").exists()
