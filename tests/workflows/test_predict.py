from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from zoo.errors import CheckpointError, DataError, UsageError
from zoo.support.atomic_files import sha256
from zoo.workflows.predict import predict

CLASSES = ["dark", "bright"]


@pytest.fixture
def model(bundle_model: Path) -> Path:
    return bundle_model


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shade in (("a.png", 0), ("b.png", 255)):
        Image.new("L", (9, 5), shade).save(folder / name)
    return folder


def test_a_bundle_and_its_file_predict_the_same(model: Path, images: Path) -> None:
    for target in (model, model.parent, str(model.parent)):
        found = predict(target, [images])
        assert found.classes == tuple(CLASSES)
        assert [(path.name, CLASSES[int(p.argmax())]) for path, p in found.rows] == [
            ("a.png", "dark"),
            ("b.png", "bright"),
        ]
        assert found.engine.startswith("onnxruntime ")


def test_an_exported_model_is_used_without_torch(model: Path, images: Path) -> None:
    code = (
        "import sys\nfrom zoo.workflows.predict import predict\n"
        f"predict({str(model)!r}, [{str(images)!r}])\npredict({str(model.parent)!r}, [{str(images)!r}])\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_bundle_that_is_being_replaced_is_read_as_bundle_json_says(model: Path, images: Path) -> None:
    """Where folders cannot be exchanged in one step, the new model lies beside the old one for a moment, under a name
    with its digest."""
    due = predict(model.parent, [images])
    beside = model.with_name(f".model.onnx.{sha256(model)[:16]}")
    model.rename(beside)
    model.write_bytes(b"the model before")
    found = predict(model.parent, [images])
    assert [p.tolist() for _, p in found.rows] == [p.tolist() for _, p in due.rows]
    beside.write_bytes(beside.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match="altered"):
        predict(model.parent, [images])


def test_a_model_that_was_altered_is_refused(model: Path, images: Path) -> None:
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(CheckpointError, match=r"model\.onnx: was altered"):
        predict(model.parent, [images])
    model.unlink()
    with pytest.raises(CheckpointError, match=r"model\.onnx: is missing"):
        predict(model.parent, [images])


@pytest.mark.parametrize(
    "index",
    [
        "",
        "[]",
        "{}",
        '{"model": "model.onnx", "files": {}}',
        '{"model": "../model.onnx", "files": {"../model.onnx": {"sha256": ""}}}',
    ],
)
def test_a_damaged_index_is_refused(model: Path, images: Path, index: str) -> None:
    (model.parent / "bundle.json").write_text(index, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"bundle\.json is damaged"):
        predict(model.parent, [images])


def test_a_model_that_does_not_describe_itself_is_refused(model: Path, images: Path) -> None:
    proto = onnx.load(model)
    del proto.metadata_props[:]
    onnx.save(proto, model)
    (model.parent / "bundle.json").unlink()
    with pytest.raises(CheckpointError, match="has no 'zoo' metadata"):
        predict(model, [images])
    model.write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="cannot load it"):
        predict(model, [images])


def test_an_image_that_cannot_be_read_is_named(model: Path, images: Path) -> None:
    (images / "c.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"c\.png: is not an image"):
        predict(model, [images])
    with pytest.raises(DataError, match="no such file"):
        predict(model, [images / "nowhere.png"])


def test_what_is_neither_run_nor_bundle_is_refused(images: Path) -> None:
    with pytest.raises(UsageError, match="neither a run nor a bundle"):
        predict(images, [images])
    with pytest.raises(UsageError, match="no run is called 'nothing'"):
        predict("nothing", [images])


def test_rows_are_written_as_csv(model: Path, images: Path, tmp_path: Path) -> None:
    predict(model, [images]).write_csv(tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "file,prediction,p(dark),p(bright)"
    assert [line.split(",")[1] for line in lines[1:]] == CLASSES


def test_a_run_its_export_and_its_bundle_predict_the_same(tmp_path: Path, images: Path) -> None:
    from zoo.exporting.export import export
    from zoo.workflows.run import run

    out = tmp_path / "runs" / "cnn_digits" / "one"
    run("cnn_digits", overrides={"train": {"epochs": 1}, "device": "cpu"}, out=out)
    by_torch = predict(out, [images])
    assert by_torch.engine.startswith("torch ")
    for device in ("tpu", "cuda:99"):
        with pytest.raises(UsageError, match=device):
            predict(out, [images], device=device)
    bundle = export("cnn_digits")
    with pytest.raises(UsageError, match="run by its runtime, not by PyTorch"):
        predict(bundle.path, [images], device="cuda")
    assert bundle.path == tmp_path / "exports" / "cnn_digits"
    assert "cnn_digits/one" in bundle.source
    by_onnx = predict(bundle.path, [images])
    for (path, one), (other_path, other) in zip(by_torch.rows, by_onnx.rows, strict=True):
        assert path == other_path
        np.testing.assert_allclose(one, other, atol=1e-5)
