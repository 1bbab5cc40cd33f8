from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from zoo_onnx.client import OnnxRunner
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.options import OnnxOptions

from zoo.api import Event, Exported, ExportJob
from zoo.contract.decisions import Raw, Softmax
from zoo.errors import CheckpointError, ConfigError, ExportError, SetupError, UsageError
from zoo.exporting.export import Bundle
from zoo.exporting.output_comparison import Comparison
from zoo.registry.event_delivery import ListenerFault
from zoo.registry.lookup import registry
from zoo.runs.load_model import LoadedModel
from zoo.support.atomic_files import sha256

THREE = Softmax(classes=("a", "b", "c"))
RunExport = Callable[..., Bundle]
MakeLoaded = Callable[..., LoadedModel]


class Faulty(OnnxExporter):
    """The real exporter, whose files are spoilt by ``fault`` after they are written."""

    def __init__(self, fault: Callable[[onnx.ModelProto], None]) -> None:
        super().__init__(OnnxOptions())
        self.fault = fault

    def write(self, job: ExportJob, path: Path) -> None:
        super().write(job, path)
        proto = onnx.load(path)
        self.fault(proto)
        onnx.save(proto, path)


def change(name: str | None, edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[onnx.ModelProto], None]:
    """Edit an initializer; without a name the float constant that no module owns."""

    def fault(proto: onnx.ModelProto) -> None:
        for tensor in proto.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if tensor.name == name or (name is None and values.dtype == np.float32 and values.ndim == 0):
                tensor.CopyFrom(numpy_helper.from_array(np.array(edit(values), order="C"), tensor.name))
                return
        raise AssertionError(f"no initializer {name}")

    return fault


@pytest.mark.parametrize(
    ("fault", "layer"),
    [
        (change("square.weight", lambda w: w.T), r"square \(Linear\)"),
        (change("head.bias", lambda b: b + np.float32(0.001) * np.arange(10, dtype=np.float32)), r"head \(Linear\)"),
        (change(None, lambda c: c * np.float32(1.01)), r"Mul '\w+', called by Small"),
        # the convolution is folded into it
        (
            change("conv.weight", lambda w: w * np.float32(np.nan)),
            r"norm \(BatchNorm2d\)",
        ),
    ],
    ids=["a transposed weight", "a wrong bias", "a wrong constant", "NaN in the file"],
)
def test_a_planted_fault_fails_the_gate_names_the_layer_and_publishes_nothing(
    run_export: RunExport, tmp_path: Path, fault: Callable[[onnx.ModelProto], None], layer: str
) -> None:
    with pytest.raises(ExportError, match=f"first mismatch: {layer}") as caught:
        run_export(exporter=Faulty(fault))
    assert caught.value.exit_code == 5
    assert [path for path in tmp_path.iterdir() if "out" in path.name] == []


class Rounding(nn.Module):
    """Loses all but whole numbers of its logits, in float32; float64 has room for them."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs.flatten(1)) + 1e7
        return logits - 1e7


def test_a_network_that_multiplies_rounding_is_told_from_a_wrong_file(
    run_export: RunExport, make_loaded: MakeLoaded
) -> None:
    wrong = Faulty(change("head.bias", lambda b: b + 5 * np.arange(10, dtype=np.float32)))
    with pytest.raises(
        ExportError,
        match=r"in PyTorch itself, float32 differs from float64 by .* amplifies rounding errors .*train it longer",
    ):
        run_export(make_loaded(Rounding()), exporter=wrong)
    with pytest.raises(ExportError) as caught:
        run_export(exporter=wrong)
    assert "uncertain" not in str(caught.value)


class Offset(nn.Module):
    """Logits that differ by about 1 and have 100 in common."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs.flatten(1)) + 100
        return logits


def test_an_offset_that_all_logits_share_hides_no_error(run_export: RunExport, make_loaded: MakeLoaded) -> None:
    one_class = np.eye(10, dtype=np.float32)[3] * np.float32(0.005)  # half of 1e-4 of 100
    with pytest.raises(ExportError, match=r"tolerance 0\.0001; first mismatch: .*(Add|head|output)"):
        run_export(make_loaded(Offset()), exporter=Faulty(change("head.bias", lambda b: b + one_class)))


def test_an_offset_that_all_logits_share_is_no_error(run_export: RunExport) -> None:
    """Softmax ignores it: predictions are the same."""
    assert (
        run_export(exporter=Faulty(change("head.bias", lambda b: b + np.float32(0.5)))).verification["real"][
            "max_abs_error"
        ]
        < 1e-4
    )


class WrongAtBatch(OnnxExporter):
    """The real exporter, whose runner is wrong at one batch size, on normalised images alone: no pixel of these is
    below (0 - 0.3) / 0.4."""

    def __init__(self, batch: int) -> None:
        super().__init__(OnnxOptions())
        self.batch = batch

    def open(self, path: Path, provider: str, threads: int | None = None) -> OnnxRunner:
        batch = self.batch

        class Runner(OnnxRunner):
            def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
                images = inputs["input"]
                wrong = np.float32(len(images) == batch and images.min() > -0.76)
                outputs = super().__call__(inputs)
                return {**outputs, "output": outputs["output"] + wrong * np.arange(10, dtype=np.float32)}

        return Runner(path, provider, threads)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_real_samples_are_compared_at_every_batch(run_export: RunExport, tmp_path: Path, batch: int) -> None:
    with pytest.raises(ExportError, match=rf"largest error .* \(datasets/digits, batch {batch}\)"):
        run_export(exporter=WrongAtBatch(batch))
    assert not (tmp_path / "out").exists()


def test_an_accuracy_that_drops_by_more_than_the_tolerance_explains_is_refused(
    run_export: RunExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Comparison, "drop", lambda _: "of 360 samples, some are lost")
    with pytest.raises(
        ExportError, match=r"worse than the PyTorch model: of 360 samples, some are lost \(datasets/digits\)"
    ) as caught:
        run_export()
    assert caught.value.exit_code == 5
    assert not (tmp_path / "out").exists()


def test_a_planted_fault_leaves_the_bundle_that_was_there(run_export: RunExport, tmp_path: Path) -> None:
    before = {file.name: sha256(file) for file in run_export().path.iterdir()}
    with pytest.raises(ExportError):
        run_export(exporter=Faulty(change("square.weight", lambda w: w.T)))
    assert {file.name: sha256(file) for file in (tmp_path / "out").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


class Logarithm(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.log(inputs)


def test_nan_on_both_sides_is_a_fault_and_names_where_it_arises(
    run_export: RunExport, make_loaded: MakeLoaded, tmp_path: Path
) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), Logarithm(), nn.Linear(10, 10))
    with pytest.raises(
        ExportError, match=r"PyTorch and of the exported model are not finite; first mismatch: 2 \(Logarithm\)"
    ):
        run_export(make_loaded(network))
    assert not (tmp_path / "out").exists()


def test_a_weight_that_is_not_finite_is_refused_before_anything_is_written(
    run_export: RunExport, make_loaded: MakeLoaded, tmp_path: Path
) -> None:
    loaded = make_loaded()
    with torch.no_grad():
        loaded.model.get_parameter("head.bias")[3] = float("nan")
    with pytest.raises(CheckpointError, match=r"'head\.bias' has values that are not finite") as caught:
        run_export(loaded)
    assert caught.value.exit_code == 4


def test_a_model_in_training_mode_is_set_to_evaluation_and_it_is_said(
    run_export: RunExport, make_loaded: MakeLoaded
) -> None:
    loaded = make_loaded()
    mean = loaded.model.get_buffer("norm.running_mean").clone()
    loaded.model.train()
    bundle = run_export(loaded)
    assert any("evaluation mode" in note for note in bundle.notes)
    assert torch.equal(mean, loaded.model.get_buffer("norm.running_mean"))
    operators = {node.op_type for node in onnx.load(bundle.path / "model.onnx").graph.node}
    assert not operators & {"Dropout", "BatchNormalization"}


def test_verification_tells_batches_errors_and_accuracy_by_class(
    run_export: RunExport, make_loaded: MakeLoaded
) -> None:
    bundle = run_export()
    found = json.loads((bundle.path / "verify.json").read_text(encoding="utf-8"))
    assert found == bundle.verification
    assert (found["batches"], found["provider"], found["real"]["dataset"], found["real"]["why"]) == (
        [1, 2, 7],
        "cpu",
        "datasets/digits",
        None,
    )
    assert found["random"]["samples"] == 17
    assert 0 <= found["real"]["max_rel_error"] <= found["tolerance"]["relative"] == 1e-4
    assert found["model"]["sha256"] == sha256(bundle.path / "model.onnx")
    accuracy, samples = found["real"]["accuracy"], found["real"]["samples"]
    assert sum(row["samples"] for row in accuracy["per_class"].values()) == samples == found["real"]["decisions_agree"]
    mean = sum(row["pytorch"] * row["samples"] for row in accuracy["per_class"].values()) / samples
    assert accuracy["pytorch"] == accuracy["exported"] == pytest.approx(mean)


def test_absent_data_is_replaced_by_the_nearest_embedded_and_never_downloaded(
    run_export: RunExport, make_loaded: MakeLoaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    import zoo.data.data_folder

    monkeypatch.setattr(zoo.data.data_folder, "download", lambda *_: pytest.fail("the gate downloads"))
    real = run_export(make_loaded(recipe="cnn_mnist")).verification["real"]
    assert real["dataset"] == "datasets/digits"
    assert "datasets/mnist is not on this machine" in real["why"]
    assert "accuracy" in real  # digits has the same classes


def test_other_classes_are_compared_but_not_judged(run_export: RunExport, make_loaded: MakeLoaded) -> None:
    real = run_export(make_loaded(classes=tuple("abcdefghij"))).verification["real"]
    assert real["decisions_agree"] == real["samples"] > 0
    assert "accuracy" not in real


def test_a_fixed_batch_is_the_only_one_tried_and_every_sample_counts_once(run_export: RunExport) -> None:
    bundle = run_export(batch=7)  # 360 samples: the last batch is filled up
    assert bundle.verification["batches"] == [7]
    assert bundle.verification["real"]["samples"] == bundle.verification["real"]["decisions_agree"] == 360
    value = onnx.load(bundle.path / "model.onnx").graph.input[0]
    assert [size.dim_value for size in value.type.tensor_type.shape.dim] == [7, 1, 8, 8]


def test_a_provider_that_does_not_run_is_an_error(run_export: RunExport, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(SetupError, match="CUDAExecutionProvider") as caught:
        run_export(provider="cuda")
    assert caught.value.exit_code == 6
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [({"batch": 0}, UsageError), ({"provider": "tpu"}, UsageError), ({"options": {"opset": 99}}, ConfigError)],
)
def test_what_cannot_be_done_is_refused(
    run_export: RunExport, tmp_path: Path, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        run_export(**options)
    assert not (tmp_path / "out").exists()


def test_plugins_are_told_of_an_export(run_export: RunExport, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Event] = []
    fault = ListenerFault("tracker", "zoo_exported", "a complaint")
    monkeypatch.setattr(registry(), "listens", lambda kind: kind is Exported)
    monkeypatch.setattr(registry(), "send", lambda event: sent.append(event) or [fault])
    bundle = run_export()
    (event,) = sent
    assert isinstance(event, Exported) and event.bundle == bundle.path
    assert event.as_dict()["verification"] == json.loads(json.dumps(bundle.verification))
    assert bundle.notes == ("a complaint",)


def test_comparison_holds_the_top_class_only_where_its_margin_is_clear() -> None:
    expected = np.float32([[1.0, 0.99999, -2.0]])
    assert (
        Comparison(THREE).add(expected, expected[:, [1, 0, 2]]) is None
    )  # a tie within the tolerance may fall either way
    assert "absolute" in str(Comparison(THREE).add(expected, expected + np.float32([[0.001, 0, 0]])))
    assert "shape" in str(Comparison(THREE).add(expected, expected[:, :2]))
    assert "not finite" in str(Comparison(THREE).add(expected * np.float32(np.inf), expected * np.float32(np.inf)))


def test_comparison_ignores_what_all_logits_of_a_row_share_but_not_in_outputs_that_are_no_logits() -> None:
    expected = np.float32([[3.0, 1.0, -4.0], [0.5, 0.25, 0.0]])
    assert Comparison(THREE).add(expected, expected + np.float32([[8.0], [-2.0]])) is None
    assert "absolute" in str(Comparison(Raw()).add(expected, expected + np.float32([[8.0], [-2.0]])))
    one = np.float32([[3.0], [2.0]])  # a single class has nothing to be centred by
    assert "absolute" in str(Comparison(THREE).add(one, one + np.float32(0.5)))


def test_an_outlier_of_a_batch_does_not_explain_that_its_other_samples_change_their_class() -> None:
    """By a share of the outlier's logits, everything is allowed to the others."""
    comparison, labels = Comparison(THREE), np.array([0, 1, 1, 1])
    expected = np.float32([[1e6, 0, 0], [0, 5, 0], [0, 5, 0], [0, 5, 4.9999]])
    found = np.float32([[1e6, 0, 0], [5, 0, 0], [0, 5, 0], [0, 4.9999, 5]])
    assert comparison.add(expected, found, labels) is None
    assert comparison.drop() == (
        "its accuracy is 50.00%, PyTorch's is 100.00%: 2 of 4 samples are lost, of which the tolerance explains 1"
    )
    only_explained = Comparison(THREE)
    assert only_explained.add(expected[2:], found[2:], labels[2:]) is None
    assert only_explained.drop() is None


def test_comparison_counts_accuracy_by_class() -> None:
    comparison = Comparison(THREE)
    assert comparison.add(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32), np.array([0, 1, 1])) is None
    accuracy = comparison.accuracy()
    assert accuracy is not None
    assert accuracy["exported"] == pytest.approx(2 / 3)
    assert accuracy["per_class"]["b"] == {"samples": 2, "pytorch": 0.5, "exported": 0.5}
    assert "c" not in accuracy["per_class"]
