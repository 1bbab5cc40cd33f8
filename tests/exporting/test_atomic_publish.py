from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.errors import StorageError, UsageError
from zoo.exporting import atomic_publish
from zoo.exporting.atomic_publish import check_target, publish, temporary_beside
from zoo.exporting.export import Bundle


def make_bundle(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_text(content, encoding="utf-8")
    (folder / "bundle.json").write_text(json.dumps({"files": {"model.onnx": {}}}), encoding="utf-8")
    return folder


@pytest.fixture(params=["exchanged in one step", "file by file"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "file by file":
        monkeypatch.setattr(atomic_publish, "exchange", lambda *_: False)


@pytest.mark.usefixtures("either_way")
def test_a_bundle_replaces_a_bundle_and_nothing_is_left_beside(tmp_path: Path) -> None:
    target = tmp_path / "some" / "out"
    for content in ("old", "new"):
        with temporary_beside(target) as folder:
            publish(make_bundle(folder, content), target)
        assert (target / "model.onnx").read_text(encoding="utf-8") == content
        assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_an_export_that_fails_leaves_the_old_bundle_and_no_temporary(tmp_path: Path) -> None:
    target = make_bundle(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), temporary_beside(target) as folder:
        make_bundle(folder, "new")
        raise RuntimeError
    assert (target / "model.onnx").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("refused", ["bundle.json", ".model.onnx."])
def test_a_disk_that_refuses_leaves_the_old_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setattr(atomic_publish, "exchange", lambda *_: False)
    target = make_bundle(tmp_path / "out", "old")
    replace = Path.replace

    def refuse(self: Path, to: Path) -> Path:
        if to.parent == target and to.name.startswith(refused):
            raise OSError(28, "No space left on device")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError), temporary_beside(target) as folder:
        publish(make_bundle(folder, "new"), target)
    assert (target / "model.onnx").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    monkeypatch.setattr(Path, "replace", replace)
    check_target(target)


def test_leftovers_of_dead_processes_go_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    script = "import os, sys; from pathlib import Path; from zoo.support import temporary_folders; "
    script += "held = temporary_folders.temporary_folder(Path(sys.argv[1]), 'out'); held.__enter__(); "
    for end, left in (("os._exit(9)", 0), ("print('made', flush=True); sys.stdin.read()", 1)):
        with subprocess.Popen(
            [sys.executable, "-c", script + end, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with temporary_beside(tmp_path / "out"):
                assert len(list(tmp_path.iterdir())) == 1 + left


def test_a_bundle_that_cannot_be_read_is_not_taken_for_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From fault injection: EIO and EACCES at the bundle that is to be replaced."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "bundle.json").write_text('{"files": {}}', encoding="utf-8")

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(atomic_publish, "read_text", refuse)
    with pytest.raises(StorageError, match="the bundle to replace cannot be read: Permission denied"):
        atomic_publish.check_target(tmp_path / "net")


def test_what_is_no_bundle_is_never_deleted(tmp_path: Path, run_export: Callable[..., Bundle]) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "dear.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="exists and is not a bundle"):
        run_export(out=letters)
    with pytest.raises(UsageError, match="is a file"):
        run_export(out=letters / "dear.txt")
    with pytest.raises(UsageError, match="a parent of the output folder is a file"):
        run_export(out=letters / "dear.txt" / "deeper")
    assert [path.name for path in letters.iterdir()] == ["dear.txt"]


def test_a_bundle_that_holds_files_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    target = make_bundle(tmp_path / "out", "old")
    (target / "__pycache__").mkdir()
    check_target(target)
    (target / "notes.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        check_target(target)


@pytest.mark.usefixtures("either_way")
def test_a_link_is_not_published_through(tmp_path: Path) -> None:
    mine = make_bundle(tmp_path / "mine", "mine")
    (tmp_path / "out").symlink_to(mine)
    with pytest.raises(UsageError, match="is a symbolic link"), temporary_beside(tmp_path / "out") as folder:
        publish(make_bundle(folder, "new"), tmp_path / "out")
    assert (mine / "model.onnx").read_text(encoding="utf-8") == "mine"


def test_a_hidden_file_of_the_users_is_none_of_ours(tmp_path: Path) -> None:
    target = make_bundle(tmp_path / "out", "old")
    (target / ".notes.0123456789abcdef").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match=r"notes"):
        check_target(target)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with temporary_beside(target) as folder:
        publish(make_bundle(folder, "new"), target)
    assert (target / "model.onnx").exists()
