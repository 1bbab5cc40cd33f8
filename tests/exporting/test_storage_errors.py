"""A disk that is full at any step of an export is exit 7, and nothing is published."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import zoo_onnx.exporter
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.options import OnnxOptions

from zoo.api import ExportJob
from zoo.errors import ExportError, StorageError
from zoo.exporting.client_files import runtime_source
from zoo.exporting.export import Bundle
from zoo.exporting.storage_errors import storage_errors_of_any_kind

FULL = OSError(errno.ENOSPC, "No space left on device")


class LibraryError(Exception):
    """As safetensors' own."""


class Failing(OnnxExporter):
    def __init__(self, error: Exception) -> None:
        super().__init__(OnnxOptions())
        self.error = error

    def write(self, job: ExportJob, path: Path) -> None:
        path.write_bytes(b"a part")
        raise self.error


def refuse(*_: object, **__: object) -> None:
    raise FULL


def assert_refused(run_export: Callable[..., Bundle], tmp_path: Path, **options: object) -> None:
    with pytest.raises(StorageError, match=r"^cannot write: .* fix: free some space$") as caught:
        run_export(**options)
    assert caught.value.exit_code == 7
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        LibraryError("Error while serializing: I/O error: No space left on device (os error 28)"),
        RuntimeError("Disk quota exceeded"),
    ],
)
def test_an_exporter_that_meets_a_full_disk(
    run_export: Callable[..., Bundle], tmp_path: Path, error: Exception
) -> None:
    assert_refused(run_export, tmp_path, exporter=Failing(error))


def test_a_full_disk_while_the_onnx_file_is_saved(
    run_export: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", refuse)
    assert_refused(run_export, tmp_path)


@pytest.mark.parametrize("name", ["predict.py", "zoo_runtime.py", "verify.json", "README.md", "bundle.json"])
def test_a_full_disk_while_a_file_of_the_bundle_is_written(
    run_export: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write = Path.write_bytes
    monkeypatch.setattr(
        Path, "write_bytes", lambda path, content: refuse() if f".{name}." in path.name else write(path, content)
    )
    assert_refused(run_export, tmp_path)


def test_a_full_disk_while_predict_py_writes_its_table(
    run_export: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = runtime_source().decode()
    right = "        with partial_file.open"
    assert right in source
    faulty = source.replace(right, f"        raise OSError(28, 'full')\n{right}")
    monkeypatch.setattr(zoo_onnx.exporter, "runtime_source", faulty.encode)
    assert_refused(run_export, tmp_path)


def test_an_error_that_a_full_disk_caused_is_found_behind_others(tmp_path: Path) -> None:
    with pytest.raises(StorageError), storage_errors_of_any_kind(tmp_path):
        try:
            refuse()
        except OSError as error:
            raise ExportError("torch's exporter failed") from error
    with pytest.raises(ExportError), storage_errors_of_any_kind(tmp_path):
        raise ExportError("torch's exporter failed")
