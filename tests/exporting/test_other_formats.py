"""Formats of third parties, which may store no text and have no client; and which exporter opens a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import zoo.exporting.export
from zoo.config.item_options import build_exporter
from zoo.errors import PluginError, SetupError, UsageError, ZooError
from zoo.exporting.export import Bundle
from zoo.exporting.opening import exported_at
from zoo.inspection.inspect import inspect
from zoo.registry.lookup import registry
from zoo.runs.load_model import LoadedModel
from zoo.workflows.predict import predict

LINEAR = """
import numpy as np
from zoo.api import Exporter, ExporterSpec, FileContents, FileFacts, hookimpl

ZOO_API = "2.0"


class Runner:
    runtime, provider, metadata = "numpy", "cpu", {}

    def __init__(self, path):
        self.weight, self.bias = np.load(path), np.load(path.with_name(path.stem + "-bias.npy"))

    def __call__(self, inputs):
        images = inputs["input"]
        return {"output": images.reshape(len(images), -1) @ self.weight.T + self.bias}

    def close(self):
        pass


class Linear(Exporter):
    def write(self, job, path):
        layer = job.model[-1]
        with path.open("wb") as stream:
            np.save(stream, layer.weight.detach().numpy())
        np.save(path.with_name(path.stem + "-bias.npy"), layer.bias.detach().numpy())

    def check(self, path, job):
        return FileFacts(path.stat().st_size, {"numpy": "1.21"}, {"numpy": np.__version__}, {"rows": 10})

    def open(self, path, provider, threads=None):
        return Runner(path)

    def inspect(self, path):
        return FileContents("weights of a layer") if path.read_bytes()[:6] == b"\\x93NUMPY" else None


class Broken:
    def __init__(self, options):
        pass


@hookimpl
def zoo_register_exporters():
    target = "zoo_lab:" + TARGET
    return [ExporterSpec(name="linear", summary="one layer", target=target, suffix=".lin", default=DEFAULT)]
"""
Install = Callable[..., None]


@pytest.fixture
def lab(install: Callable[..., Path]) -> Iterator[Install]:
    """Installs the plugin of a format that stores no text and has no client."""

    def put(target: str = "Linear", default: bool = False) -> None:
        install("zoo-lab", "lab", LINEAR.replace("TARGET", repr(target)).replace("DEFAULT", repr(default)))
        registry.cache_clear()

    yield put
    registry.cache_clear()


@pytest.fixture
def linear(make_loaded: Callable[..., LoadedModel]) -> LoadedModel:
    return make_loaded(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    numbers = np.random.default_rng(0)
    Image.fromarray(numbers.integers(0, 256, (8, 8), dtype=np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.fixture
def bundle(lab: Install, linear: LoadedModel, tmp_path: Path) -> Bundle:
    lab()
    item = registry().exporter("linear")
    return zoo.exporting.export.export_model(registry(), linear, "a layer", item, out=tmp_path / "out")


# ------------------------------------------------------------------------------------------ no text, no client


def test_a_format_without_text_and_client_is_verified_and_predicts(
    bundle: Bundle, linear: LoadedModel, image: Path
) -> None:
    index = json.loads((bundle.path / "bundle.json").read_bytes())
    assert {file.name for file in bundle.path.iterdir()} == {
        "model.lin",
        "model-bias.npy",
        "bundle.json",
        "verify.json",
        "README.md",
    }
    assert (index["model"], index["model_files"]) == ("model.lin", ["model.lin", "model-bias.npy"])
    assert index["exporter"] == {"name": "lab/linear", "distribution": "zoo-lab", "version": "1.0", "options": {}}
    assert index["requires"] == {"numpy": ">=1.21"}
    found = bundle.verification
    assert found["predict"]["decisions_agree"] == found["predict"]["images"] == 27
    assert (found["runtime"], found["form"]["rows"]) == ("numpy", 10)
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "    zoo predict model.lin photo.jpg\n" in card and "predict.py" not in card
    for target in (bundle.path, bundle.path / "model.lin"):
        answers = predict(target, [image])
        assert answers.engine == "numpy"
        pixels = (np.asarray(Image.open(image), np.float32) / 255 - 0.3) / 0.4
        with torch.inference_mode():
            due = linear.model(torch.from_numpy(pixels)[None, None]).softmax(1)[0].numpy()
        np.testing.assert_allclose(answers.rows[0][1], due, rtol=1e-4)


def test_what_is_missing_is_told_before_the_file_is_opened(
    bundle: Bundle, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_exporter: object, job: object, provider: str) -> None:
        assert (job, provider) == (None, "cpu")
        raise SetupError("the converter is not installed", fix="pip install converter")

    monkeypatch.setattr("zoo_lab.Linear.require", refuse)
    monkeypatch.setattr("zoo_lab.Linear.open", lambda *_: pytest.fail("the file is opened"))
    with pytest.raises(SetupError, match="not installed; fix: pip install converter"):
        predict(bundle.path, [image])


def test_every_file_of_a_model_is_compared_with_its_digest(bundle: Bundle, image: Path) -> None:
    bias = bundle.path / "model-bias.npy"
    content = bias.read_bytes()
    bias.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ZooError, match=r"model-bias\.npy: was altered") as caught:
        predict(bundle.path, [image])
    assert caught.value.exit_code == 4
    bias.unlink()
    with pytest.raises(ZooError, match=r"model-bias\.npy: is missing"):
        predict(bundle.path, [image])


def test_a_file_without_a_description_beside_it_or_in_it_cannot_predict(bundle: Bundle, image: Path) -> None:
    (bundle.path / "bundle.json").unlink()
    with pytest.raises(ZooError, match=r"has no 'zoo' metadata, so the preprocessing of images is unknown"):
        predict(bundle.path / "model.lin", [image])


def test_a_bundle_whose_exporter_is_not_installed_names_the_distribution(
    bundle: Bundle, image: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "site-packages" / "zoo_lab-1.0.dist-info")
    registry.cache_clear()
    for target in (bundle.path, bundle.path / "model.lin"):
        with pytest.raises(
            SetupError, match=r"exporter lab/linear, which is not installed .*; fix: pip install zoo-lab$"
        ) as caught:
            predict(target, [image])
        assert caught.value.exit_code == 6


def test_a_bundle_whose_exporter_is_disabled_says_so(
    bundle: Bundle, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "lab")
    registry.cache_clear()
    with pytest.raises(PluginError, match="fix: take lab out of ZOO_DISABLE_PLUGINS") as caught:
        predict(bundle.path, [image])
    assert caught.value.exit_code == 6


def test_a_file_of_an_unknown_suffix_names_the_known_ones(lab: Install, tmp_path: Path, image: Path) -> None:
    lab()
    file = tmp_path / "weights.what"
    file.write_bytes(b"what")
    with pytest.raises(UsageError, match=r"ending with '\.what' .*; fix: choose a file ending with one of: ") as caught:
        predict(file, [image])
    assert {".lin", ".onnx"} <= set(str(caught.value).rpartition(": ")[2].split(", "))
    assert exported_at(tmp_path / "nowhere.what") is None


# ------------------------------------------------------------------------------------------------ which exporter


def test_no_default_exporter_asks_for_a_format(lab: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "onnx")
    lab()
    with pytest.raises(UsageError, match=r"no format is named, and no exporter is the default; fix: add --format NAME"):
        zoo.exporting.export.export("cnn_digits")


def test_two_default_exporters_are_both_named(lab: Install) -> None:
    lab(default=True)
    said = r"no format is named, and .*lab/linear \(zoo-lab\).* are both the default; fix: add --format NAME"
    with pytest.raises(UsageError, match=said) as caught:
        zoo.exporting.export.export("cnn_digits")
    assert "onnx/onnx (torch-zoo)" in str(caught.value)


def test_a_target_that_is_no_exporter_is_a_fault_of_the_plugin(lab: Install) -> None:
    lab(target="Broken")
    with pytest.raises(PluginError, match=r"'lab/linear' is a Broken, not a zoo\.api\.Exporter; .* zoo-lab") as caught:
        build_exporter(registry().exporter("linear"))
    assert caught.value.exit_code == 6


def test_a_target_with_methods_missing_is_a_fault_of_the_plugin(lab: Install) -> None:
    lab(target="Exporter")
    with pytest.raises(PluginError, match=r"'lab/linear' could not be built: TypeError: .*abstract.*; fix: report it"):
        build_exporter(registry().exporter("linear"))


# --------------------------------------------------------------------------------------------------------- inspecting


def test_a_file_is_described_by_the_exporter_that_knows_it(bundle: Bundle, tmp_path: Path) -> None:
    for name in ("a.lin", "a.what"):
        (tmp_path / name).write_bytes((bundle.path / "model.lin").read_bytes())
        found = inspect(tmp_path / name)
        assert found is not None and (found.kind, found.refused) == ("weights of a layer", [])


@pytest.mark.parametrize("target", ["Broken", "Nowhere", "Linear"])
def test_a_broken_exporter_stops_no_other(
    lab: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    lab(target=target)
    if target == "Linear":
        monkeypatch.setattr("zoo_lab.Linear.inspect", lambda *_: 1 / 0)
    (tmp_path / "a.onnx").write_bytes(b"")
    found = inspect(tmp_path / "a.onnx")
    assert found is not None and (found.kind, found.refused) == ("ONNX model", ["it is empty"])
    (tmp_path / "a.what").write_bytes(b"what")
    assert inspect(tmp_path / "a.what") is None
    (tmp_path / "a.lin").write_bytes(b"what")
    found = inspect(tmp_path / "a.lin")
    assert found is not None and found.kind == ".lin file"
    assert len(found.refused) == 1 and found.refused[0].startswith("exporter lab/linear cannot describe it: ")
    (tmp_path / "a.lin").write_bytes(b"PK\x05\x06" + bytes(18))
    found = inspect(tmp_path / "a.lin")
    assert found is not None and (found.kind, found.facts["members"]) == ("zip archive", 0)
    assert len(found.refused) == 1
