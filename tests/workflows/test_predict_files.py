"""A prediction that was stopped is continued to the same bytes, whatever was left of its table."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.errors import CheckpointError, Interrupted, StorageError, UsageError
from zoo.workflows.open_predictor import Predictor, open_predictor
from zoo.workflows.predict import Predictions
from zoo.workflows.predict_dataset import Samples
from zoo.workflows.predict_files import Result, Wanted, predict_files

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


class Stop:
    """Raises an error once so many batches are done."""

    def __init__(self, after: int, error: BaseException) -> None:
        self.left, self.error = after, error

    def __call__(self, _: Predictions) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


def interrupted(predictor: Predictor, folder: Path, wanted: Wanted, after: int) -> None:
    with pytest.raises(Interrupted):
        predict_files(predictor, Samples([folder]), wanted, Stop(after, KeyboardInterrupt()))


def resumed(predictor: Predictor, folder: Path, wanted: Wanted) -> Result:
    return predict_files(predictor, Samples([folder]), replace(wanted, resume=True), nothing)


@pytest.mark.parametrize("after", [1, 2, 3, 4])
def test_an_interrupted_table_is_continued_to_the_same_bytes(
    predictor: Predictor, folder: Path, tmp_path: Path, after: int
) -> None:
    predict_files(predictor, Samples([folder]), Wanted(tmp_path / "due.csv", tmp_path / "due.jsonl"), nothing)
    wanted = Wanted(tmp_path / "t.csv", tmp_path / "t.jsonl")
    done = min(COUNT, 32 * after)
    with pytest.raises(Interrupted, match=r"t\.csv\.partial, .*t\.jsonl\.partial has the rows of") as stop:
        predict_files(predictor, Samples([folder]), wanted, Stop(after, KeyboardInterrupt()))
    assert "repeat the command with --resume" in str(stop.value) and stop.value.exit_code == 130
    assert f"the rows of {done} of 100 images" in str(stop.value)
    assert not wanted.csv.exists() and not wanted.jsonl.exists()  # type: ignore[union-attr]
    with pytest.raises(UsageError, match=r"an unfinished table of an earlier command exists.*add --resume"):
        predict_files(predictor, Samples([folder]), wanted, nothing)
    result = resumed(predictor, folder, wanted)
    assert result.resumed == done and len(result.first.failures) == 2
    for end in ("csv", "jsonl"):
        assert (tmp_path / f"t.{end}").read_bytes() == (tmp_path / f"due.{end}").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_table_that_was_cut_anywhere_is_continued(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    """As by a crash of the machine: half a line is never taken for a row, a changed one neither."""
    few = tmp_path / "few"
    few.mkdir()
    for index in range(33):
        os.link(folder / f"{index:03d}.png", few / f"{index:03d}.png")
    wanted = Wanted(tmp_path / "t.csv")
    predict_files(predictor, Samples([few]), Wanted(tmp_path / "due.csv"), nothing)
    interrupted(predictor, few, wanted, 2)
    partial = tmp_path / "t.csv.partial"
    content = partial.read_bytes()
    numbers = np.random.default_rng(1)
    cuts = sorted({0, 1, len(content) - 1, *numbers.integers(0, len(content), 25).tolist()})
    for cut in cuts:
        partial.write_bytes(content[:cut])
        resumed(predictor, few, wanted)
        assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "due.csv").read_bytes(), cut
    for place in numbers.integers(content.index(b"\n") + 1, len(content), 15).tolist():
        changed = bytearray(content)
        changed[place] ^= 1
        partial.write_bytes(changed)
        resumed(predictor, few, wanted)
        assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "due.csv").read_bytes(), place


def test_an_error_names_the_unfinished_table(
    predictor: Predictor, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckpointError, match="broken"):
        predict_files(
            predictor, Samples([folder]), Wanted(tmp_path / "t.csv"), Stop(2, CheckpointError("broken", fix="mend it"))
        )
    told = capsys.readouterr().err
    assert "t.csv.partial has the rows of 64 of 100 images; to continue, repeat the command with --resume" in told
    with pytest.raises(CheckpointError), pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.runtime.predicting.decide", lambda *_: (_ for _ in ()).throw(runtime.ModelError("broken")))
        predict_files(predictor, Samples([folder]), Wanted(tmp_path / "u.csv"), nothing)
    assert capsys.readouterr().err == "" and not (tmp_path / "u.csv.partial").exists()


def test_a_table_of_another_model_or_other_options_is_not_continued(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    table = tmp_path / "t.jsonl"
    interrupted(predictor, folder, Wanted(jsonl=table), 2)
    content = (tmp_path / "t.jsonl.partial").read_bytes()
    changes: list[tuple[str, Predictor, Wanted]] = [
        ("model", predictor._replace(digest=lambda: "another"), Wanted(jsonl=table)),
        ("engine", predictor._replace(engine="another"), Wanted(jsonl=table)),
        ("--max-pixels", open_predictor(BUNDLE, max_pixels=1000), Wanted(jsonl=table)),
        ("--top", predictor, Wanted(jsonl=table, top=7)),
        ("--data", predictor, Wanted(jsonl=table, dataset="digits")),
        ("table", predictor, Wanted(csv=table)),
    ]
    for name, other, wanted in changes:
        with pytest.raises(UsageError, match=f"begun with another {name}"):
            resumed(other, folder, wanted)
    (tmp_path / "t.jsonl.partial").write_text("my own notes\n")
    with pytest.raises(UsageError, match="no unfinished table of zoo predict"):
        resumed(predictor, folder, Wanted(jsonl=table))
    assert (tmp_path / "t.jsonl.partial").read_text() == "my own notes\n"
    (tmp_path / "t.jsonl.partial").write_bytes(content)
    assert resumed(predictor, folder, Wanted(jsonl=table)).resumed == 64


def test_images_that_changed_since_are_predicted_again(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for file in folder.iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    wanted = Wanted(tmp_path / "t.csv")
    interrupted(predictor, own, wanted, 4)
    Image.new("L", (28, 28)).save(own / "070.png")  # of the third batch
    Image.new("L", (28, 28)).save(own / "003.png")  # could not be read before
    result = resumed(predictor, own, wanted)
    assert result.resumed == 36 and [path.name for path, _ in result.first.failures] == ["040.png"]
    predict_files(predictor, Samples([own]), Wanted(tmp_path / "due.csv"), nothing)
    assert wanted.csv is not None and wanted.csv.read_bytes() == (tmp_path / "due.csv").read_bytes()


def test_images_that_were_added_since_are_predicted_too(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for file in folder.iterdir():
        os.link(file, own / file.name)
    wanted = Wanted(tmp_path / "t.csv")
    interrupted(predictor, own, wanted, 4)
    os.link(folder / "050.png", own / "065a.png")  # in the third batch
    assert resumed(predictor, own, wanted).resumed == 64
    predict_files(predictor, Samples([own]), Wanted(tmp_path / "due.csv"), nothing)
    assert wanted.csv is not None and wanted.csv.read_bytes() == (tmp_path / "due.csv").read_bytes()


def test_a_table_is_written_by_one_command_at_a_time(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    def other(_: Predictions) -> None:
        with pytest.raises(StorageError, match="another process is writing this table"):
            resumed(predictor, folder, Wanted(tmp_path / "t.csv"))

    predict_files(predictor, Samples([folder]), Wanted(tmp_path / "t.csv"), other)
    assert (tmp_path / "t.csv").is_file()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    predictor: Predictor, folder: Path, tmp_path: Path
) -> None:
    for place in (tmp_path, tmp_path / "nowhere" / "t.csv", Path("/dev/null")):
        with pytest.raises(StorageError):
            predict_files(predictor, Samples([folder]), Wanted(place), Stop(1, AssertionError()))


# -------------------------------------------------------------------------------------------------------------- masks


def segmenter(names: tuple[str, ...] = ("sky", "sea")) -> Predictor:
    spec = {
        "channels": 1, "height": 28, "width": 28, "mean": [0.0], "std": [1.0], "interpolation": "bilinear",
        "resize": runtime.COVER,
    }  # fmt: skip
    decision = {"kind": "pixel_argmax", "classes": list(names), "size": "input"}
    description: dict[str, Any] = {"input": spec, "output": {"kind": "map", "decision": decision}}

    def run(inputs: np.ndarray) -> np.ndarray:
        return np.concatenate([inputs, 1 - inputs], 1)

    return Predictor(run, description, "engine 1", None, lambda: "weights")


def test_masks_have_the_same_names_after_a_break(folder: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice"
    for name in ("a", "b"):
        (twice / name).mkdir(parents=True)
        for index in range(COUNT):
            os.link(folder / f"{index:03d}.png", twice / name / f"{index:03d}.png")
    predict_files(segmenter(), Samples([twice]), Wanted(tmp_path / "due.csv", masks=tmp_path / "due"), nothing)
    wanted = Wanted(tmp_path / "t.csv", masks=tmp_path / "masks")
    interrupted(segmenter(), twice, wanted, 4)
    resumed(segmenter(), twice, wanted)
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "due.csv").read_bytes()
    found = {file.name: file.read_bytes() for file in (tmp_path / "masks").iterdir()}
    assert found == {file.name: file.read_bytes() for file in (tmp_path / "due").iterdir()}
    assert len(found) == 2 * (COUNT - 2) and "099-2.mask.png" in found


def test_a_model_without_masks_is_refused_before_the_work(predictor: Predictor, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="softmax has no masks"):
        predict_files(predictor, Samples([folder]), Wanted(masks=tmp_path / "m"), Stop(1, AssertionError()))
