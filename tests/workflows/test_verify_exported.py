"""`zoo verify` of bundles and files: planted faults whose digests were made to fit, changed bytes, foreign files."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from zoo import runtime
from zoo.errors import DataError, UsageError
from zoo.exporting.bundle import write_sealed_json
from zoo.exporting.export import export
from zoo.exporting.integrity import check_files
from zoo.support.atomic_files import sha256
from zoo.workflows.verify_exported import ExportedVerification, is_exported, verify_exported

RECIPE = "cnn_mnist"
Fault = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of pretrained weights, verified on the embedded digits."""
    folder = tmp_path_factory.mktemp("exports") / "cnn"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ZOO_RUNS", "ZOO_DATA"):
            patch.setenv(name, str(folder.parent / "none"))
        export(RECIPE, out=folder)
    return folder


@pytest.fixture
def bundle(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ZOO_RUNS", "ZOO_DATA"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    shutil.copytree(exported, tmp_path / "cnn")
    return tmp_path / "cnn"


def seal(bundle: Path, change: Fault = lambda _: None) -> None:
    """Make all digests of a bundle fit its files, after ``change`` of the description, which is also in the model."""
    index = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    change(index["description"])
    model = onnx.load(bundle / "model.onnx")
    described = json.dumps(index["description"], ensure_ascii=False)
    onnx.helper.set_model_props(model, {"zoo": described})
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    for name, entry in index["files"].items():
        entry["sha256"] = sha256(bundle / name)
    index.pop("sha256")
    write_sealed_json(bundle / "bundle.json", index)
    verification = json.loads((bundle / "verify.json").read_text(encoding="utf-8"))
    verification.pop("sha256")
    verification["bundle"]["sha256"] = sha256(bundle / "bundle.json")
    write_sealed_json(bundle / "verify.json", verification)


def of_input(**changes: Any) -> Fault:
    """A change of the input's description, with steps that agree with it."""

    def change(description: dict[str, Any]) -> None:
        spec = description["input"]
        spec.update(changes)
        spec["steps"] = runtime.preprocessing_steps(spec)

    return change


def classes(order: Callable[[list[str]], list[str]]) -> Fault:
    def change(description: dict[str, Any]) -> None:
        decision = description["output"]["decision"]
        decision["classes"] = order(decision["classes"])

    return change


def of_weight(edit: Callable[[np.ndarray], np.ndarray], sides: int) -> Callable[[Path], None]:
    """An edit of the first weight with this number of sides."""

    def plant(bundle: Path) -> None:
        model = onnx.load(bundle / "model.onnx")
        tensor = next(each for each in model.graph.initializer if len(each.dims) == sides)
        values = np.array(edit(numpy_helper.to_array(tensor)), np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        (bundle / "model.onnx").write_bytes(model.SerializeToString())
        seal(bundle)

    return plant


def swap(values: np.ndarray) -> np.ndarray:
    return values[[1, 0, *range(2, len(values))]]


def described(change: Fault) -> Callable[[Path], None]:
    return lambda bundle: seal(bundle, change)


def with_other_code(name: str, right: str, wrong: str) -> Callable[[Path], None]:
    def plant(bundle: Path) -> None:
        text = (bundle / name).read_text(encoding="utf-8")
        assert right in text
        (bundle / name).write_text(text.replace(right, wrong), encoding="utf-8")
        seal(bundle)

    return plant


def with_shifted_pads(bundle: Path) -> None:
    model = onnx.load(bundle / "model.onnx")
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    (attribute,) = (each for each in node.attribute if each.name == "pads")
    attribute.ints[:] = [1, 0, -1, 0]  # the same shape, one row further down
    (bundle / "model.onnx").write_bytes(model.SerializeToString())
    seal(bundle)


PLANTED: dict[str, Callable[[Path], None]] = {
    "mean": described(of_input(mean=[0.1407])),
    "standard deviation": described(of_input(std=[0.3181])),
    "scale": described(of_input(scale=32)),
    "channels": described(of_input(channels=3, mean=[0.1307] * 3, std=[0.3081] * 3, channel_order="RGB")),
    "class order": described(classes(lambda names: names[::-1])),
    "two classes swapped": described(classes(lambda names: [names[1], names[0], *names[2:]])),
    "resize: squash": described(of_input(resize=runtime.SQUASH)),
    "padding in place of resizing": described(of_input(resize=runtime.CROP)),
    "interpolation": described(of_input(interpolation="bicubic")),
    "height and width": described(of_input(height=29, width=27)),
    "permutation": described(of_input(permute_pixels=3)),
    "value range": described(of_input(value_range=[0, 32767])),
    "temperature": described(lambda d: d["output"]["decision"].update(temperature=1.5)),
    "threshold": described(lambda d: d["output"]["decision"].update(abstain_below=0.999999)),
    "steps": described(lambda d: d["input"]["steps"].pop(4)),
    "truncated description": described(lambda d: d.pop("output")),
    "one weight × 1.5": of_weight(lambda values: values * np.where(values == values.max(), 1.5, 1), 4),
    "swapped rows": of_weight(swap, 2),
    "shifted pads": with_shifted_pads,
    "another predict.py": with_other_code("predict.py", "import sys\n", "import sys  # changed\n"),
    "another zoo_runtime.py": with_other_code(
        "zoo_runtime.py", ".transpose(0, 3, 1, 2)", ".transpose(0, 3, 1, 2)[:, ::-1]"
    ),
}
RECORDED = "PyTorch's outputs, as recorded by the export"


def refused(found: ExportedVerification) -> bool:
    states = {each.state for each in found.findings}
    return (found.code, "differs" in states, "damaged" in states) in ((5, True, False), (4, False, True))


@pytest.mark.usefixtures("verified_here")
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_with_digests_that_fit_is_refused_without_the_model(bundle: Path, fault: str) -> None:
    seal(bundle, lambda description: description["provenance"].update(kind="elsewhere"))
    PLANTED[fault](bundle)
    found = verify_exported(bundle)
    assert (refused(found), found.against) == (True, RECORDED), found


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_refused_by_the_model_it_was_exported_from(bundle: Path, fault: str) -> None:
    PLANTED[fault](bundle)
    found = verify_exported(bundle)
    assert refused(found), found
    assert found.against == "the PyTorch model of classics/cnn_mnist"


def test_a_whole_bundle_is_verified_with_and_without_its_model(bundle: Path) -> None:
    found = verify_exported(bundle)
    assert (found.code, found.against) == (0, "the PyTorch model of classics/cnn_mnist")
    assert [each.part for each in found.findings if each.state == "ok"] == [
        "bundle.json",
        "README.md",
        "model.layers.json",
        "model.onnx",
        "predict.py",
        "zoo_runtime.py",
        "verify.json",
        "format",
        "runtime",
        "client",
        "outputs",
        "predictions",
    ]
    seal(bundle, lambda description: description["provenance"].update(sha256="0" * 64))  # other weights
    found = verify_exported(bundle)
    assert (found.code, found.against) == (0, RECORDED)
    assert found.findings[-1].detail == "7 image files: predict.py agrees with the recorded predictions of PyTorch"


def test_every_changed_byte_of_any_file_is_damage(bundle: Path) -> None:
    files = sorted(bundle.iterdir())
    numbers = random.Random(0)
    missed = []
    for _ in range(1000):
        file = numbers.choice(files)
        content = bytearray(file.read_bytes())
        place, bit = numbers.randrange(len(content)), 1 << numbers.randrange(8)
        content[place] ^= bit
        before = file.read_bytes()
        file.write_bytes(content)
        if all(each.state == "ok" for each in check_files(bundle).findings):
            missed.append((file.name, place))
        file.write_bytes(before)
    assert missed == []
    assert all(each.state == "ok" for each in check_files(bundle).findings)


def test_every_changed_byte_of_a_loaded_file_is_refused_before_it_is_opened(bundle: Path) -> None:
    numbers = random.Random(1)
    for name in ("model.onnx", "bundle.json", "model.layers.json"):
        file = bundle / name
        before = file.read_bytes()
        for _ in range(100):
            content = bytearray(before)
            content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
            file.write_bytes(content)
            with pytest.raises(runtime.ModelError):
                runtime.open_model(bundle / "model.onnx", lambda path: pytest.fail(f"{path} was opened"))
        file.write_bytes(before)


@pytest.mark.parametrize(
    ("change", "part", "said"),
    [
        (lambda bundle: (bundle / "README.md").unlink(), "README.md", "it is missing"),
        (lambda bundle: (bundle / "more.txt").write_text("", encoding="utf-8"), "more.txt", "it is not listed"),
        (lambda bundle: (bundle / "verify.json").unlink(), "verify.json", "it is missing"),
        (lambda bundle: (bundle / "bundle.json").write_text("{", encoding="utf-8"), "bundle.json", "is damaged"),
    ],
    ids=["a file is missing", "a file is added", "no verify.json", "no JSON"],
)
def test_what_is_missing_or_added_is_damage(
    bundle: Path, change: Callable[[Path], object], part: str, said: str
) -> None:
    change(bundle)
    found = verify_exported(bundle)
    (finding,) = (each for each in found.findings if each.state == "damaged")
    assert (found.code, finding.part) == (4, part)
    assert said in finding.detail


@pytest.mark.usefixtures("verified_here")
def test_a_file_of_unknown_origin_is_compared_with_a_named_model(bundle: Path, tmp_path: Path) -> None:
    alone = tmp_path / "foreign.onnx"
    model = onnx.load(bundle / "model.onnx")
    del model.metadata_props[:]
    model.graph.input[0].name = "pixels"
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == "input" else name for name in node.input]
    onnx.save(model, alone)
    assert is_exported(alone)
    found = verify_exported(alone)
    assert (found.code, found.against, found.findings[-1].state) == (0, "", "unchecked")
    found = verify_exported(alone, against=RECIPE)
    assert (found.code, found.against) == (0, "the PyTorch model of cnn_mnist")
    tensor = next(each for each in model.graph.initializer if len(each.dims) == 4)
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.5), tensor.name))
    onnx.save(model, alone)
    found = verify_exported(alone, against=RECIPE)
    assert found.code == 5 and "largest error" in found.findings[-1].detail


@pytest.mark.usefixtures("verified_here")
def test_another_dataset_and_a_wrong_name_are_refused_or_used(bundle: Path) -> None:
    found = verify_exported(bundle, data="digits")
    assert found.code == 0 and "datasets/digits" in found.findings[-2].detail
    with pytest.raises(DataError, match="mnist"):  # which says nothing about the file
        verify_exported(bundle, data="mnist")
    with pytest.raises(UsageError, match="no provider 'tpu'"):
        verify_exported(bundle, provider="tpu")
    with pytest.raises(UsageError, match="neither a run, a bundle nor an exported file"):
        verify_exported(bundle.parent)


def test_a_runtime_that_dies_is_an_error_and_what_was_found_before_is_lost_with_it(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process that opens the file is killed, as by a fault in a runtime's own code."""
    module = tmp_path / "sitecustomize.py"
    module.write_text("import os, sys\nif 'zoo.exporting.verify_file' in sys.argv + sys.orig_argv: os.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = verify_exported(bundle)
    assert (found.code, found.findings[-1].state) == (4, "damaged")
    assert "was ended by SIGABRT" in found.findings[-1].detail
