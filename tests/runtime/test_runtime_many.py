"""Many images: read in threads, a batch at a time, with the results of one after the other."""

from __future__ import annotations

import csv
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime

SPEC: dict[str, Any] = {
    "channels": 1, "height": 6, "width": 8, "mean": [0.1307], "std": [0.3081], "permute_pixels": None,
    "interpolation": "bilinear", "resize": runtime.COVER, "scale": None, "max_pixels": 10_000, "value_range": None,
}  # fmt: skip
DESCRIPTION = {"input": SPEC, "output": {"classes": ["a", "b"]}}


def pixels(seed: int, mode: str) -> Image.Image:
    """Smooth and noisy rows, so that a PNG has all kinds of filters."""
    numbers = np.random.default_rng(seed)
    values = numbers.integers(0, 256, (13, 9, 4), dtype=np.uint8)
    values[::3] = np.arange(9, dtype=np.uint8)[:, None] * 20
    values[1::3] = values[::3][:4]
    return Image.fromarray(values, "RGBA").convert(mode)


# -------------------------------------------------------------------------------------------------------------- batches


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(150):
        image = pixels(index, "RGB" if index % 3 else "L")
        image.save(tmp_path / f"{index:03d}.{'png' if index % 2 else 'bmp'}")
    for index in (5, 40, *range(64, 96)):
        (tmp_path / f"{index:03d}.png").write_bytes(b"")
        (tmp_path / f"{index:03d}.bmp").unlink(missing_ok=True)
    return tmp_path


def run(inputs: np.ndarray) -> np.ndarray:
    """An answer that depends on the number of images, as the last bits of a real runtime may."""
    flat = inputs.reshape(len(inputs), -1)
    return np.asarray(np.stack([flat.mean(1) * len(inputs), flat.std(1)], 1))


def one_after_the_other(files: list[Path], spec: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    rows, failures = [], []
    for start in range(0, len(files), 32):
        group, inputs = [], []
        for file in files[start : start + 32]:
            try:
                inputs.append(runtime.prepare(file, spec))
                group.append(file)
            except ValueError as error:
                failures.append((file, str(error)))
        if group:
            values = runtime.softmax(run(np.concatenate(inputs)))
            rows += [(file, value.tolist()) for file, value in zip(group, values, strict=True)]
    return rows, failures


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_batches_from_threads_equal_one_after_the_other(folder: Path, threads: int) -> None:
    """The same groups of 32 files, smaller by those that cannot be read, one without any."""
    files = runtime.find_images([folder]).files
    due_rows, due_failures = one_after_the_other(files, SPEC)
    batches = list(runtime.predict_batches(run, DESCRIPTION, runtime.split_files(files, DESCRIPTION), threads))
    assert [len(batch.rows) + len(batch.failures) for batch in batches] == [32, 32, 32, 32, 22]
    assert [len(batch.rows) for batch in batches] == [31, 31, 0, 32, 22]
    assert [(file, values.tolist()) for batch in batches for file, values in batch.rows] == due_rows
    assert [(file, str(error)) for batch in batches for file, error in batch.failures] == due_failures
    failures: list[tuple[Path, str]] = []
    assert [(file, values.tolist()) for file, values in runtime.predict(run, DESCRIPTION, files, failures)] == due_rows
    assert failures == due_failures
    with pytest.raises(ValueError, match=r"005\.png: is not an image"):
        list(runtime.predict(run, DESCRIPTION, files))


def test_a_fixed_batch_is_filled_up(folder: Path) -> None:
    files = runtime.find_images([folder]).files[:50]
    sizes: list[int] = []

    def counted(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return run(inputs)

    fixed = {**DESCRIPTION, "input": {**SPEC, "batch": 3}}
    assert len(list(runtime.predict(counted, fixed, files, []))) == 48
    assert set(sizes) == {3} and len(sizes) == 17


class Counted(dict[str, Any]):
    """A specification that counts the images which are read by it."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.read, self.lock = 0, threading.Lock()

    def __getitem__(self, key: str) -> Any:
        if key == "channels":
            with self.lock:
                self.read += 1
        return super().__getitem__(key)


def test_few_images_are_held_and_an_abandoned_prediction_leaves_no_threads(tmp_path: Path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "a.png")
    files, spec = [tmp_path / "a.png"] * 3200, Counted()
    before = threading.active_count()
    description = {**DESCRIPTION, "input": spec}
    batches = runtime.predict_batches(run, description, runtime.split_files(files, description), 4)
    for number in range(1, 5):
        next(batches)
        time.sleep(0.05)
        assert spec.read <= 32 * (number + 3)
    batches.close()
    assert threading.active_count() == before


def test_images_are_decoded_while_the_model_runs(tmp_path: Path) -> None:
    Image.new("L", (8, 6)).save(tmp_path / "a.png")
    files, spec = [tmp_path / "a.png"] * 96, Counted()
    seen: list[int] = []

    def waiting(inputs: np.ndarray) -> np.ndarray:
        due, end = min(96, 32 * (len(seen) + 2)), time.monotonic() + 20
        while spec.read < due and time.monotonic() < end:
            time.sleep(0.01)
        seen.append(spec.read)
        return run(inputs)

    list(runtime.predict(waiting, {**DESCRIPTION, "input": spec}, files))
    assert seen[0] >= 64 and seen[1:] == [96, 96]


# --------------------------------------------------------------------------------------------------- tables, predict.py


def test_a_table_has_every_cell_escaped(tmp_path: Path) -> None:
    decision = {"kind": "softmax", "classes": ["=a", "b,c"], "temperature": 1.0, "abstain_below": None}
    rows = [(Path("=x.png"), np.array([0.75, 0.25])), (Path('q"\n.png'), np.array([1e-30, 1 - 1e-12]))]
    runtime.write_csv(tmp_path / "t.csv", rows, decision)
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == [
            ["file", "prediction", "p(=a)", "p(b,c)"],
            ["'=x.png", "'=a", "0.75", "0.25"],
            ['q"\n.png', "b,c", "1e-30", "1"],
        ]


class Runner:
    metadata: dict[str, str] = {}  # noqa: RUF012

    def __call__(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if len(inputs["input"]) == 22:
            raise RuntimeError("the last batch fails")
        return {"output": run(inputs["input"])}

    def close(self) -> None: ...


def test_predict_py_names_a_table_as_asked_once_it_is_complete(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    model, table = tmp_path / "m.bin", tmp_path / "t.csv"
    model.write_bytes(b"m")
    runner = Runner()
    runner.metadata = {"zoo": json.dumps(DESCRIPTION)}

    def call(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, words), "--csv", str(table)])
        return runtime.main(lambda *_: runner, model)

    assert call(folder) == 4 and not table.exists() and not list(tmp_path.glob("*.partial"))
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 94  # as they come
    good = [line.partition(": ")[0] for line in printed][:40]
    assert call(*good) == 0
    assert len(table.read_text().splitlines()) == 41 and not list(tmp_path.glob("*.partial"))
    assert call(tmp_path / "005.png") == 3
    assert table.read_text() == "file,prediction,p(a),p(b)\n"


def test_a_mask_of_a_name_that_is_taken_has_a_number(tmp_path: Path) -> None:
    mask = np.zeros((2, 2), np.uint8)
    names = ["a/x.png", "b/x.png", "x-2.png", "c/x.png", "y.png", "d/x-2.png"]
    files = runtime.write_masks(tmp_path, [(Path(name), mask) for name in names])
    assert [file.name for file in files] == [
        "x.mask.png", "x-2.mask.png", "x-2-2.mask.png", "x-3.mask.png", "y.mask.png", "x-2-3.mask.png",
    ]  # fmt: skip


def test_links_in_a_folder_that_lead_nowhere_or_to_themselves(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "inside" / "b.png")
    (tmp_path / "a.png").symlink_to("a.png")
    (tmp_path / "c.png").symlink_to("nowhere")
    (tmp_path / "d").symlink_to("inside")
    found = runtime.find_images([tmp_path]).files
    assert [file.relative_to(tmp_path).as_posix() for file in found] == ["a.png", "c.png", "d/b.png", "inside/b.png"]
