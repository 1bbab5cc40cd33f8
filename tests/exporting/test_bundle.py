from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import zoo_onnx.client
from PIL import Image

import zoo.runtime
from zoo.exporting.client_files import runtime_source
from zoo.exporting.export import Bundle
from zoo.runs.load_model import LoadedModel
from zoo.support.atomic_files import sha256


@pytest.fixture
def bundle(run_export: Callable[..., Bundle]) -> Bundle:
    return run_export()


def test_a_bundle_holds_its_seven_files_with_their_digests(bundle: Bundle) -> None:
    index = json.loads((bundle.path / "bundle.json").read_text(encoding="utf-8"))
    assert {file.name for file in bundle.path.iterdir()} == {
        "model.onnx",
        "model.layers.json",
        "bundle.json",
        "README.md",
        "predict.py",
        "verify.json",
        "zoo_runtime.py",
    }
    for name, entry in index["files"].items():
        assert entry == {"sha256": sha256(bundle.path / name), "size": (bundle.path / name).stat().st_size}
    assert index["requires"] == {"python": ">=3.8", "numpy": ">=1.21", "pillow": ">=9.1", "onnxruntime": ">=1.15"}
    assert index["versions"].keys() >= {"torch", "torch-zoo", "numpy", "onnx", "onnxruntime", "python"}


def test_the_file_describes_itself(bundle: Bundle) -> None:
    model = onnx.load(bundle.path / "model.onnx")
    written = {entry.key: entry.value for entry in model.metadata_props}
    description = json.loads(written[zoo.runtime.METADATA_KEY])
    assert description == json.loads((bundle.path / "bundle.json").read_text(encoding="utf-8"))["description"]
    assert (description["input"]["mean"], description["input"]["height"]) == ([0.3], 8)
    assert json.loads(written["classes"]) == description["output"]["decision"]["classes"] == list("0123456789")
    assert description["provenance"]["recipe"] == "classics/cnn_digits"


def test_no_path_of_this_machine_stands_in_the_bundle(bundle: Bundle) -> None:
    here = str(Path(zoo.runtime.__file__).parents[2]).encode()
    for file in bundle.path.iterdir():
        content = file.read_bytes()
        assert here not in content
        assert str(bundle.path.parent).encode() not in content


def test_the_model_card_says_what_was_measured(bundle: Bundle) -> None:
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    real = bundle.verification["real"]
    assert card.startswith("# tiny\n")
    for text in (
        bundle.verification["model"]["sha256"],
        f"{real['accuracy']['exported']:.2%} with the exported model",
        "| opset | 18, IR version 8 |",
        "CC BY 4.0",
        real["dataset"],
    ):
        assert text in card


@pytest.mark.parametrize(
    ("preparation", "said"),
    [
        ({}, "converted to grayscale and scaled to cover 8×8 (bilinear, antialiased) and cropped at the centre."),
        (
            {"scale": 9},
            (
                "converted to grayscale and scaled to a shorter side of 9 (bilinear, antialiased) and cropped to 8×8 "
                "at the centre."
            ),
        ),
        (
            {"resize": zoo.runtime.SQUASH, "interpolation": "bicubic"},
            "and scaled to 8×8 without keeping the aspect ratio (bicubic, antialiased).",
        ),
        (
            {"resize": zoo.runtime.CROP},
            "and cropped to 8×8 at the centre without scaling; smaller images are padded with black.",
        ),
        ({"permute_pixels": 7}, "permuted by `numpy.random.RandomState(7)`"),
    ],
)
def test_the_model_card_says_how_images_are_prepared(
    run_export: Callable[..., Bundle], make_loaded: Callable[..., LoadedModel], preparation: dict[str, Any], said: str
) -> None:
    loaded = make_loaded()
    bundle = run_export(replace(loaded, preprocessing=loaded.preprocessing.model_copy(update=preparation)))
    card = " ".join((bundle.path / "README.md").read_text(encoding="utf-8").split())
    assert said in card
    assert ("permuted" in card) == ("permute_pixels" in preparation)
    assert "Values are divided by 255, then normalised with mean 0.3 and standard deviation 0.4." in card
    assert "needs Python 3.8, numpy 1.21, pillow 9.1, onnxruntime 1.15 or newer" in card


def test_names_cannot_break_the_model_card(
    run_export: Callable[..., Bundle], make_loaded: Callable[..., LoadedModel]
) -> None:
    classes = ("<script>", "a|b", "new\nline", "[x](http://y)", "\x1b[31m", *"56789")
    card = (run_export(make_loaded(classes=classes)).path / "README.md").read_text(encoding="utf-8")
    assert "<script>" not in card
    assert "&lt;script&gt;, a&#124;b, new line, &#91;x&#93;(http://y), &#92;x1b&#91;31m, 5" in card


@pytest.mark.parametrize("batch", [None, 3])
def test_predict_py_runs_with_neither_zoo_nor_torch(
    run_export: Callable[..., Bundle], tmp_path: Path, batch: int | None
) -> None:
    bundle = run_export(batch=batch)
    images = [tmp_path / f"{index}.png" for index in range(4)]
    for index, path in enumerate(images):
        Image.fromarray(np.full((20, 30), index * 60, np.uint8)).save(path)
    code = (
        "import runpy, sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('zoo', 'torch', 'onnx', 'pydantic'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    table = tmp_path / "table.csv"
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle.path / "predict.py"), *map(str, images), "--csv", str(table)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 4
    rows = table.read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("file,prediction,p(0)")
    assert sum(float(value) for value in rows[1].split(",")[2:]) == pytest.approx(1, abs=1e-4)


def test_the_client_is_that_of_the_exporter_and_the_runtime_word_for_word(bundle: Bundle) -> None:
    assert (bundle.path / "zoo_runtime.py").read_bytes() == runtime_source()
    assert (bundle.path / "predict.py").read_bytes() == Path(zoo_onnx.client.__file__).read_bytes()
