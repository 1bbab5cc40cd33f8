"""A real export of every kind of decision: the gate, the bundle and its predict.py in a process of its own, and faults
in the description that are refused."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import torch
import zoo_onnx.exporter
from onnx import helper
from PIL import Image
from torch import Tensor, nn
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.options import OnnxOptions

import zoo.exporting.export
from zoo import runtime
from zoo.api import JSON, ExportJob
from zoo.contract.decisions import Affine, Decision, Embedding, PixelArgmax, Raw, Sigmoid, Softmax
from zoo.contract.targets import Output, OutputKind
from zoo.data.preprocessing import Preprocessing
from zoo.errors import ExportError, UsageError
from zoo.exporting.client_files import runtime_source
from zoo.exporting.export import Bundle
from zoo.runs.load_model import LoadedModel
from zoo.workflows.predict import predict

CLASSES = ("cat", "dog", "owl")
SQUASHED = Preprocessing(channels=1, height=8, width=8, mean=(0.3,), std=(0.4,), resize=runtime.SQUASH)
DECISIONS: dict[str, tuple[Decision, OutputKind]] = {
    "softmax": (Softmax(classes=CLASSES, temperature=1.5, abstain_below=0.4), "vector"),
    "sigmoid": (Sigmoid(classes=CLASSES, thresholds=(0.5, 0.45, 0.55)), "vector"),
    "affine": (
        Affine(names=("age", "size", "angle"), units=("years", "m", ""), scale=(12, 0.3, 90), offset=(40, 1.7, 0)),
        "vector",
    ),
    "exponential": (Affine(names=CLASSES, scale=(1, 2, 3), offset=(0, 0, 1), link="exp", clip=(1.2, 4.5)), "vector"),
    "pixel_argmax": (PixelArgmax(classes=CLASSES), "map"),
    "embedding": (Embedding(), "features"),
    "raw": (Raw(), "map"),
}


class Prepared(OnnxExporter):
    """The real exporter, but a network is traced once for all tests; only the metadata is each export's own."""

    traced: ClassVar[dict[str, bytes]] = {}

    def __init__(self, kind: str) -> None:
        super().__init__(OnnxOptions())
        self.kind = kind

    def write(self, job: ExportJob, path: Path) -> None:
        if self.kind not in self.traced:
            super().write(job, path)
            self.traced[self.kind] = path.read_bytes()
        proto = onnx.load_from_string(self.traced[self.kind])
        helper.set_model_props(proto, dict(job.metadata))
        path.write_bytes(proto.SerializeToString())


class WithoutClient(Prepared):
    """A format that has no predict.py; here the ONNX file taken for one."""

    def client(self, description: JSON) -> dict[str, bytes]:
        return {}


def network(kind: str) -> nn.Module:
    """Two layers with weights; outputs of about 1."""
    torch.manual_seed(0)
    if kind == "map":
        last = nn.Conv2d(4, 3, 1)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), last).eval()
        with torch.no_grad():  # masks of one class alone would hide where a pixel is
            last.bias -= layers(torch.randn(16, 1, 8, 8)).mean((0, 2, 3))  # type: ignore[operator]
        return layers
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


Export = Callable[..., Bundle]


@pytest.fixture
def export(run_export: Callable[..., Bundle], make_loaded: Callable[..., LoadedModel]) -> Export:
    def run(name: str, preprocessing: Preprocessing = SQUASHED, **options: Any) -> Bundle:
        decision, kind = DECISIONS[name]
        loaded = make_loaded(network(kind), classes=(), decision=decision, kind=kind)
        loaded = replace(loaded, preprocessing=preprocessing)
        return run_export(loaded, **{"exporter": Prepared(kind), **options})

    return run


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    numbers = np.random.default_rng(0)
    files = []
    for index, size in enumerate([(8, 8), (20, 12), (9, 31)]):
        files.append(folder / f"{index}.png")
        Image.fromarray(numbers.integers(0, 256, size, dtype=np.uint8)).save(files[-1])
    return files


def by_torch(name: str, images: list[Path]) -> list[np.ndarray]:
    """The answers' numbers, computed with torch alone from inputs made by Pillow."""
    decision, kind = DECISIONS[name]
    found = []
    for file in images:
        with Image.open(file) as image:
            own, wide = image.size, image.resize((8, image.height), Image.Resampling.BILINEAR)
            pixels = np.asarray(wide.resize((8, 8), Image.Resampling.BILINEAR), np.float32)
        with torch.inference_mode():
            outputs = network(kind)(torch.from_numpy((pixels / 255 - 0.3) / 0.4)[None, None])[0].double()
        found.append(numbers_of(decision, outputs, own).numpy())
    return found


def numbers_of(decision: Decision, outputs: Tensor, own: tuple[int, int]) -> Tensor:
    if isinstance(decision, Softmax):
        return torch.softmax(outputs / decision.temperature, 0)
    if isinstance(decision, Sigmoid):
        return torch.sigmoid(outputs)
    if isinstance(decision, Affine):
        linked = outputs if decision.link == "identity" else torch.exp(outputs)
        values = linked * torch.tensor(decision.scale) + torch.tensor(decision.offset)
        return values if decision.clip is None else values.clamp(*decision.clip)
    if isinstance(decision, PixelArgmax):
        width, height = own
        rows, columns = ([int(Fraction(2 * i + 1, 2 * side) * 8) for i in range(side)] for side in (height, width))
        mask = outputs.argmax(0)[rows][:, columns]
        return torch.stack([(mask == index).double().mean() for index in range(len(decision.classes))])
    if isinstance(decision, Embedding):
        return outputs / outputs.norm()
    return outputs.flatten()


def told_by_predict_py(bundle: Bundle, images: list[Path], *more: str) -> tuple[list[str], list[list[str]]]:
    table = images[0].parent.parent / "table.csv"
    done = subprocess.run(
        [sys.executable, bundle.path / "predict.py", *images, "--csv", table, *more],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with table.open(newline="", encoding="utf-8") as stream:
        return done.stdout.splitlines(), list(csv.reader(stream))


@pytest.mark.parametrize("name", DECISIONS)
def test_an_export_is_verified_and_its_predict_py_gives_what_torch_gives(
    export: Export, images: list[Path], name: str
) -> None:
    bundle, (decision, kind) = export(name), DECISIONS[name]
    index = json.loads((bundle.path / "bundle.json").read_text(encoding="utf-8"))
    assert index["format"] == index["description"]["format"] == 3
    assert index["description"]["output"] == {"kind": kind, "decision": json.loads(decision.model_dump_json())}
    real, client = bundle.verification["real"], bundle.verification["predict"]
    assert real["decisions"] == real["decisions_agree"] and real["samples"] == 360
    assert client["decisions"] == client["decisions_agree"] == 27 and client["max_value_error"] < 1e-3
    written = {entry.key: entry.value for entry in onnx.load(bundle.path / "model.onnx").metadata_props}
    assert ("classes" in written) == hasattr(decision, "classes")
    lines, (header, *rows) = told_by_predict_py(bundle, images)
    assert len(lines) == len(rows) == len(images)
    texts = header[1:2] == ["prediction"]
    for row, due in zip(rows, by_torch(name, images), strict=True):
        np.testing.assert_allclose([float(cell) for cell in row[1 + texts :]], due, rtol=2e-5, atol=2e-5)
    card = (bundle.path / "README.md").read_text(encoding="utf-8")
    assert "| prediction |" in card and "logits" not in card.replace("centred logits", "").replace(
        "the logits, centred", ""
    )


@pytest.mark.parametrize("name", DECISIONS)
def test_zoo_predict_and_predict_py_give_the_same(
    export: Export, images: list[Path], tmp_path: Path, name: str
) -> None:
    bundle = export(name)
    _, table = told_by_predict_py(bundle, images)
    found = predict(bundle.path, images)
    found.write_csv(tmp_path / "zoo.csv")
    with (tmp_path / "zoo.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == table
    json.dumps([found.facts(values, 2) for _, values in found.rows])
    if name == "pixel_argmax":
        files = found.write_masks(tmp_path / "masks")
        told_by_predict_py(bundle, images, "--masks", str(tmp_path / "theirs"))
        for file, image in zip(files, images, strict=True):
            with (
                Image.open(file) as one,
                Image.open(tmp_path / "theirs" / file.name) as other,
                Image.open(image) as own,
            ):
                assert one.size == own.size and np.array_equal(np.asarray(one), np.asarray(other))
        with pytest.raises(UsageError, match="Grad-CAM needs a classifier"):
            found.explain(tmp_path / "why.png")
        found.draw(tmp_path / "grid.png")
    else:
        with pytest.raises(UsageError, match=r"has no masks .*--masks"):
            found.write_masks(tmp_path / "masks")


def test_the_command_line_predicts_masks(export: Export, images: list[Path], tmp_path: Path) -> None:
    bundle = export("pixel_argmax")
    command = [sys.executable, "-m", "zoo", "predict", str(bundle.path), *map(str, images)]
    more = ["--csv", str(tmp_path / "t.csv"), "--masks", str(tmp_path / "masks"), "--json"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["decision"], facts["classes"]) == ("pixel_argmax", list(CLASSES))
    for row in facts["predictions"]:
        assert sum(row["shares"].values()) == pytest.approx(1)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").startswith("file,share(cat),share(dog),share(owl)")
    assert sorted(file.name for file in (tmp_path / "masks").iterdir()) == ["0.mask.png", "1.mask.png", "2.mask.png"]


FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "a temperature": ("softmax", {"temperature": 1.4}),
    "the order of classes": ("softmax", {"classes": ["dog", "cat", "owl"]}),
    "a limit for an answer": ("softmax", {"abstain_below": 0.41}),
    "no limit for an answer": ("softmax", {"abstain_below": None}),
    "sigmoid for softmax": ("softmax", {"kind": "sigmoid", "thresholds": [0.5, 0.5, 0.5]}),
    "a threshold": ("sigmoid", {"thresholds": [0.5, 0.46, 0.55]}),
    "a threshold that changes no answer": ("sigmoid", {"thresholds": [0.5, 0.45, 0.5500001]}),
    "two thresholds exchanged": ("sigmoid", {"thresholds": [0.45, 0.5, 0.55]}),
    "labels exchanged": ("sigmoid", {"classes": ["cat", "owl", "dog"]}),
    "a scale": ("affine", {"scale": [12, 0.301, 90]}),
    "an offset": ("affine", {"offset": [40, 1.71, 0]}),
    "names exchanged": ("affine", {"names": ["size", "age", "angle"]}),
    "a unit": ("affine", {"units": ["months", "m", ""]}),
    "a link": ("affine", {"link": "exp"}),
    "a clip": ("exponential", {"clip": [1.2, 4.4]}),
    "no clip": ("exponential", {"clip": None}),
    "classes of pixels exchanged": ("pixel_argmax", {"classes": ["dog", "cat", "owl"]}),
    "the size of the mask": ("pixel_argmax", {"size": "input"}),
    "a gallery": ("embedding", {"gallery": "vectors.npy"}),
    "an embedding for raw values": ("raw", {"kind": "embedding", "gallery": None}),
}


@pytest.mark.parametrize(("name", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_a_wrong_decision_is_refused_and_nothing_is_published(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fault: dict[str, Any]
) -> None:
    describe = zoo.exporting.export.describe

    def wrongly(*given: Any) -> dict[str, Any]:
        description = describe(*given)
        decision = {**description["output"]["decision"], **fault}
        if "kind" in fault:
            decision = {field: decision[field] for field in ("kind", *runtime.FIELDS[fault["kind"]])}
        return {**description, "output": {**description["output"], "decision": decision}}

    monkeypatch.setattr(zoo.exporting.export, "describe", wrongly)
    with pytest.raises(ExportError, match=r"predict\.py .*the description is wrong: \w+ differs") as caught:
        export(name)
    assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()


FAULTY: dict[str, tuple[str, str, str]] = {
    "labels below their threshold": ("sigmoid", "np.flatnonzero(values >=", "np.flatnonzero(values <"),
    "thresholds in another order": ("sigmoid", 'decision["thresholds"], np.float64', 'decision["thresholds"][::-1]'),
    "no offset": ("affine", 'values + np.asarray(decision["offset"], np.float64)', "values"),
    "no clip": ("exponential", "values if clip is None else", "values if True else"),
    "a mask on its side": ("pixel_argmax", "outputs.argmax(axis=1)", "outputs.argmax(axis=1).transpose(0, 2, 1)"),
    "a mirrored mask": ("pixel_argmax", "outputs.argmax(axis=1)", "outputs.argmax(axis=1)[:, :, ::-1]"),
    "no length of 1": ("embedding", "exact / np.where(norms > 0, norms, 1)", "exact"),
    "values in another order": ("raw", "values.ravel()", "values.T.ravel()"),
}


@pytest.mark.parametrize(("name", "right", "wrong"), FAULTY.values(), ids=FAULTY.keys())
def test_a_predict_py_that_decides_otherwise_is_refused(
    export: Export, monkeypatch: pytest.MonkeyPatch, name: str, right: str, wrong: str
) -> None:
    source = runtime_source().decode()
    assert right in source
    monkeypatch.setattr(zoo_onnx.exporter, "runtime_source", source.replace(right, wrong).encode)
    with pytest.raises(ExportError, match=r"the bundle's predict\.py .* fix: nothing was published; report this"):
        export(name)


@pytest.mark.parametrize("name", ["pixel_argmax", "affine"])
def test_another_format_is_verified_by_its_exporters_runner(export: Export, name: str) -> None:
    bundle = export(name, exporter=WithoutClient(DECISIONS[name][1]))
    assert bundle.verification["predict"]["decisions_agree"] == 27
    assert not (bundle.path / "predict.py").exists()


def test_masks_keep_the_size_of_the_input_where_images_are_cropped(export: Export, images: list[Path]) -> None:
    bundle = export("pixel_argmax", SQUASHED.model_copy(update={"resize": runtime.COVER}))
    assert {values.shape for _, values in predict(bundle.path, images).rows} == {(8, 8)}


@pytest.mark.parametrize("name", ["pixel_argmax", "affine"])
def test_a_wrong_weight_is_found_whatever_the_decision(export: Export, tmp_path: Path, name: str) -> None:
    class Faulty(OnnxExporter):
        def write(self, job: ExportJob, path: Path) -> None:
            super().write(job, path)
            proto = onnx.load(path)
            weights = [tensor for tensor in proto.graph.initializer if len(tensor.dims) > 1]
            values = onnx.numpy_helper.to_array(weights[-1])
            weights[-1].CopyFrom(onnx.numpy_helper.from_array(values * np.float32(1.01), weights[-1].name))
            onnx.save(proto, path)

    last = r"2 \(Conv2d\)" if name == "pixel_argmax" else r"3 \(Linear\)"
    with pytest.raises(ExportError, match=f"first mismatch: {last}"):
        export(name, exporter=Faulty(OnnxOptions()))
    assert not (tmp_path / "out").exists()


def test_outputs_that_the_decision_cannot_be_made_on_are_refused(
    run_export: Callable[..., Bundle], make_loaded: Callable[..., LoadedModel]
) -> None:
    loaded = make_loaded(network("vector"), classes=(), decision=DECISIONS["affine"][0])
    with pytest.raises(ExportError, match="a map output has no decision affine"):
        run_export(replace(loaded, output=Output(kind="map")))
    with pytest.raises(
        ExportError, match=r"gives \(2, 3\) where \(2, 2\) is due for the decision softmax \(2 classes\)"
    ):
        run_export(replace(loaded, decision=Softmax(classes=("a", "b"))))
    half = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    masks = make_loaded(half, classes=(), decision=DECISIONS["pixel_argmax"][0], kind="map")
    with pytest.raises(ExportError, match=r"gives \(2, 3, 6, 6\) where \(2, 3, 8, 8\) is due"):
        run_export(masks)
