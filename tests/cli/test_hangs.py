"""A named pipe, a socket, a device without end or a folder, in any role of a file: refused by its kind and at once, in
one line."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes, devices and sockets have no names there")


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """A device without end that is read after all ends the test, and not the machine."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():
        used = int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (6 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def pipe(place: Path) -> None:
    os.mkfifo(place)


def endless(place: Path) -> None:
    place.symlink_to("/dev/zero")


def listening(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:  # its name stays
        here = Path.cwd()
        os.chdir(place.parent)  # the name of a socket may have some hundred characters
        try:
            listener.bind(place.name)
        finally:
            os.chdir(here)


def folder(place: Path) -> None:
    place.mkdir()


KINDS = [pipe, endless, listening, folder]
Plant = Callable[[Path], None]
TEXT = {pipe: "named pipe", endless: "device", listening: "socket", folder: "folder"}


@pytest.fixture(params=KINDS)
def plant(request: pytest.FixtureRequest) -> Plant:
    found: Plant = request.param
    return found


ROLES = {
    "a configuration": (["run", "--config", "X"], "X", {2}),
    "weights": (["run", "cnn_digits", "--weights", "X.safetensors"], "X.safetensors", {2, 4}),
    "a pickle of weights": (["weights", "convert", "X.pt", "out.safetensors"], "X.pt", {4}),
    "a table of labels": (
        ["run", "cnn", "--data", "folder:data", "--set", "dataset.labels=X.csv", "--dry-run"],
        "X.csv",
        {3},
    ),
    "an archive": (["run", "cnn", "--data", "folder:X.zip", "--dry-run"], "X.zip", {3}),
    "an image to predict": (["predict", "short", "X.png"], "X.png", {3}),
    "a model": (["predict", "X.onnx", "data/cat/0.png"], "X.onnx", {2, 4}),
    "a bundle's description": (["predict", "bundle", "data/cat/0.png"], "bundle/bundle.json", {2, 4}),
    "a bundle's model": (["predict", "bundle/model.onnx", "data/cat/0.png"], "bundle/model.onnx", {2, 4}),
    "a compressed image": (["svd", "decode", "X.safetensors"], "X.safetensors", {3}),
    "an image of a class": (["run", "cnn", "--data", "folder:data", "--dry-run"], "data/cat/1.png", {0, 3}),
    "images by pattern": (["run", "svd_image", "--data", "images:X.png", "--dry-run"], "X.png", {3}),
}


@pytest.mark.parametrize("role", ROLES)
def test_what_is_no_regular_file_is_refused_in_any_role(
    zoo, short, tmp_path, monkeypatch, no_longer_than, plant: Plant, role: str
) -> None:
    arguments, place, codes = ROLES[role]
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in (0, 2, 3, 4):
            Image.new("L", (32, 32), 20 * number).save(tmp_path / "data" / name / f"{number}.png")
    (tmp_path / "bundle").mkdir()
    plant(tmp_path / place)
    with no_longer_than(240):
        told = zoo(*arguments)
    assert told.code in codes, told
    if told.code:
        assert told.err.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in told.err
        assert Path(place).name in told.err or "bundle" in told.err


COMMANDS = (
    ["report", "RUN"],
    ["compare", "RUN", "short"],
    ["runs"],
    ["evaluate", "RUN", "--device", "cpu"],
    ["predict", "RUN", "image.png"],
)


@pytest.mark.parametrize("plant", [pipe, endless])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_run_of_pipes_and_devices_is_refused_file_by_file(
    zoo, short, tmp_path, monkeypatch, no_longer_than, plant: Plant, command: list[str]
) -> None:
    """Every file of a run at once; what the message names is mended, and the command given again, until it succeeds."""
    monkeypatch.chdir(tmp_path)
    Image.new("L", (16, 16)).save("image.png")
    run = short.parent / "planted"
    shutil.copytree(short, run)
    try:
        planted = {path: path.relative_to(run) for path in run.rglob("*") if path.is_file()}
        for path in planted:
            path.unlink()
            plant(path)
        if command == ["runs"]:
            planted.pop(run / "run.json")
            (run / "run.json").unlink()
            shutil.copy(short / "run.json", run / "run.json")
        while True:
            with no_longer_than(240):
                told = zoo(*[str(run) if word == "RUN" else word for word in command])
            if told.code == 0:
                break
            assert told.code in {2, 3, 4, 7}, told
            named = [path for path in planted if path.name in told.err or path.parent.name in told.err]
            named = named or ([run / "run.json"] if run / "run.json" in planted else [])
            assert named, told
            for path in named:
                path.unlink(missing_ok=True)
                shutil.copy(short / planted.pop(path), path)
    finally:
        shutil.rmtree(run)
