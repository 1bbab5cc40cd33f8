"""Checking the files of a bundle while it is being replaced, file by file or in one step."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from zoo.exporting import integrity
from zoo.exporting.integrity import check_files
from zoo.support.atomic_files import sha256

PUBLISHED = Path(__file__).parents[2] / "exports" / "published" / "fnn_mnist"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return shutil.copytree(PUBLISHED, tmp_path / "it", ignore=shutil.ignore_patterns("__pycache__"))


def faults(bundle: Path) -> list[str]:
    return [f"{each.part}: {each.detail}" for each in check_files(bundle).findings if each.state != "ok"]


def test_the_lock_that_some_systems_keep_is_no_damage_while_it_is_empty(bundle: Path) -> None:
    (bundle / ".publishing.lock").touch()
    assert faults(bundle) == []
    (bundle / ".publishing.lock").write_text("import os", encoding="utf-8")
    assert faults(bundle) == [".publishing.lock: it is not listed in bundle.json"]


def test_an_interrupted_replacement_is_called_so(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client reads the new file under its hidden name until the next export."""
    monkeypatch.setattr(integrity, "PATIENCE", 0.05)
    (bundle / ".publishing.json").write_text('{"files": []}', encoding="utf-8")
    model = bundle / "model.onnx"
    model.rename(bundle / f".model.onnx.{sha256(model)[:16]}")
    assert faults(bundle) == [".publishing.json: the replacement of the bundle was interrupted"]


def test_a_bundle_that_is_replaced_while_it_is_checked_is_checked_again(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = bundle.rename(tmp_path / "old")
    shutil.copytree(old, bundle)
    (bundle / "model.onnx").write_bytes(b"of another export")
    check, replaced = integrity.check_regular, []

    def replace(file: Path) -> None:
        check(file)
        if not replaced and file.name == "model.onnx":
            replaced.append(bundle.rename(tmp_path / "new"))
            old.rename(bundle)

    monkeypatch.setattr(integrity, "check_regular", replace)
    (bundle / "predict.py").write_bytes(b"of another export")
    assert faults(bundle) == []
    assert replaced
    (bundle / "predict.py").write_bytes(b"altered")
    assert faults(bundle) == ["predict.py: its sha256 is not the one in bundle.json"]
