"""Many images: batches as they are done, tables that can be continued, and answers equal to those of one call."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.errors import UsageError
from zoo.workflows.open_predictor import Predictor, open_predictor
from zoo.workflows.predict import Predictions, predict, predict_batches
from zoo.workflows.predict_dataset import Samples
from zoo.workflows.predict_files import Wanted, predict_files

BUNDLE = Path(__file__).parents[2] / "exports" / "published" / "cnn_mnist"
COUNT, BAD = 100, (3, 40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred small images, of which two cannot be read."""
    place = tmp_path_factory.mktemp("many") / "images"
    place.mkdir()
    numbers = np.random.default_rng(0)
    for index in range(COUNT):
        Image.fromarray(numbers.integers(0, 256, (28, 28), dtype=np.uint8)).save(place / f"{index:03d}.png")
    for index in BAD:
        (place / f"{index:03d}.png").write_bytes(b"no image")
    return place


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return open_predictor(BUNDLE)


def nothing(_: Predictions) -> None: ...


# ------------------------------------------------------------------------------------------------------------ in Python


def test_batches_are_those_of_one_call(folder: Path) -> None:
    whole = predict(BUNDLE, [folder], keep_going=True)
    batches = list(zoo.predict_batches(BUNDLE, [folder]))
    assert inspect.unwrap(zoo.predict_batches) is predict_batches
    assert [len(batch.rows) for batch in batches] == [31, 31, 32, 4]
    assert [(p, v.tolist()) for batch in batches for p, v in batch.rows] == [(p, v.tolist()) for p, v in whole.rows]
    assert [each for batch in batches for each in batch.failures] == whole.failures
    assert batches[0].answer(batches[0].rows[0][1], 2) == whole.answer(whole.rows[0][1], 2)
    assert batches[0].engine == whole.engine and len(whole.failures) == 2


def test_wrong_arguments_are_refused_at_the_call(folder: Path) -> None:
    with pytest.raises(zoo.errors.DataError, match="no such file"):
        predict_batches(BUNDLE, [folder / "nowhere"])
    with pytest.raises(UsageError, match="neither a run nor a bundle"):
        predict_batches(folder, [folder])


def test_a_table_is_written_as_by_one_call(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    predict(BUNDLE, [folder], keep_going=True).write_csv(tmp_path / "due.csv")
    wanted = Wanted(tmp_path / "t.csv", tmp_path / "t.jsonl", top=2, keep=5)
    seen: list[Path] = []
    result = predict_files(
        predictor, Samples([folder]), wanted, lambda batch: seen.extend(path for path, _ in batch.rows)
    )
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "due.csv").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [Path(line["file"]) for line in lines] == seen and len(seen) == COUNT - 2
    assert all(set(line) == {"file", "answer", "top"} and len(line["top"]) == 2 for line in lines)
    assert (len(result.first.rows), len(result.first.failures), result.predicted, result.total) == (5, 2, 98, 100)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["due.csv", "t.csv", "t.jsonl"]


# --------------------------------------------------------------------------------------------------------- the command


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "zoo", "predict", str(BUNDLE), *map(str, words)]


@pytest.fixture
def many(folder: Path, tmp_path: Path) -> Path:
    """A folder with links to the same images, as often as makes a command of some seconds."""
    place = tmp_path / "links"
    place.mkdir()
    for index in range(6000):
        os.link(folder / "000.png", place / f"{index:05d}.png")
    return place


def wait_for(check: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not check():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_a_command_that_is_stopped_is_continued(many: Path, tmp_path: Path, signum: signal.Signals) -> None:
    table, partial = tmp_path / "t.csv", tmp_path / "t.csv.partial"
    process = subprocess.Popen(
        command(many, "--csv", table), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: partial.exists() and partial.stat().st_size > 50_000, process)
    process.send_signal(signum)
    told = process.communicate()[1]
    assert process.returncode == (130 if signum == signal.SIGINT else -9)
    if signum == signal.SIGINT:
        assert f"error: stopped by Ctrl-C; {partial} has the rows of" in told
        assert told.endswith("fix: to continue, repeat the command with --resume\n")
    assert partial.exists() and not table.exists()
    done = subprocess.run(command(many, "--csv", table, "--resume"), capture_output=True, text=True, check=True)
    assert "resuming: " in done.stderr and "of 6,000 images are done" in done.stderr
    lines = table.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6001 and len({line.partition(",")[2] for line in lines[1:]}) <= 2  # the last batch is smaller
    assert [Path(line.partition(",")[0]).stem for line in lines[1:]] == [f"{index:05d}" for index in range(6000)]


def test_many_images_are_predicted_without_torch_and_matplotlib(folder: Path, tmp_path: Path) -> None:
    table = str(tmp_path / "t.jsonl")
    code = (
        "import sys\nfrom zoo.cli.app import run_cli\n"
        f"assert run_cli(['predict', {str(BUNDLE)!r}, {str(folder)!r}, '--jsonl', {table!r}]) == 3\n"
        "assert not {'torch', 'matplotlib', 'rich'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
