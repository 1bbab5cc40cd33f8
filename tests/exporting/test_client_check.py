"""The gate runs the bundle's predict.py on image files: a description that says another preparation than the model was
trained with is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
import torch
import zoo_onnx.exporter
from onnx import helper
from torch import nn
from zoo_onnx.client import OnnxRunner
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.options import OnnxOptions

import zoo.exporting.export
import zoo.runtime
from zoo.api import JSON, ExportJob
from zoo.data.preprocessing import Preprocessing
from zoo.errors import ExportError
from zoo.exporting.client_files import runtime_source
from zoo.exporting.export import Bundle
from zoo.runs.load_model import LoadedModel

CLASSES = ("cat", "dog", "owl", "yak")
RGB = Preprocessing(channels=3, height=12, width=10, mean=(0.2, 0.5, 0.7), std=(0.3, 0.2, 0.1), scale=14)
GREY = Preprocessing(
    channels=1,
    height=12,
    width=10,
    mean=(0.4,),
    std=(0.2,),
    resize="squash to the size",
    interpolation="bicubic",
    value_range=(-3, 4095),
)
Fault = Callable[[dict[str, Any]], object]


class Prepared(OnnxExporter):
    """The real exporter, but the network is traced once for all tests; only the metadata is each export's own."""

    traced: ClassVar[dict[int, bytes]] = {}

    def __init__(self) -> None:
        super().__init__(OnnxOptions())

    def write(self, job: ExportJob, path: Path) -> None:
        channels = job.example.shape[1]
        if channels not in self.traced:
            super().write(job, path)
            self.traced[channels] = path.read_bytes()
        proto = onnx.load_from_string(self.traced[channels])
        helper.set_model_props(proto, dict(job.metadata))
        path.write_bytes(proto.SerializeToString())


class WithoutClient(Prepared):
    """A format that has no predict.py; here the ONNX file taken for one."""

    def client(self, description: JSON) -> dict[str, bytes]:
        return {}


def network(channels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 8, len(CLASSES)))


@pytest.fixture
def export(run_export: Callable[..., Bundle], make_loaded: Callable[..., LoadedModel]) -> Callable[..., Bundle]:
    def run(preprocessing: Preprocessing = RGB, **options: Any) -> Bundle:
        loaded = replace(make_loaded(network(preprocessing.channels), classes=CLASSES), preprocessing=preprocessing)
        return run_export(loaded, **{"exporter": Prepared(), **options})

    return run


@pytest.mark.parametrize(
    "preprocessing",
    [RGB, GREY, RGB.model_copy(update={"permute_pixels": 5}), GREY.model_copy(update={"resize": zoo.runtime.CROP})],
)
def test_what_predict_py_gave_stands_in_the_verification(
    export: Callable[..., Bundle], preprocessing: Preprocessing
) -> None:
    bundle = export(preprocessing)
    found = json.loads((bundle.path / "verify.json").read_text(encoding="utf-8"))["predict"]
    assert found["images"] == found["decisions_agree"] == found["real"] + 7
    assert found["real"] == 20
    assert found["max_value_error"] < 1e-5


FAULTS: dict[str, Fault] = {
    "a mean": lambda d: d["input"].update(mean=[0.2, 0.5, 0.69]),
    "means of the channels in another order": lambda d: d["input"].update(mean=[0.7, 0.5, 0.2]),
    "a std": lambda d: d["input"].update(std=[0.3, 0.21, 0.1]),
    "the classes reversed": lambda d: d["output"]["decision"]["classes"].reverse(),
    "two classes exchanged": lambda d: d["output"]["decision"].update(classes=["cat", "owl", "dog", "yak"]),
    "the order of the channels": lambda d: d["input"].update(channel_order="BGR"),
    "the range of the values": lambda d: d["input"].update(range=[0, 255]),
    "the layout": lambda d: d["input"].update(layout="NHWC"),
    "squashed": lambda d: d["input"].update(resize=zoo.runtime.SQUASH),
    "cropped unscaled": lambda d: d["input"].update(resize=zoo.runtime.CROP),
    "another shorter side": lambda d: d["input"].update(scale=15),
    "no shorter side": lambda d: d["input"].update(scale=None),
    "the interpolation": lambda d: d["input"].update(interpolation="bicubic"),
    "height and width exchanged": lambda d: d["input"].update(height=10, width=12),
    "permuted pixels": lambda d: d["input"].update(permute_pixels=1),
    "one channel": lambda d: d["input"].update(channels=1, mean=[0.5], std=[0.2], channel_order="grey"),
}


def wider(description: dict[str, Any]) -> None:
    """What grey of more than 8 bits becomes."""
    description["input"].update(value_range=[-3, 65535])


@pytest.mark.parametrize(
    ("preprocessing", "fault"),
    [*((RGB, fault) for fault in FAULTS.values()), (GREY, wider)],
    ids=[*FAULTS, "a range of values"],
)
def test_a_description_that_is_wrong_is_refused_and_nothing_is_published(
    export: Callable[..., Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    preprocessing: Preprocessing,
    fault: Fault,
) -> None:
    describe = zoo.exporting.export.describe

    def wrongly(*given: Any) -> dict[str, Any]:
        description = json.loads(json.dumps(describe(*given)))
        fault(description)
        return dict(description)

    monkeypatch.setattr(zoo.exporting.export, "describe", wrongly)
    with pytest.raises(
        ExportError, match=r"the bundle's predict\.py .* fix: nothing was published; the description is wrong: "
    ) as caught:
        export(preprocessing)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (5, False)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (".transpose(0, 3, 1, 2)", ".transpose(0, 3, 1, 2)[:, ::-1]"),
        ("np.float32(255) - centre", "np.float32(256) - centre"),
        ("best, least = int(values.argmax())", "best, least = int(values.argmin())"),
    ],
    ids=["channels", "scale", "labels"],
)
def test_a_fault_of_the_client_itself_is_refused(
    export: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch, right: str, wrong: str
) -> None:
    source = runtime_source().decode()
    assert right in source
    monkeypatch.setattr(zoo_onnx.exporter, "runtime_source", source.replace(right, wrong).encode)
    with pytest.raises(ExportError, match=r"the bundle's predict\.py .* fix: nothing was published; report this"):
        export()


def test_another_format_is_run_by_its_exporter_on_what_zoo_predict_makes_of_files(
    export: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    call = OnnxRunner.__call__

    def count(self: OnnxRunner, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        batches.append(len(inputs["input"]))
        return call(self, inputs)

    monkeypatch.setattr(OnnxRunner, "__call__", count)
    assert export(exporter=WithoutClient()).verification["predict"]["decisions_agree"] == 27
    assert batches[-1] == 27


def test_a_fault_of_zoo_predict_is_refused_for_another_format(
    export: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inputs of training are normalised by torch, those of a bundle by the runtime."""
    normalise = zoo.runtime.normalise
    monkeypatch.setattr(zoo.runtime.preprocessing, "normalise", lambda *given: normalise(*given) * np.float32(1.01))
    with pytest.raises(
        ExportError,
        match=r"`zoo predict` with this bundle differs from PyTorch for an image file.*"
        r"fix: nothing was published; report this",
    ):
        export(exporter=WithoutClient())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [(KeyError("output"), "fails: .*cannot be run on inputs of the shape"), (None, "differs from PyTorch")],
    ids=["fails", "is wrong"],
)
def test_a_runner_that_is_wrong_for_image_files_alone_is_refused(
    export: Callable[..., Bundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, said: str
) -> None:
    """27 images are the only batch of that size."""
    call = OnnxRunner.__call__

    def wrong(self: OnnxRunner, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = call(self, inputs)
        if len(inputs["input"]) != 27:
            return outputs
        if error is not None:
            raise error
        return {**outputs, "output": outputs["output"][:, ::-1]}

    monkeypatch.setattr(OnnxRunner, "__call__", wrong)
    with pytest.raises(ExportError, match=rf"`zoo predict` with this bundle {said}") as caught:
        export(exporter=WithoutClient())
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (5, False)
    assert not (tmp_path / "out").exists()
