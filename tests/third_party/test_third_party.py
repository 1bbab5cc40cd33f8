"""A task, a dataset and a network of three authors, who had the docs alone and never saw each other's work: any
combination runs, or is refused with its reason from the specs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zoo.cli.app import run_cli
from zoo.registry.lookup import registry
from zoo.testing import find_faults

PACKAGES = Path(__file__).parent / "packages"
SMALL = ("--epochs", "2", "--set", "architecture.width=4")


@pytest.fixture(autouse=True)
def three_plugins(install: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for package in sorted(PACKAGES.glob("zoo_*")):
        info = install(package.name.replace("_", "-"), package.name[4:], (package / "__init__.py").read_text("utf-8"))
        for file in package.glob("*.py"):
            (info.parent / package.name / file.name).write_text(file.read_text("utf-8"), "utf-8")
    monkeypatch.chdir(tmp_path)
    spots(Path("spots.parquet"))
    registry.cache_clear()
    yield
    registry.cache_clear()


def spots(file: Path, count: int = 40) -> None:
    """Images of a bright spot, of different sizes, and its place."""
    generator = np.random.RandomState(0)
    rows: dict[str, list[object]] = {"image": [], "x": [], "y": []}
    for _ in range(count):
        side, (x, y) = generator.randint(16, 40), generator.uniform(0, 1, 2)
        down, across = np.mgrid[:side, :side] / side
        spot = (255 * np.exp(-((across - x) ** 2 + (down - y) ** 2) / 0.02)).astype(np.uint8)
        png = io.BytesIO()
        Image.fromarray(np.stack([spot] * 3, 2)).save(png, "PNG")
        rows["image"].append(png.getvalue())
        rows["x"].append(100 * x)
        rows["y"].append(100 * y + 500)
    pq.write_table(pa.table(rows), file)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    got = run_cli(list(arguments))
    out = capsys.readouterr()
    assert got == code, f"{out.out}\n{out.err}"
    return out.err if code else out.out


def test_together_they_are_less_than_120_lines() -> None:
    text = "\n".join(file.read_text("utf-8") for file in PACKAGES.glob("*/*.py"))
    assert sum(bool(line.strip()) for line in text.splitlines()) < 120


@pytest.mark.parametrize("namespace", ["logcosh", "tides", "ripple"])
def test_each_holds_the_contract(namespace: str) -> None:
    assert find_faults(namespace, data={"tides": "spots.parquet"} if namespace == "tides" else None) == []


def test_the_three_are_trained_exported_and_predict_in_units(capsys: pytest.CaptureFixture[str]) -> None:
    run = ("run", "ripple", "--data", "tides:spots.parquet", "--task", "logcosh", *SMALL)
    record = json.loads(said(capsys, *run, "--json"))
    assert set(record["results"]["test"]) == {"rmse", "mae"}
    folder = Path(record["path"])
    header, *rows = (folder / "predictions.csv").read_text("utf-8").splitlines()
    assert header == "sample,truth x (cm),truth y (cm),x (cm),y (cm)" and len(rows) == 8
    assert rows[0].startswith("row 0,")
    assert len((folder / "per_sample.csv").read_text("utf-8").splitlines()) == 9
    said(capsys, "export", str(folder), "--onnx", "--out", "bundle")
    bundle = json.loads(Path("bundle/bundle.json").read_text("utf-8"))["description"]
    assert bundle["output"]["decision"]["kind"] == "affine" and bundle["output"]["decision"]["units"] == ["cm", "cm"]
    table = pq.read_table("spots.parquet")
    Path("spot.png").write_bytes(table["image"][0].as_py())
    numbers = []
    for place in (str(folder), "bundle"):
        assert " cm" in said(capsys, "predict", place, "spot.png", "--csv", "answers.csv")
        numbers.append(np.array(Path("answers.csv").read_text("utf-8").splitlines()[1].split(",")[1:], float))
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-4)
    expected = np.array(rows[0].split(",")[3:], float)
    np.testing.assert_allclose(numbers[0], expected, rtol=1e-3)
    of_data = ("predict", "bundle", "--data", "tides:spots.parquet", "--count", "2", "--csv", "answers.csv", "--json")
    first = json.loads(said(capsys, *of_data))["predictions"][0]
    assert first["truth"] == {name: pytest.approx(table[name][0].as_py(), rel=1e-6) for name in "xy"}
    again, *_ = Path("answers.csv").read_text("utf-8").splitlines()[1:]
    assert again.split(",")[1:3] == rows[0].split(",")[1:3]


def test_weights_of_a_run_whose_units_are_others_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    run = ("run", "ripple", "--data", "tides:spots.parquet", "--task", "logcosh", *SMALL)
    first = json.loads(said(capsys, *run, "--json"))["id"]
    other = (*run, "--weights", first, "--set", "dataset.units=[mm, mm]")
    assert "8 of 8 tensors; loaded the head, too, whose target is values x (cm), y (cm)" in said(capsys, *other)
    transferred = said(capsys, *other, "--set", "adapt=[transfer]")
    assert "6 of 8 tensors; re-initialised: head.weight" in transferred
    refused = said(capsys, "evaluate", first, "--data", "digits", code=2)
    assert (
        "datasets/digits has other targets (classes 0, 1, 2, 3, 4 and 5 more) than the model (values x (cm), y (cm))"
        in refused
    )


@pytest.mark.parametrize(
    ("arguments", "metric"),
    [
        (("ripple", "--data", "digits"), "accuracy"),
        (("cnn", "--data", "tides:spots.parquet", "--task", "logcosh", "--set", "dataset.resize=28"), "rmse"),
        (
            (
                "ripple",
                "--data",
                "tides:spots.parquet",
                "--task",
                "logcosh",
                "--set",
                "adapt=[lora]",
                "--weights",
                "none",
            ),
            "rmse",
        ),
    ],
)
def test_each_goes_with_what_others_wrote(
    arguments: tuple[str, ...], metric: str, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads(said(capsys, "run", *arguments, "--epochs", "1", "--json"))
    assert metric in record["results"]["test"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("ripple", "--data", "digits", "--task", "logcosh"),
            "task logcosh needs targets of kind `values`, but digits has",
        ),
        (
            ("ripple", "--data", "tides:nowhere.parquet", "--task", "classification"),
            "needs targets of kind `classes`, but tides has `values`",
        ),
        (("lenet", "--data", "tides:nowhere.parquet", "--task", "svd_compress"), "needs pretrained weights, but lenet"),
        (
            ("ripple", "--data", "tides:nowhere.parquet", "--task", "transfer"),
            "task transfer needs pretrained weights, but ripple has none",
        ),
        (
            ("ripple", "--data", "tides:nowhere.parquet", "--task", "logcosh", "--set", "adapt=[lora]"),
            "adaptation lora needs pretrained weights, but ripple has none",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_opened(
    arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason in said(capsys, "run", *arguments, code=2)
