from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from onnx.external_data_helper import set_external_data
from torch import Tensor, nn
from zoo_onnx.exporter import build
from zoo_onnx.first_mismatch import FUSION
from zoo_onnx.onnx_file import DEFAULT_OPSET

from zoo.api import EmitRequest, Options
from zoo.errors import ExportError, SetupError, UsageError

PLAIN = EmitRequest(None, None, {"zoo": "{}"})
EXPORTER = build(Options())


class Call(nn.Module):
    """One function of tensors, as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Net(nn.Module):
    """Takes (B, 1, 8, 8). A module that is called twice, functions between modules, and one odd module."""

    def __init__(self, odd: Callable[[Tensor], Tensor] = torch.neg) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.odd = Call(odd)
        self.square = nn.Linear(144, 16)
        self.twice = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.odd(self.trunk(inputs)).flatten(1)  # (B, 4, 6, 6) → (B, 144)
        hidden = F.hardswish(self.square(hidden) * 1.5)
        logits: Tensor = self.head(torch.tanh(self.twice(torch.tanh(self.twice(hidden)))))
        return logits


def emit(path: Path, model: nn.Module | None = None, request: EmitRequest = PLAIN) -> Path:
    EXPORTER.emit((model or Net()).eval(), torch.zeros(2, 1, 8, 8), path, request)
    return path


def edit(path: Path, name: str | None, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change an initializer of a file; without a name, its scalar constant."""
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name == name or (name is None and values.dtype == np.float32 and values.ndim == 0):
            tensor.CopyFrom(numpy_helper.from_array(np.array(change(values), order="C"), tensor.name))
            onnx.save(proto, path)
            return
    raise AssertionError(f"no initializer {name}")


# ----------------------------------------------------------------------------------------------------------------- emit


@pytest.mark.parametrize("opset", [None, 15, 17, 18, 21, 25])
def test_the_opset_asked_for_is_the_one_written_and_the_file_computes_the_same(
    tmp_path: Path, opset: int | None
) -> None:
    request = EmitRequest(opset, None, {"zoo": '{"ä": 1}'})
    model = Net().eval()
    path = emit(tmp_path / "model.onnx", model, request)
    assert EXPORTER.check(path, request)["opset"] == (opset or DEFAULT_OPSET)
    runner = EXPORTER.runner(path, "cpu")
    for batch in (1, 2, 7):
        inputs = torch.randn(batch, 1, 8, 8)
        with torch.no_grad():
            np.testing.assert_allclose(runner(inputs.numpy()), model(inputs).numpy(), atol=1e-5)


@pytest.mark.parametrize("opset", [3, 14, 26, 99])
def test_an_opset_out_of_range_is_refused_with_the_range(tmp_path: Path, opset: int) -> None:
    with pytest.raises(ExportError, match=f"opset {opset} is not available.*from 15 to 25"):
        emit(tmp_path / "model.onnx", request=EmitRequest(opset, None, {}))
    assert list(tmp_path.iterdir()) == []


def branch(inputs: Tensor) -> Tensor:
    return inputs * 2 if inputs.sum() > 0 else inputs


def lists(inputs: Tensor) -> Tensor:
    return torch.from_numpy(inputs.numpy() * 2)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (torch.special.airy_ai, r"operator aten\.special_airy_ai has no ONNX equivalent \(odd \(Call\)\)"),
        (branch, r"data-dependent control flow, which a graph cannot represent \(odd \(Call\)\)"),
        (lists, r"cannot be traced: .*numpy.*\(odd \(Call\)\)"),
        (lambda x: x.view(2, 4, 6, 6), r"works only for a batch of 2; fix: export with --batch 2"),
    ],
    ids=[
        "an unsupported operator",
        "a data-dependent branch",
        "a detour through numpy",
        "a batch that is fixed in the code",
    ],
)
def test_what_cannot_be_exported_is_named_in_one_line_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], odd: Callable[[Tensor], Tensor], message: str
) -> None:
    with pytest.raises(ExportError, match=message) as caught:
        emit(tmp_path / "model.onnx", Net(odd))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_batch_is_dynamic_by_its_name_or_fixed_as_asked(tmp_path: Path) -> None:
    shapes = []
    for batch in (None, 5):
        request = EmitRequest(None, batch, {})
        path = emit(tmp_path / "model.onnx", request=request)
        EXPORTER.check(path, request)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        shapes.append([session.get_inputs()[0].shape, session.get_outputs()[0].shape])
        with pytest.raises(ExportError, match="batch"):
            EXPORTER.check(path, EmitRequest(None, 4, {}))
    assert shapes == [[["batch", 1, 8, 8], ["batch", 10]], [[5, 1, 8, 8], [5, 10]]]


def test_weights_over_the_limit_lie_in_a_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo_onnx.onnx_file.IN_FILE_BYTES", 1000)
    model = Net().eval()
    path = emit(tmp_path / "model.onnx", model)
    facts = EXPORTER.check(path, PLAIN)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.layers.json", "model.onnx", "model.onnx.data"]
    assert facts["size_bytes"] == sum(file.stat().st_size for file in tmp_path.glob("model.onnx*"))
    inputs = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        np.testing.assert_allclose(EXPORTER.runner(path, "cpu")(inputs.numpy()), model(inputs).numpy(), atol=1e-5)


# As https://github.com/onnx/onnx/blob/main/docs/Versioning.md pairs them.
@pytest.mark.parametrize(("opset", "ir_version"), [(15, 8), (18, 8), (19, 9), (20, 9), (21, 10), (25, 13)])
def test_the_ir_version_is_the_lowest_that_the_opset_allows(tmp_path: Path, opset: int, ir_version: int) -> None:
    request = EmitRequest(opset, None, {})
    path = emit(tmp_path / "model.onnx", request=request)
    assert EXPORTER.check(path, request)["ir_version"] == ir_version
    proto = onnx.load(path)
    proto.ir_version = ir_version + 1
    onnx.save(proto, path)
    ours = f"IR version {ir_version + 1} where opset {opset} needs no more than {ir_version}"
    of_onnx = "is higher than the checker's"  # an older onnx does not know the next version
    with pytest.raises(ExportError, match=ours if ir_version < onnx.IR_VERSION else of_onnx):
        EXPORTER.check(path, request)


def branches(inputs: Tensor) -> Tensor:
    found: Tensor = torch.cond(inputs.sum() > 0, lambda x: x * 2, lambda x: x - 1, (inputs,))
    return found


def notes_in(graph: onnx.GraphProto) -> int:
    """Entries of ``metadata_props`` below the model itself, which only IR version 10 has."""
    noted = (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    inner = [attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g")]
    return sum(len(each.metadata_props) for each in noted) + sum(map(notes_in, inner))


def test_what_needs_a_newer_ir_version_stands_beside_the_file(tmp_path: Path) -> None:
    path = emit(tmp_path / "model.onnx", Net(branches))
    proto = onnx.load(path)
    assert "If" in {node.op_type for node in proto.graph.node}
    assert notes_in(proto.graph) == 0
    assert sum(len(each.metadata_props) for function in proto.functions for each in (function, *function.node)) == 0
    layers = json.loads((tmp_path / "model.layers.json").read_text(encoding="utf-8"))
    assert layers.keys() == {node.output[0] for node in proto.graph.node}
    assert {"trunk.1", "square", "twice", "head"} <= set(layers.values())


# ---------------------------------------------------------------------------------------------------------------- check


def point_outside(proto: onnx.ModelProto, location: str) -> None:
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    set_external_data_of(tensor, location)


def set_external_data_of(tensor: onnx.TensorProto, location: str) -> None:
    tensor.raw_data = b"\0"  # set_external_data asks for some
    set_external_data(tensor, location=location)
    tensor.ClearField("raw_data")


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "sub/../../weights.bin"])
def test_external_data_outside_of_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\0" * 4096)
    folder = tmp_path / "bundle"
    folder.mkdir()
    path = emit(folder / "model.onnx")
    proto = onnx.load(path)
    point_outside(proto, location)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExportError, match="lie outside the bundle"):
        EXPORTER.check(path, PLAIN)


def set_opset(proto: onnx.ModelProto) -> None:
    proto.opset_import[0].version = 19


def drop_metadata(proto: onnx.ModelProto) -> None:
    del proto.metadata_props[:]


def alter_metadata(proto: onnx.ModelProto) -> None:
    proto.metadata_props[0].value = "{ }"


def break_graph(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (set_opset, "the file has opset 19, not 18 as requested"),
        (drop_metadata, "'zoo' is missing from"),
        (alter_metadata, "'zoo' is altered in"),
        (break_graph, "fails onnx's checker"),
    ],
)
def test_a_file_that_is_not_what_was_asked_for_is_refused(
    tmp_path: Path, fault: Callable[[onnx.ModelProto], None], message: str
) -> None:
    path = emit(tmp_path / "model.onnx")
    proto = onnx.load(path)
    fault(proto)
    onnx.save(proto, path)
    with pytest.raises(ExportError, match=message):
        EXPORTER.check(path, PLAIN)


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff\xfe no model")
    with pytest.raises(ExportError, match="not an ONNX file"):
        EXPORTER.check(path, PLAIN)
    with pytest.raises(ExportError, match="cannot load"):
        EXPORTER.runner(path, "cpu")


# --------------------------------------------------------------------------------------------------------------- runner


def test_the_provider_asked_for_is_the_one_that_runs_or_an_error(tmp_path: Path) -> None:
    path = emit(tmp_path / "model.onnx")
    assert EXPORTER.runner(path, "cpu").provider == "cpu"
    with pytest.raises(UsageError, match="no provider is called 'tpu'"):
        EXPORTER.runner(path, "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(SetupError, match="CUDAExecutionProvider"):
            EXPORTER.runner(path, "cuda")


@pytest.mark.gpu
@pytest.mark.onnxruntime_cuda
def test_on_cuda_the_file_computes_the_same(tmp_path: Path) -> None:
    model = Net().eval()
    path = emit(tmp_path / "model.onnx", model)
    inputs = torch.randn(7, 1, 8, 8)
    with torch.no_grad():
        expected = model(inputs).numpy()
    found = EXPORTER.runner(path, "cuda")(inputs.numpy())
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


# ------------------------------------------------------------------------------------------------------- first mismatch


def mismatch(path: Path) -> str | None:
    return EXPORTER.first_mismatch(
        path, Net().eval(), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1)), 1e-4
    )


@pytest.mark.parametrize(
    ("opset", "name", "change", "layer"),
    [
        (18, "square.weight", lambda w: w * np.float32(1.1), r"square \(Linear\)"),
        (18, "twice.weight", lambda w: w.T, r"twice \(Linear\)"),
        (15, "twice.weight", lambda w: w.T, r"twice \(Linear\)"),
        (25, "head.bias", lambda b: b + np.float32(1), r"head \(Linear\)"),
        # the convolution before it is folded into it
        (
            18,
            "trunk.0.weight",
            lambda w: -w,
            r"trunk\.1 \(BatchNorm2d\)",
        ),
        (18, None, lambda c: c * np.float32(2), r"Mul 'mul\w*', called by Net"),
    ],
)
def test_the_first_layer_that_departs_is_named(
    tmp_path: Path, opset: int, name: str | None, change: Callable[[np.ndarray], np.ndarray], layer: str
) -> None:
    path = emit(tmp_path / "model.onnx", request=EmitRequest(opset, None, {}))
    assert mismatch(path) is None
    edit(path, name, change)
    assert re.fullmatch(layer, str(mismatch(path)))


def test_a_fault_of_the_optimiser_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stood in for by an optimised session that gives wrong logits: a real one has no such fault at hand."""
    import zoo_onnx.first_mismatch as module

    path = emit(tmp_path / "model.onnx")
    real = module.open_session

    class Wrong:
        def run(self, *_: object) -> list[np.ndarray]:
            return [np.ones((2, 10), np.float32)]

    monkeypatch.setattr(
        module, "open_session", lambda path, *, optimised: Wrong() if optimised else real(path, optimised=False)
    )
    assert mismatch(path) == FUSION
