"""Every command with a stdout that cannot be written: no traceback, an exit code that says so, and a run that goes on.

One process for each kind of stdout imports the zoo and torch once, and forks for each command.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.registry.core_commands import COMMANDS

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

LINES = {
    "list": "list", "info": "info cnn", "matrix": "matrix --arch lenet --data digits",
    "arithmetic": "arithmetic linear --input 8 --out 4",
    "lr-range": "lr-range cnn_digits --steps 10 --set dataset.resize=16 --device cpu",
    "gradients": "gradients cnn_digits --set dataset.resize=16 --device cpu",
    "show": "show digits --count 2 --out shown.png",
    "run": "run cnn_digits --name again --device cpu --set dataset.resize=16 --set train.epochs=1",
    "evaluate": "evaluate cnn_digits/short --device cpu", "predict": "predict cnn_digits/short --data digits --count 2",
    "export": "export cnn --help", "bench": "bench --help", "runs": "runs",
    "compare": "compare cnn_digits/short cnn_digits/again --out compared",
    "report": "report cnn_digits/short", "plugins": "plugins", "schema": "schema",
    "weights": "weights list cnn", "data": "data path",
    "cache": "cache --json",
    "doctor": "doctor --help", "verify": "verify cnn_digits/short",
    "tune": "tune --help", "index": "index --help", "search": "search --help",
    "completion": "completion bash", "inspect": "inspect out.json",
}  # fmt: skip
"""A short command line of each that succeeds and prints something."""
HEAVY = ("gradients", "lr-range", "show", "evaluate", "predict", "compare", "report")
"""With one kind of stdout alone: the kinds differ in nothing above `zoo.support.standard_streams`."""

FORK = """
import json, os, sys
import torch, zoo.workflows.run, zoo.workflows.predict
from zoo.__main__ import main

torch.set_num_threads(1)
sink, lines = sys.argv[1], json.loads(sys.argv[2])
codes = {}
for name, line in lines.items():
    if (child := os.fork()) == 0:
        sys.argv = ["zoo", *line.split()]
        os.dup2(os.open(f"errors-{name}", os.O_WRONLY | os.O_CREAT), 2)
        if sink == "closed":
            os.close(1)
            sys.stdout = None
        elif sink == "left":
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, 1)
        else:
            os.dup2(os.open(sink, os.O_WRONLY | os.O_CREAT), 1)
        try:
            main()
        except SystemExit as exit_:
            sys.stdout.flush()
            os._exit(exit_.code)
        except BaseException:
            import traceback
            traceback.print_exc()
        os._exit(99)
    codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
with open("codes.json", "w") as stream:
    json.dump(codes, stream)
"""


def called(folder: Path, sink: str, lines: dict[str, str], **environment: str) -> dict[str, tuple[int, str]]:
    """The exit code of each command line and what it wrote to stderr."""
    (folder / "out.json").write_text('{"a": 1}', encoding="utf-8")
    arguments = [sys.executable, "-P", "-W", "ignore::DeprecationWarning", "-c", FORK, sink, json.dumps(lines)]
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    codes = json.loads((folder / "codes.json").read_text(encoding="utf-8"))
    return {
        name: (code, (folder / f"errors-{name}").read_text(encoding="utf-8", errors="replace"))
        for name, code in codes.items()
    }


def test_every_command_is_tried() -> None:
    assert [name for name in COMMANDS if name not in LINES] == []


@pytest.mark.parametrize(
    ("sink", "code"),
    [("left", 141), *(pytest.param(sink, 7, marks=pytest.mark.slow) for sink in ("/dev/full", "closed"))],
)
@pytest.mark.usefixtures("short")
def test_output_that_cannot_be_written_is_an_exit_code(tmp_path: Path, sink: str, code: int) -> None:
    if sink == "/dev/full" and not Path(sink).exists():
        pytest.skip("there is no /dev/full here")
    found = called(tmp_path, sink, {name: LINES[name] for name in COMMANDS if sink == "left" or name not in HEAVY})
    assert {name: each for name, (each, _) in found.items() if each != code} == {}
    assert {name: text for name, (_, text) in found.items() if "Traceback" in text or "bug" in text} == {}
    if code == 7:
        assert {name for name, (_, text) in found.items() if "error: cannot write (stdout)" not in text} == set()
    record = json.loads(
        (Path(os.environ["ZOO_RUNS"]) / "cnn_digits" / "again" / "run.json").read_text(encoding="utf-8")
    )
    assert record["status"] == "finished"
    log = (Path(os.environ["ZOO_RUNS"]) / "cnn_digits" / "again" / "log.txt").read_text(encoding="utf-8")
    assert re.search(r"run cnn_digits/again finished in", log)


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("short")
def test_an_encoding_that_lacks_a_character_is_no_error(tmp_path: Path, encoding: str) -> None:
    some = {name: LINES[name] for name in ("list", "info", "arithmetic", "runs", "run")}
    found = called(tmp_path, "out.txt", some, PYTHONIOENCODING=encoding, LC_ALL="C")
    assert {name: told for name, told in found.items() if told[0] != 0 or "Traceback" in told[1]} == {}


@pytest.fixture
def short(short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained run, beside which a test may leave another: a folder of runs of its own that links to it."""
    runs = tmp_path / "own-runs" / "cnn_digits"
    runs.mkdir(parents=True)

    shutil.copytree(short, runs / "short")
    monkeypatch.setenv("ZOO_RUNS", str(runs.parent))
    return runs / "short"


@pytest.mark.parametrize(("redirect", "code"), [(">&-", 7), (">&- 2>&-", 7), ("2>&-", 0), ("2>/dev/full", 0)])
def test_closed_descriptors_of_a_fresh_process(tmp_path: Path, redirect: str, code: int) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'"{sys.executable}" -P -m zoo --version {redirect}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code and "Traceback" not in done.stderr
    assert done.stdout.startswith("zoo ") == (code == 0)
