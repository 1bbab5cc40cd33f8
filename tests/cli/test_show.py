"""``zoo show`` on the command line."""

from __future__ import annotations

import json

import pytest

from zoo.cli.app import run_cli


def test_it_says_where_the_image_is(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_cli(["show", "digits", "--set", "dataset.resize=16", "--count", "5"]) == 0
    assert capsys.readouterr().out == "saved: digits-train.png\n"
    assert (tmp_path / "digits-train.png").is_file()


def test_json(tmp_path, capsys) -> None:
    assert run_cli(["show", "digits", "--augment", "flip, crop: 1", "--out", str(tmp_path / "a.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "dataset": "digits",
        "split": "train",
        "image": str(tmp_path / "a.png"),
        "notes": [],
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", "--augment", "flp"], "did you mean flip"),
        (["digits", "--set", "train.lr=1"], "--set train is none of the dataset's options"),
        (["digitz"], "did you mean digits"),
        (["folder"], "say folder:PATH"),
    ],
)
def test_faults_are_one_line(words, message, capsys) -> None:
    assert run_cli(["show", *words]) == 2
    assert message in capsys.readouterr().err
