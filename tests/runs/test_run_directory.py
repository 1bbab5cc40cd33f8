"""Run directories: made, locked, recorded, found again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.config.run_config import RunConfig
from zoo.data.preprocessing import Preprocessing
from zoo.errors import CheckpointError, StorageError, UsageError
from zoo.runs import run_directory
from zoo.runs.run_directory import Record, RunDir, all_runs, create, find, is_run, label_of, run_id, usable_runs
from zoo.support.checksummed_json import read_sealed, write_sealed
from zoo.support.paths import runs_root


def config(**values: Any) -> RunConfig:
    return RunConfig.model_validate(
        {"recipe": "lab/net_toy", "dataset": {"name": "lab/toy"}, "task": {"name": "lab/sort"}, **values}
    )


def record(**values: Any) -> Record:
    facts = {
        "id": "net_toy/one",
        "status": "running",
        "created": "2026-01-01T00:00:00+00:00",
        "label": "net_toy",
        "architecture": None,
        "dataset": "lab/toy",
        "task": "lab/sort",
        "target": {"kind": "classes", "names": ["a", "b"]},
        "preprocessing": Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.5,)),
        "fingerprint": "abc",
    }
    return Record(**{**facts, **values})


def made(name: str, created: str, **values: Any) -> RunDir:
    run = create(config(name=name, **values))
    run.bind(record(created=created))
    return run


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ({}, "net_toy"),
        ({"recipe": None, "architecture": {"name": "lab/net"}}, "net"),
        ({"recipe": None}, "sort"),
    ],
)
def test_runs_lie_under_their_label(values: dict[str, Any], label: str) -> None:
    run = create(config(name="one", **values))
    assert label_of(config(**values)) == label
    assert run.path == runs_root() / label / "one"
    assert run_id(run.path) == f"{label}/one"
    assert run.checkpoints.is_dir()


def test_runs_without_a_name_never_share_a_folder() -> None:
    assert len({create(config()).path for _ in range(5)}) == 5


def test_config_and_record_are_read_as_they_were_written(tmp_path: Path) -> None:
    whole = config(train={"lr": 1e-5}, architecture={"name": "lab/net", "width": 3})
    run = create(whole, tmp_path / "here")
    run.write_record(record(results={"test": {"accuracy": 0.1 + 0.2}}))
    assert RunDir(tmp_path / "here").config == whole
    assert RunDir(tmp_path / "here").record == record(results={"test": {"accuracy": 0.1 + 0.2}})
    assert run_id(run.path) == str(run.path)


@pytest.mark.parametrize(
    "text", ["", "{}", "not json", '{"id": 3}', "[" * 100_000, "[1]", '{"created": {}}', '{"created": "2027', "\xff"]
)
def test_a_damaged_record_is_named_and_hides_no_other_run(text: str) -> None:
    good, bad = made("good", "2026-01-01"), made("bad", "2026-01-02")
    bad.record_file.write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"run\.json (is damaged|cannot be read|is not a JSON object)") as caught:
        _ = bad.record
    assert caught.value.exit_code == 4 and "\n" not in str(caught.value)
    assert [run.path for run in all_runs()] == [good.path, bad.path]
    assert [run.path for run, _ in usable_runs()] == [good.path]
    assert find("net_toy").path == good.path and find("bad").path == bad.path
    assert good.fault is None and bad.fault is not None


def swap_in_a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("file", ["run.json", "config.yaml", "root.json"])
@pytest.mark.parametrize(
    "how", [swap_in_a_fifo, Path.unlink, lambda file: (file.unlink(), file.mkdir())], ids=["fifo", "gone", "folder"]
)
def test_a_record_that_is_no_file_is_refused_and_never_waited_for(file: str, how: Callable[[Path], object]) -> None:
    good, bad = made("good", "2026-01-01"), made("bad", "2026-01-02")
    how(bad.path / file)
    assert bad.fault is not None
    assert find("bad").path == bad.path and find("net_toy/bad").path == bad.path
    assert [run.path for run, _ in usable_runs()] == [good.path]


@pytest.mark.parametrize("below", ["", "inside", "inside/deeper"])
def test_case_7_an_output_path_that_is_a_file_is_refused(tmp_path: Path, below: str) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(UsageError) as caught:
        create(config(), taken / below)
    assert f"({taken})" in str(caught.value)
    assert "--out" in str(caught.value)
    assert caught.value.exit_code == 2
    assert taken.read_text() == "mine"


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        create(config(), tmp_path / "full")
    (tmp_path / "empty").mkdir()
    assert create(config(), tmp_path / "empty").path == tmp_path / "empty"
    create(config(name="one"))
    with pytest.raises(UsageError, match="--resume"):
        create(config(name="one"))


def test_a_place_that_cannot_be_written_is_known_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *_args: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_directory.Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="Permission denied") as caught:
        create(config(), tmp_path / "here")
    assert caught.value.exit_code == 7


def test_runs_are_found_by_path_id_name_and_label() -> None:
    old, new = made("old", "2026-01-01"), made("new", "2026-01-02")
    assert [run.path for run in all_runs()] == [new.path, old.path]
    for name in (old.path, "net_toy/old", "old"):
        assert find(name).path == old.path
    assert find("net_toy").path == new.path
    assert is_run("old")
    assert not is_run("older")
    with pytest.raises(UsageError, match=r"did you mean .*old"):
        find("odl")
    with pytest.raises(UsageError, match="see `zoo runs`"):
        find("xyzzy_42")


def test_there_are_no_runs_where_there_is_no_folder() -> None:
    assert all_runs() == []
    assert not runs_root().exists()


def test_a_second_run_in_one_directory_is_refused_and_the_first_one_named(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from zoo.runs.run_directory import RunDir\n"
        "with RunDir(Path(sys.argv[1])).lock():\n    print('locked', flush=True)\n    sys.stdin.read()"
    )
    run = create(config(), tmp_path / "here")
    holder = subprocess.Popen(
        [sys.executable, "-c", code, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(StorageError, match=f"process {holder.pid}") as caught, run.lock():
            pass
        assert caught.value.exit_code == 7
    finally:
        holder.kill()  # no chance to clean up: the lock is free all the same
        holder.communicate()
    with run.lock():
        pass
    with run.lock():
        pass


@pytest.mark.parametrize("torn", ["", "2,0.", "2", '2,"', "2,0.25,7\n"])
def test_rows_are_read_up_to_one_that_a_crash_cut_off(torn: str) -> None:
    run = create(config(name="one"))
    assert run.epochs() == [] and run.steps() == []
    run.metrics_file.write_text(f"epoch,train_loss\n1,0.5\n{torn}")
    run.steps_file.write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "lo')
    assert run.epochs()[:1] == [{"epoch": 1.0, "train_loss": 0.5}]
    assert len(run.epochs()) == (2 if torn == "2,0." else 1)
    assert run.steps() == [{"step": 1, "loss": 2.5}]


@pytest.mark.parametrize("status", ["finished", "interrupted", "failed"])
def test_a_run_that_says_it_runs_and_is_held_by_nobody_was_killed(status: Any) -> None:
    run = create(config(name="one"))
    run.write_record(record(status=status))
    assert run.standing == status
    run.write_record(record(status="running"))
    assert run.standing == "killed"
    with run.lock():
        assert RunDir(run.path).standing == "running"


def test_a_record_of_a_zoo_whose_records_had_fewer_fields_is_as_it_was() -> None:
    run = made("one", "2026-01-01")
    value, _ = read_sealed(run.record_file)
    for name in ("adaptations", "solution", "statistics", "decision", "notes", "git_commit"):
        del value[name]
    del value["preprocessing"]["permute_pixels"]
    write_sealed(run.record_file, value)
    assert run.fault is None and run.record == record(created="2026-01-01")
    write_sealed(run.record_file, {**value, "adaptations": [{"rank": 3}]})
    assert run.fault == "run.json does not match root.json in: adaptations"


def test_a_run_of_a_zoo_before_contract_2_is_refused_in_one_line_that_says_so() -> None:
    run = made("one", "2026-01-01")
    value, _ = read_sealed(run.record_file)
    del value["target"]
    write_sealed(run.record_file, {**value, "classes": ["a", "b"], "structure": {}})
    with pytest.raises(
        CheckpointError,
        match=r"this run was written by a version of zoo with plugin API 1.*fix: use the zoo that wrote",
    ):
        _ = run.record
    assert run.fault is not None and "plugin API 1" in run.fault
