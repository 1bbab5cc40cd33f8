"""How `zoo.runtime`, which every bundle's predict.py imports, opens a model: digests, replacement while it is read, its
description, old versions."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from PIL import Image
from zoo_onnx.client import OnnxRunner

from zoo import runtime
from zoo.errors import CheckpointError
from zoo.runtime import METADATA_KEY, Model, ModelError, SetupError, open_model
from zoo.support.atomic_files import sha256
from zoo.workflows.predict import predict

BLACK = np.full((1, 1, 4, 4), -1, np.float32)


def open_onnx(model: Path, note: Callable[[str], None] = pytest.fail) -> Model:
    return open_model(model, OnnxRunner, note)


def logits(model: Path, note: Callable[[str], None] = pytest.fail) -> list[float]:
    return [float(value) for value in open_onnx(model, note).run(BLACK)[0]]


def index(folder: Path) -> None:
    """Write the bundle.json of what lies there."""
    files = {file.name: {"sha256": sha256(file)} for file in sorted(folder.iterdir()) if file.name != "bundle.json"}
    (folder / "bundle.json").write_text(json.dumps({"model": "model.onnx", "files": files}), encoding="utf-8")


def change_model(model: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    proto = onnx.load(model)
    change(proto)
    onnx.save(proto, model)


def scale_weight(proto: onnx.ModelProto) -> None:
    tensor = proto.graph.initializer[0]
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([[-4, 4]], np.float32), "weight"))


def put_outside(model: Path) -> Path:
    """Move the weight to a second file; returns that."""
    proto = onnx.load(model)
    onnx.save(proto, model, save_as_external_data=True, location="model.onnx.data", size_threshold=0)
    index(model.parent)
    return model.with_name("model.onnx.data")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("L", (9, 5), 0).save(tmp_path / "black.png")
    return tmp_path / "black.png"


def test_every_changed_byte_of_a_model_is_noticed(bundle_model: Path) -> None:
    content = bundle_model.read_bytes()
    assert logits(bundle_model) == [8, -8]
    for place in range(0, len(content), 7):
        bundle_model.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ModelError, match=r"model\.onnx: was altered after it was exported"):
            open_onnx(bundle_model)


@pytest.mark.parametrize("way", ["zoo predict BUNDLE", "zoo predict BUNDLE/model.onnx", "predict.py"])
def test_whatever_opens_a_bundle_refuses_an_altered_model(
    bundle_model: Path, put_client: Callable[[Path], Path], image: Path, way: str
) -> None:
    change_model(bundle_model, scale_weight)
    if way == "predict.py":
        done = subprocess.run(
            [sys.executable, put_client(bundle_model.parent), image],
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (4, "", 1)
        assert "model.onnx: was altered" in done.stderr
        return
    with pytest.raises(CheckpointError, match=r"model\.onnx: was altered .* fix: export it again") as caught:
        predict(bundle_model if "model" in way else bundle_model.parent, [image])
    assert caught.value.exit_code == 4


def test_a_model_that_stands_alone_is_used_and_it_is_said_that_nothing_was_checked(
    bundle_model: Path, put_client: Callable[[Path], Path], image: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copyfile(bundle_model, alone / "model.onnx")
    said: list[str] = []
    assert logits(alone / "model.onnx", said.append) == [8, -8]
    assert len(said) == 1 and "no bundle.json lies beside" in said[0]
    assert predict(alone / "model.onnx", [image]).notes == tuple(said)
    done = subprocess.run(
        [sys.executable, put_client(alone), image], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert (done.returncode, len(done.stdout.splitlines()), len(done.stderr.splitlines())) == (0, 1, 1)
    assert done.stderr.startswith("note: no bundle.json lies beside")


def test_weights_in_a_second_file_are_checked_too(bundle_model: Path) -> None:
    data = put_outside(bundle_model)
    assert logits(bundle_model) == [8, -8]
    data.write_bytes(np.array([[-4, 4]], np.float32).tobytes())
    with pytest.raises(ModelError, match=r"model\.onnx\.data: was altered after it was exported"):
        open_onnx(bundle_model)
    data.unlink()
    with pytest.raises(ModelError, match=r"model\.onnx\.data: is missing"):
        open_onnx(bundle_model)


@pytest.mark.parametrize("outside", [False, True], ids=["one file", "a second file"])
def test_a_model_that_is_loaded_as_a_file_must_be_the_same_file_afterwards(
    bundle_model: Path, monkeypatch: pytest.MonkeyPatch, outside: bool
) -> None:
    target = put_outside(bundle_model) if outside else bundle_model
    session = onnxruntime.InferenceSession

    def load_and_alter(path: object, *given: Any, **options: Any) -> object:
        assert path == str(bundle_model)
        opened = session(path, *given, **options)
        content = target.read_bytes()
        target.unlink()
        target.write_bytes(content)
        return opened

    assert logits(bundle_model) == [8, -8]
    monkeypatch.setattr(onnxruntime, "InferenceSession", load_and_alter)
    with pytest.raises(ModelError, match=f"{target.name}: was altered while it was loaded"):
        open_onnx(bundle_model)


def test_a_bundle_that_is_replaced_between_its_index_and_its_model_is_read_again(
    bundle_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    shutil.copytree(bundle_model.parent, new)
    change_model(new / "model.onnx", scale_weight)
    index(new)
    unpatched, replaced = Path.open, []

    def open_and_replace(path: Path, *given: Any, **options: Any) -> Any:
        stream = unpatched(path, *given, **options)
        if path.name != "bundle.json" or replaced:
            return stream
        with stream:
            content = stream.read()
        replaced.append(bundle_model.parent.rename(tmp_path / "old"))
        new.rename(bundle_model.parent)
        return io.BytesIO(content)

    monkeypatch.setattr(Path, "open", open_and_replace)
    assert logits(bundle_model) == [4, -4]
    assert replaced


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), RuntimeError("an end too early")])
def test_whatever_a_runtime_raises_while_the_bundle_is_replaced_it_is_read_again(
    bundle_model: Path, error: Exception
) -> None:
    """A runtime that reads more files than the model may find one gone, and raises an error of its own."""
    raised = []

    def load(path: Path) -> OnnxRunner:
        if not raised:
            raised.append(error)
            index(bundle_model.parent)
            raise error
        return OnnxRunner(path)

    assert [float(value) for value in open_model(bundle_model, load).run(BLACK)[0]] == [8, -8]
    with pytest.raises(RuntimeError, match="unlike"):
        open_model(bundle_model, lambda _: (_ for _ in ()).throw(RuntimeError("unlike the files")))


def test_a_bundle_that_is_replaced_at_every_attempt_is_not_called_altered(bundle_model: Path) -> None:
    def load(path: Path) -> OnnxRunner:
        opened = OnnxRunner(path)
        bundle_model.write_bytes(bundle_model.read_bytes())
        index(bundle_model.parent)
        return opened

    with pytest.raises(ModelError, match="the bundle is replaced again and again while it is read"):
        open_model(bundle_model, load)


def test_reading_while_bundles_are_published_never_says_that_one_was_altered(
    bundle_model: Path, tmp_path: Path
) -> None:
    """In another process, as zoo does it; this one reads all the while."""
    versions = [tmp_path / "eight", tmp_path / "four"]
    for version in versions:
        shutil.copytree(bundle_model.parent, version)
    change_model(versions[1] / "model.onnx", scale_weight)
    index(versions[1])
    code = (
        "import sys, time, shutil\nfrom pathlib import Path\nfrom zoo.exporting.atomic_publish import publish, "
        "temporary_beside\n"
        "target, *versions = map(Path, sys.argv[1:])\nend = time.monotonic() + 4\n"
        "while time.monotonic() < end:\n"
        "    for version in versions:\n"
        "        with temporary_beside(target) as folder:\n"
        "            shutil.copytree(version, folder, dirs_exist_ok=True)\n"
        "            publish(folder, target)\n"
    )
    seen = []
    with subprocess.Popen([sys.executable, "-c", code, bundle_model.parent, *versions]) as publishing:
        while publishing.poll() is None:
            seen.append(logits(bundle_model))
    assert publishing.returncode == 0
    assert {tuple(each) for each in seen} <= {(8, -8), (4, -4)}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["bundle.json", "model.onnx", "model.onnx.data"])
def test_a_named_pipe_in_a_bundle_is_refused_and_not_waited_for(bundle_model: Path, name: str) -> None:
    put_outside(bundle_model)
    (bundle_model.parent / name).unlink()
    os.mkfifo(bundle_model.parent / name)
    with pytest.raises(ModelError, match=rf"{name}: is no regular file"):
        open_onnx(bundle_model)


DAMAGED = {
    "another order of channels": {"channel_order": "BGR"},
    "another layout": {"layout": "NHWC"},
    "another range": {"range": [0, 255]},
    "another type": {"dtype": "float16"},
    "an unknown interpolation": {"interpolation": "lanczos"},
    "an unknown way to resize": {"resize": "stretch"},
    "no height": {"height": None},
    "a width that is a text": {"width": "4"},
    "a huge size": {"height": 2**40},
    "a mean too many": {"mean": [0.5, 0.5]},
    "a mean that is a text": {"mean": ["half"]},
    "a std of 0": {"std": [0]},
    "two channels": {"channels": 2},
    "a batch of none": {"batch": 0},
    "a negative seed": {"permute_pixels": -1},
}


@pytest.mark.parametrize("change", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_description_that_cannot_be_followed_is_refused(bundle_model: Path, change: dict[str, Any]) -> None:
    def damage(proto: onnx.ModelProto) -> None:
        description = json.loads(proto.metadata_props[0].value)
        description["input"].update(change)
        helper.set_model_props(proto, {METADATA_KEY: json.dumps(description)})

    change_model(bundle_model, damage)
    index(bundle_model.parent)
    with pytest.raises(ModelError, match=r"model\.onnx: its description is damaged: ") as caught:
        open_onnx(bundle_model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"input": [], "output": {}}',
        '{"input": {"channels": 1}, "output": {"classes": 2}}',
        "[" * 9999,
    ],
)
def test_metadata_that_is_no_description_is_refused(bundle_model: Path, text: str) -> None:
    change_model(bundle_model, lambda proto: helper.set_model_props(proto, {METADATA_KEY: text}))
    index(bundle_model.parent)
    with pytest.raises(ModelError, match=r"model\.onnx: its description is damaged: "):
        open_onnx(bundle_model)


def test_metadata_that_is_no_text_is_refused(bundle_model: Path) -> None:
    content = bundle_model.read_bytes()
    bundle_model.write_bytes(content.replace(b"bright", b"brigh\xff"))
    index(bundle_model.parent)
    with pytest.raises(ModelError, match=r"model\.onnx: its metadata is not UTF-8 text"):
        open_onnx(bundle_model)


def test_a_model_whose_outputs_are_not_its_classes_is_refused_when_it_is_run(bundle_model: Path, image: Path) -> None:
    def name_another(proto: onnx.ModelProto) -> None:
        proto.metadata_props[0].value = proto.metadata_props[0].value.replace('"bright"', '"bright", "brighter"')

    change_model(bundle_model, name_another)
    index(bundle_model.parent)
    with pytest.raises(
        CheckpointError, match=r"gives \(1, 2\) where \(1, 3\) is due for the decision softmax \(3 classes\)"
    ):
        predict(bundle_model, [image])


def test_threads_that_cannot_be_started_are_not_told_as_a_bad_model(
    bundle_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("pthread_create failed, error code: 11 error msg: Resource temporarily unavailable")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with pytest.raises(SetupError, match="cannot start its threads here: pthread_create failed"):
        open_onnx(bundle_model)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("python", "3.7.16", "3.14.0rc1 (main)"), ("numpy", "1.20.3", "2.4.6"), ("pillow", "9.0.1", "13.0.0")],
)
def test_a_version_that_is_too_old_is_told_with_the_oldest_that_will_do(name: str, old: str, new: str) -> None:
    runtime.refuse_older({name: new})
    with pytest.raises(SetupError, match=rf"^{name} {old} is too old for predict\.py, which needs [\d.]+; fix: "):
        runtime.refuse_older({name: old})


def test_transparency_is_found_as_pillow_finds_it() -> None:
    palette = Image.new("RGBA", (4, 4), (1, 2, 3, 4)).quantize(2)
    images = [Image.new(mode, (4, 4)) for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "F")]
    keyed = Image.new("RGB", (4, 4))
    keyed.info["transparency"] = (0, 0, 0)
    for image in (*images, palette, keyed):
        assert runtime.has_transparency(image) == image.has_transparency_data
