"""zoo predict on many images: answers as they go, tables, options that contradict each other, progress."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

BUNDLE = str(Path(__file__).parents[2] / "exports" / "published" / "cnn_mnist")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    for index in range(70):
        Image.fromarray(numbers.integers(0, 256, (28, 28), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return folder


def test_lines_of_json_are_those_of_the_document(zoo, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    told = zoo("predict", BUNDLE, str(images), "--jsonl", str(table), "--top", "2", "--json")
    assert told.code == 0
    lines = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    assert lines == json.loads(told.out)["predictions"] and len(lines) == 70


def test_samples_of_a_dataset_have_their_targets(zoo, tmp_path: Path) -> None:
    csv, table = tmp_path / "t.csv", tmp_path / "t.jsonl"
    told = zoo(
        "predict", BUNDLE, "--data", "digits", "--count", "40", "--top", "1", "--csv", str(csv), "--jsonl", str(table)
    )
    assert told.code == 0 and len(told.out.splitlines()) == 40
    rows = csv.read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("sample,truth,prediction,p(0)") and rows[1].startswith("digits/test/9,9,")
    first = json.loads(table.read_text(encoding="utf-8").splitlines()[0])
    assert first["sample"] == "digits/test/9" and first["file"] is None
    assert told.out.splitlines()[0].endswith(f"(truth: {first['truth']})")


def test_options_that_contradict_each_other(zoo, images: Path) -> None:
    for words, said in (
        (["--resume"], "--resume without a table"),
        (["--resume", "--json", "--csv", "t.csv"], "--resume and --json"),
        (["--csv", "t", "--jsonl", "t"], "name the same file"),
    ):
        told = zoo("predict", BUNDLE, str(images), *words)
        assert told.code == 2 and said in told.err


def test_a_drawing_of_many_images_says_how_many_it_shows(zoo, images: Path, tmp_path: Path) -> None:
    told = zoo("predict", BUNDLE, str(images), "--plot", str(tmp_path / "p.png"))
    assert told.code == 0 and (tmp_path / "p.png").is_file()
    assert told.err.splitlines()[-1].endswith(f"saved: {tmp_path / 'p.png'} (the first 50 of 70 images)")
    told = zoo("predict", BUNDLE, str(images), "--explain", str(tmp_path / "e.png"))
    assert told.code == 2 and told.out == "" and "Grad-CAM needs gradients" in told.err


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals on Windows")
def test_progress_is_on_the_terminal_and_answers_in_their_file(images: Path, tmp_path: Path) -> None:
    """A bar on stderr must not take what is printed to a file."""
    import pty
    import subprocess

    many = tmp_path / "many"
    many.mkdir()
    for index in range(600):
        os.link(images / "00.png", many / f"{index:03d}.png")
    ours, theirs = pty.openpty()
    with (tmp_path / "out.txt").open("wb") as out:
        command = [sys.executable, "-m", "zoo", "predict", BUNDLE, str(many)]
        process = subprocess.Popen(command, stdout=out, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        told = b""
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:
                break
            if not part:
                break
            told += part
        assert process.wait() == 0
    os.close(ours)
    assert len((tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()) == 600
    assert b"predicting 600 images" in told and b"000.png: " not in told
