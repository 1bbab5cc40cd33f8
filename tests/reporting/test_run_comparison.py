"""Runs side by side."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

import zoo
from zoo.errors import UsageError
from zoo.reporting.run_comparison import compare, flatten
from zoo.runs.run_directory import RunDir


def rows(*losses: float, **metrics: list[float]) -> list[dict[str, float]]:
    return [
        {
            "epoch": index + 1,
            "step": 10 * (index + 1),
            "train_loss": loss,
            **{name: values[index] for name, values in metrics.items()},
        }
        for index, loss in enumerate(losses)
    ]


@pytest.fixture
def pair(made_run):
    one = made_run("one", epochs=rows(0.5, 0.3, val_accuracy=[0.7, 0.8], val_loss=[0.6, 0.5]))
    other = made_run(
        "other",
        config={"train": {"lr": 0.01, "epochs": 3}, "architecture": {"name": "lab/net", "width": 8}, "seed": 7},
        epochs=rows(0.6, 0.4, 0.2),
        results={"test": {"accuracy": 0.8, "macro_f1": 0.75}},
        seconds=None,
    )
    return one, other


def paths(runs) -> list:
    return [run.path for run in runs]


def test_results_facts_and_differences_stand_side_by_side(pair, tmp_path) -> None:
    found = zoo.compare(paths(pair), tmp_path)
    assert found.names == ["one", "other"]
    assert found.metrics == {"accuracy": [0.9, 0.8], "loss": [0.25, None], "macro_f1": [None, 0.75]}
    assert (
        found.facts["parameters"] == [1234, 1234]
        and found.facts["seconds"] == [61.0, None]
        and found.facts["run"] == ["toy/one", "toy/other"]
    )
    assert found.differences == {
        "architecture.width": [None, 8],
        "train.epochs": [1, 3],
        "train.lr": [0.001, 0.01],
        "seed": [0, 7],
    }
    assert found.remarks == []


def test_runs_that_differ_in_nothing_have_no_differences(made_run, tmp_path) -> None:
    assert compare(paths([made_run("one"), made_run("other")]), tmp_path).differences == {}


def test_the_image_has_a_panel_for_each_curve(pair, made_run, tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(
        "zoo.reporting.plots.save", lambda figure, file: drawn.append([axis for axis in figure.axes if axis.axison])
    )
    compare(paths(pair), tmp_path)
    compare(paths([made_run("three", steps=4, epochs=rows(0.5)), made_run("four", steps=5)]), tmp_path)
    by_epoch, by_step = drawn
    assert [axis.get_ylabel() for axis in by_epoch] == ["train loss", "val accuracy", "val loss"]
    assert [line.get_ydata().tolist() for line in by_epoch[0].lines] == [[0.5, 0.3], [0.6, 0.4, 0.2]]
    assert [list(line.get_ydata()) for line in by_epoch[1].lines] == [[0.7, 0.8], []]
    assert [axis.get_xlabel() for axis in by_step] == ["step"]
    assert [list(line.get_ydata()) for line in by_step[0].lines] == [
        [1, 1 / 2, 1 / 3, 1 / 4],
        [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5],
    ]


def test_the_image_is_written_where_asked(pair, tmp_path) -> None:
    found = compare(paths(pair), tmp_path / "new" / "folder")
    assert found.image == tmp_path / "new" / "folder" / "compare.png"
    with Image.open(found.image) as drawn:
        assert drawn.size[0] > 1000


def test_runs_without_curves_have_no_image(made_run, tmp_path) -> None:
    assert (
        compare(paths([made_run("one"), made_run("other")]), tmp_path).image is None
        and not (tmp_path / "compare.png").exists()
    )


def test_different_data_and_unfinished_runs_are_said(made_run, tmp_path) -> None:
    runs = [made_run("one"), made_run("other", fingerprint="9999"), made_run("third", status="interrupted", results={})]
    remarks = compare(paths(runs), tmp_path).remarks
    assert remarks == [
        "third is interrupted: its metrics are not final",
        (
            "these runs saw different data, so their figures do not compare: one, third on lab/toy (abcdef012345); "
            "other "
            "on lab/toy (9999)"
        ),
    ]


def test_runs_are_named_as_shortly_as_tells_them_apart(made_run, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    one = made_run("same")
    labelled = made_run("labelled", label="net")
    assert compare(paths([one, labelled]), tmp_path).names == ["toy", "net"]
    assert compare(paths([one, made_run("third")]), tmp_path).names == ["same", "third"]
    second = tmp_path / "runs" / "twin" / "same"
    second.parent.mkdir()
    shutil.copytree(one.path, second)
    assert compare(["toy/same", "twin/same"], tmp_path).names == ["toy/same", "twin/same"]


def test_faults_are_one_line(pair, tmp_path) -> None:
    one, other = paths(pair)
    with pytest.raises(UsageError, match="takes two runs or more"):
        compare([one], tmp_path)
    with pytest.raises(UsageError, match="are the same run"):
        compare([one, other, one / ".." / "one"], tmp_path)
    with pytest.raises(UsageError, match="no run is called"):
        compare([one, "nothing"], tmp_path)
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="folder is a file"):
        compare([one, other], tmp_path / "file")


def test_an_image_that_is_there_is_not_overwritten(pair, tmp_path) -> None:
    for name in ("compare.png", "compare-2.png"):
        (tmp_path / name).write_text("mine", encoding="utf-8")
    found = compare([run.path for run in pair], tmp_path)
    assert found.image == tmp_path / "compare-3.png" and found.image.is_file()
    assert (tmp_path / "compare.png").read_text(encoding="utf-8") == "mine"


def test_flatten_keeps_lists_and_empty_mappings_as_values() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": [1, {"e": 2}]}) == {"a.b": 1, "a.c": {}, "d": [1, {"e": 2}]}


def test_nothing_of_a_run_is_changed(pair, tmp_path) -> None:
    before = {
        file: file.read_bytes()
        for run in pair
        for file in sorted(run.path.rglob("*"))
        if file.is_file() and not file.name.startswith(".lock")
    }
    compare(paths(pair), tmp_path)
    assert all(file.read_bytes() == content for file, content in before.items()) and isinstance(pair[0], RunDir)
