"""What earlier releases wrote is opened by today's code: runs, checkpoints, bundles and configurations (make.py)."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.cli.app import run_cli
from zoo.runs.run_directory import RunDir

RELEASES = sorted(path for path in Path(__file__).parent.iterdir() if (path / "expected.json").exists())
LIMIT = 300_000
"""Bytes of the golden files of one release."""


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def golden(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a release's files, which is the working folder."""
    copy = tmp_path / "golden"
    shutil.copytree(request.param, copy)
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def expected(golden: Path) -> Any:
    return json.loads((golden / "expected.json").read_text(encoding="utf-8"))


def printed(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    capsys.readouterr()
    assert run_cli([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_installed_version_has_golden_files_or_is_not_released() -> None:
    assert RELEASES, "python tests/golden/make.py VERSION"


def test_a_run_is_whole_and_has_its_weights(golden: Path, expected: Any) -> None:
    assert run_cli(["verify", "run"]) == 0
    digest = hashlib.sha256()
    for name, value in sorted(zoo.load("run").module.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    assert digest.hexdigest() == expected["weights"]


def test_a_run_is_evaluated_to_the_same_figures(
    golden: Path, expected: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = printed(capsys, "evaluate", "run", "--split", "test")["metrics"]
    assert metrics == {name: pytest.approx(value, abs=1e-4) for name, value in expected["metrics"].items()}


def test_a_report_is_written_again(golden: Path) -> None:
    assert run_cli(["report", "run"]) == 0
    assert "<html" in (golden / "run" / "report.html").read_text(encoding="utf-8")


def test_an_unfinished_run_goes_on_to_its_end(golden: Path, expected: Any) -> None:
    """--inexact, because torch is another one by then; the figures are those of the run that was never stopped."""
    unfinished = RunDir(Path("unfinished"))
    assert unfinished.root.last is not None
    assert unfinished.root.last.step == expected["unfinished_step"]
    assert run_cli(["run", "--resume", "unfinished", "--inexact"]) == 0
    found = RunDir(Path("unfinished")).record
    assert found.status == "finished"
    assert found.results["test"]["loss"] == pytest.approx(expected["metrics"]["loss"], abs=1e-3)


def test_a_bundle_predicts_the_same(golden: Path, expected: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = printed(capsys, "predict", "bundle", "image.png")["predictions"]
    (due,) = expected["prediction"]["predictions"]
    assert found["answer"] == due["answer"]
    for mine, theirs in zip(found["top"], due["top"], strict=True):
        assert mine["class"] == theirs["class"]
        assert mine["probability"] == pytest.approx(theirs["probability"], abs=1e-4)


def test_a_configuration_is_accepted(golden: Path) -> None:
    assert run_cli(["run", "--config", "config.yaml", "--dry-run"]) == 0
    assert run_cli(["run", "--config", "run/config.yaml", "--dry-run"]) == 0


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_golden_files_are_small_and_name_no_machine(release: Path) -> None:
    files = [path for path in release.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LIMIT
    for path in files:
        if path.suffix in (".json", ".jsonl", ".txt", ".yaml", ".csv") or path.name == "README.md":
            text = path.read_text(encoding="utf-8")
            assert re.search(r"(?<![\w.])/(home|root|tmp|work|Users|mnt)/|[A-Z]:\\|Xeon|EPYC", text) is None, path
