"""Small bundles of every resize policy and decision, with the client and bundle.json that `zoo export` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from zoo import runtime
from zoo.api import Affine, Decision, Embedding, OutputKind, PixelArgmax, Raw, Sigmoid, Softmax
from zoo.config.item_options import build_exporter
from zoo.data.preprocessing import Preprocessing
from zoo.exporting.bundle import Staged
from zoo.exporting.decision_rules import as_json
from zoo.registry.lookup import registry

HEIGHT, WIDTH = 7, 9
CLASSES = ("cat", "=owl", "dog, brown", "Käfer")
VALUES = {"names": CLASSES, "scale": (2.5, -1, 0.25, 1), "offset": (0, 1, -3, 0.5)}
SQUASH = {"resize": runtime.SQUASH}


class Case(NamedTuple):
    decision: Decision
    preprocessing: dict[str, Any] = {}  # noqa: RUF012
    kind: OutputKind = "vector"
    batch: int | None = None


SOFTMAX = Softmax(classes=CLASSES)
CASES = {
    "cover": Case(SOFTMAX),
    "cover bicubic grey": Case(SOFTMAX, {"channels": 1, "interpolation": "bicubic"}),
    "cover with scale": Case(SOFTMAX, {"scale": 12, "interpolation": "bicubic"}),
    "cover with an odd scale, grey": Case(SOFTMAX, {"channels": 1, "scale": 13}),
    "squash": Case(SOFTMAX, {**SQUASH, "interpolation": "bicubic"}),
    "crop with padding": Case(SOFTMAX, {"resize": runtime.CROP}),
    "crop with padding, grey": Case(SOFTMAX, {"resize": runtime.CROP, "channels": 1}),
    "permuted pixels": Case(SOFTMAX, {"permute_pixels": 20_011}),
    "permuted grey pixels": Case(SOFTMAX, {"permute_pixels": 7, "channels": 1, **SQUASH}),
    "a range of 0 to 1": Case(SOFTMAX, {"channels": 1, "value_range": (0, 1)}),
    "a range of -10 to 999.5": Case(SOFTMAX, {"channels": 1, "value_range": (-10, 999.5)}),
    "few pixels": Case(SOFTMAX, {"max_pixels": 1400}),
    "softmax with temperature and abstention": Case(Softmax(classes=CLASSES, temperature=2.5, abstain_below=0.42)),
    "sigmoid": Case(Sigmoid(classes=CLASSES, thresholds=(0.5, 0.25, 0.61, 1))),
    "affine": Case(Affine(units=("m", "", "°C", "kg"), **VALUES)),
    "affine exp with clip": Case(Affine(**VALUES, link="exp", clip=(-2, 3))),
    "affine sigmoid": Case(Affine(**VALUES, link="sigmoid"), SQUASH, batch=5),
    "masks of the image's size": Case(PixelArgmax(classes=CLASSES), SQUASH, "map"),
    "masks of the input's size": Case(PixelArgmax(classes=CLASSES, size="input"), SQUASH, "map"),
    "masks of cropped images": Case(PixelArgmax(classes=CLASSES), {"channels": 1}, "map"),
    "embedding": Case(Embedding(), {}, "features"),
    "raw vector": Case(Raw()),
    "raw map": Case(Raw(), SQUASH, "map"),
}


def write_bundle(folder: Path, case: Case, **preprocessing: Any) -> Path:
    """Write a bundle that was not verified; returns the folder."""
    channels = case.preprocessing.get("channels", 3)
    given = {
        "channels": channels,
        "height": HEIGHT,
        "width": WIDTH,
        "mean": (0.485, 0.456, 0.406)[:channels],
        "std": (0.229, 0.224, 0.225)[:channels],
    }
    spec = Preprocessing.model_validate({**given, **case.preprocessing, **preprocessing}).describe()
    spec.update({} if case.batch is None else {"batch": case.batch}, steps=runtime.preprocessing_steps(spec))
    description = {
        "format": 3,
        "name": "small",
        "summary": "A network of one layer",
        "input": spec,
        "output": {"kind": case.kind, "decision": as_json(case.decision)},
        "provenance": {"kind": "run"},
    }
    folder.mkdir(parents=True)
    onnx.save(network(case, channels), folder / "model.onnx")
    item = registry().exporter("onnx")
    Staged(folder, folder / "model.onnx", item, build_exporter(item), description, {})
    return folder


def network(case: Case, channels: int) -> onnx.ModelProto:
    """One layer of random weights, a convolution for maps."""
    numbers, batch = np.random.default_rng(channels), case.batch or "batch"
    if case.kind == "map":
        weights, bias = numbers.normal(0, 0.5, (len(CLASSES), channels, 3, 3)), np.zeros(len(CLASSES))
        nodes = [helper.make_node("Conv", ["input", "weights", "bias"], ["output"], pads=[1, 1, 1, 1])]
        shape = [batch, len(CLASSES), HEIGHT, WIDTH]
    else:
        size = channels * HEIGHT * WIDTH
        weights, bias = numbers.normal(0, size**-0.5, (size, len(CLASSES))), np.array([0.1, 0.3, -0.2, 0])
        nodes = [
            helper.make_node("Flatten", ["input"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights", "bias"], ["output"]),
        ]
        shape = [batch, len(CLASSES)]
    constants = [
        numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in (("weights", weights), ("bias", bias))
    ]
    inputs = helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, HEIGHT, WIDTH])
    outputs = helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "small", [inputs], [outputs], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
