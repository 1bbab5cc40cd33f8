"""An engine in a process of its own."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.benching import worker
from zoo.benching.engines import ENGINES
from zoo.benching.processes import EngineProcess
from zoo.data.preprocessing import Preprocessing
from zoo.errors import ExportError, SetupError


class Doubling:
    """An engine that cannot run a batch of three."""

    runtime, place = "doubling 1.0", "cpu"
    description = None

    def __init__(self, question: dict[str, Any]) -> None:
        if question.get("refused"):
            raise SetupError("it is not installed", fix="install it")

    def run(self, inputs: np.ndarray) -> np.ndarray:
        if len(inputs) == 3:
            raise RuntimeError("\n three is\nnot possible")
        return inputs * 2

    def caller(self, inputs: np.ndarray) -> Callable[[], object]:
        return lambda: self.run(inputs)


def answers(monkeypatch: pytest.MonkeyPatch, question: dict[str, Any], *requests: dict[str, Any]) -> list[Any]:
    monkeypatch.setitem(ENGINES, "doubling", Doubling)
    written = io.StringIO()
    worker.serve({"kind": "doubling", **question}, map(json.dumps, requests), written)
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_a_process_says_what_it_opened_and_answers_each_request(monkeypatch, tmp_path: Path) -> None:
    inputs, out = tmp_path / "inputs.npy", tmp_path / "out.npy"
    np.save(inputs, np.ones((2, 1, 2, 2), np.float32))
    ready, told, turn = answers(
        monkeypatch,
        {},
        {"request": "outputs", "inputs": str(inputs), "out": str(out)},
        {"request": "turn", "inputs": str(inputs), "seconds": 0.001},
    )
    assert (ready["runtime"], ready["place"]) == ("doubling 1.0", "cpu")
    assert told["seconds"] >= 0 and (np.load(out) == 2).all()
    assert turn["durations"] and isinstance(turn["peak"], int)


def test_a_failure_is_an_answer_and_the_next_request_is_served(monkeypatch, tmp_path: Path) -> None:
    for count in (1, 3):
        np.save(tmp_path / f"{count}.npy", np.ones((count, 1, 2, 2), np.float32))
    asked = [
        {"request": "outputs", "inputs": str(tmp_path / f"{count}.npy"), "out": str(tmp_path / "out.npy")}
        for count in (3, 1)
    ]
    _, failed, told = answers(monkeypatch, {}, *asked)
    assert failed["error"]["what"] == "RuntimeError: three is" and "seconds" in told


def test_an_engine_that_cannot_be_opened_ends_the_process(monkeypatch) -> None:
    (refused,) = answers(monkeypatch, {"refused": True}, {"request": "turn"})
    assert refused["error"] == {"code": 6, "what": "it is not installed", "where": None, "fix": "install it"}


def test_images_are_prepared_in_a_process(tmp_path: Path) -> None:
    Image.new("L", (9, 5), 100).save(tmp_path / "image.png")
    spec = Preprocessing(channels=1, height=4, width=4, mean=(0.5,), std=(0.5,)).describe()
    question = {"kind": "images", "files": [str(tmp_path / "image.png")], "input": spec}
    process = EngineProcess(question, tmp_path / "engine", threads=1)
    try:
        assert process.place == "cpu" and process.turn(None, 0.001)
        assert process.peak[None] > 0
    finally:
        process.close()


def test_the_error_of_an_engine_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="KeyError: 'nonsense'"):
        EngineProcess({"kind": "nonsense"}, tmp_path / "engine", threads=1)


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("line", "words"), [("kill -SEGV $$", "was ended by SIGSEGV"), ("echo no space >&2; exit 3", "failed: no space")]
)
def test_a_process_that_ends_is_an_error_of_one_line(tmp_path: Path, monkeypatch, line: str, words: str) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(SetupError, match=words) as raised:
        EngineProcess({"kind": "images"}, tmp_path / "engine", threads=1)
    assert len(raised.value.lines) == 1
