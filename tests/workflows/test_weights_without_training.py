"""Published weights and exported files, evaluated, predicted and exported without a run; accuracies are compared with
scikit-learn's and with torchvision's own network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.metrics import accuracy_score, log_loss
from torch import nn

import zoo
from zoo.data.data_loader import open_data
from zoo.errors import CheckpointError, UsageError
from zoo.exporting.evaluation_record import read_record
from zoo.exporting.export import Bundle, export
from zoo.models import weights_address
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.initial_weights import NamedWeights
from zoo.runs.load_model import LoadedModel, load_pretrained, load_shipped
from zoo.runs.run_directory import RunDir
from zoo.support.atomic_files import sha256
from zoo.workflows.evaluate import evaluate_run
from zoo.workflows.predict import predict
from zoo.workflows.verify_exported import verify_exported

CNN = "digits_0_to_4"
PHOTOS = {"cat": "tabby", "hot_dog": "hotdog", "owl": "great grey owl", "parrot": "macaw", "samoyed": "Samoyed"}


def file_of(name: str = CNN) -> Path:
    return NamedWeights(registry().architecture("cnn"), name).file()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(tmp_path_factory.mktemp("cache")))
        return zoo.export("cnn", weights=CNN, out=tmp_path_factory.mktemp("exports") / "low")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, Bundle]:
    """A run with statistics of its own (class weights) and a metric of a plugin, and its bundle."""
    place = tmp_path_factory.mktemp("trained")
    overrides = {
        "dataset": {"name": "digits", "classes": ["3", "1", "2"], "resize": 16, "permute_pixels": 5},
        "architecture": {"name": "cnn", "n_features": 4},
        "task": {"name": "classification", "class_weights": "balanced", "label_smoothing": 0.1},
        "train": {"epochs": 2, "eval_batch_size": 50}, "device": "cpu", "seed": 3,
    }  # fmt: skip
    run = RunDir(zoo.run(overrides=overrides, out=place / "run", console=Console(quiet=True)).path)
    return run, zoo.export(str(run.path), out=place / "bundle")


def test_weights_are_a_model_with_all_that_commands_need() -> None:
    loaded = load_pretrained(registry(), "cnn", CNN)
    spec = registry().architecture("cnn").spec.weights[CNN]
    assert isinstance(loaded, LoadedModel) and not loaded.model.training
    assert loaded.classes == loaded.decision.classes == spec.classes  # type: ignore[union-attr]
    assert loaded.config.architecture is not None and loaded.config.architecture.name == "classics/cnn"
    assert (loaded.config.dataset.name, loaded.config.dataset.classes) == (spec.dataset, list(spec.classes))
    assert loaded.origin == {
        "kind": "pretrained weights", "model": "classics/cnn", "weights": f"classics/cnn:{CNN}",
        "source": spec.resource, "licence": spec.licence, "sha256": sha256(file_of()), "dataset": spec.dataset,
        "metrics": spec.metrics,
    }  # fmt: skip


def test_a_recipe_with_its_own_weights_keeps_its_data() -> None:
    shipped, named = load_shipped(registry(), "digits_pretrain"), load_pretrained(registry(), "digits_pretrain", CNN)
    assert shipped.origin == named.origin and shipped.origin["kind"] == "shipped weights"
    assert shipped.config.recipe == "classics/digits_pretrain" and shipped.config.dataset.resize == 28


def test_the_accuracy_of_weights_is_that_of_scikit_learn_on_the_networks_outputs() -> None:
    found = evaluate_run("cnn", weights=CNN)
    loaded = load_pretrained(registry(), "cnn", CNN)
    data = open_data(
        registry(), loaded.config.dataset, torch.device("cpu"), preprocessing=loaded.preprocessing, parts=("test",)
    )
    batches = list(data.part("test").batches(37))
    with torch.inference_mode():
        probabilities = torch.cat([loaded.model(batch.inputs) for batch in batches]).double().softmax(1).numpy()
    targets = np.asarray(data.part("test").targets)
    assert found.metrics["accuracy"] == pytest.approx(accuracy_score(targets, probabilities.argmax(1)))
    assert found.metrics["loss"] == pytest.approx(log_loss(targets, probabilities), rel=1e-4)
    assert found.metrics["accuracy"] == registry().architecture("cnn").spec.weights[CNN].metrics["accuracy"]
    assert (found.run, found.samples) == (f"classics/cnn with {CNN}", len(targets))


def test_a_bundle_is_evaluated_as_its_weights(bundle: Bundle) -> None:
    own, exported = evaluate_run("cnn", weights=CNN), evaluate_run(bundle.path)
    assert exported.metrics == pytest.approx(own.metrics, rel=1e-4)
    assert (exported.dataset, exported.fingerprint, exported.samples) == (own.dataset, own.fingerprint, own.samples)
    assert exported.engine.startswith("onnxruntime ") and exported.engine.endswith(" on cpu")
    assert evaluate_run(bundle.path / "model.onnx").metrics == exported.metrics


def test_the_bundle_of_a_run_is_evaluated_as_the_run(trained: tuple[RunDir, Bundle], tmp_path: Path) -> None:
    run, bundle = trained
    own, exported = evaluate_run(run), evaluate_run(bundle.path, out=tmp_path / "out")
    assert exported.metrics == pytest.approx(own.metrics, rel=1e-3) and exported.samples == own.samples
    assert own.metrics == run.record.results["test"]
    index = json.loads((bundle.path / "bundle.json").read_text())["evaluation"]
    assert (index["task"]["label_smoothing"], index["eval_batch_size"], index["seed"]) == (0.1, 50, 3)
    assert list(index["statistics"]) == ["class_weights"]
    assert {"predictions.csv", "evaluation.json"} <= {file.name for file in (tmp_path / "out").iterdir()}


def test_a_bundle_with_a_fixed_batch_is_evaluated_on_any_number_of_samples(bundle: Bundle, tmp_path: Path) -> None:
    fixed = zoo.export("cnn", weights=CNN, out=tmp_path / "fixed", batch=7)
    found = evaluate_run(fixed.path)
    assert found.samples % 7 and found.metrics == pytest.approx(evaluate_run(bundle.path).metrics, rel=1e-4)


def test_a_bundle_is_evaluated_on_a_dataset_with_some_of_its_classes(bundle: Bundle, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits(n_class=3)
    for index in range(30):
        folder = tmp_path / "set" / str(digits.target[index])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 255 / 16).astype(np.uint8)).save(folder / f"{index}.png")
    found = evaluate_run(bundle.path, dataset=f"folder:{tmp_path / 'set'}")
    assert found.samples == 30 and "the dataset has 3 of the model's 5 classes: '0', '1', '2'" in found.notes
    assert found.metrics == pytest.approx(
        evaluate_run("cnn", weights=CNN, dataset=f"folder:{tmp_path / 'set'}").metrics, rel=1e-3
    )


def test_a_file_alone_is_evaluated_by_what_its_decision_implies(bundle: Bundle, tmp_path: Path) -> None:
    alone = shutil.copyfile(bundle.path / "model.onnx", tmp_path / "alone.onnx")
    with pytest.raises(UsageError, match=r"datasets/digits has classes that the model lacks"):
        evaluate_run(alone, dataset="digits")
    data = tmp_path / "set" / "0"
    data.mkdir(parents=True)
    Image.new("L", (28, 28)).save(data / "a.png")
    found = evaluate_run(alone, dataset=f"folder:{tmp_path / 'set'}")
    assert any("evaluated as task classification, the default for its targets" in note for note in found.notes)


def test_a_foreign_file_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    node = helper.make_node("Identity", ["input"], ["output"])
    graph = helper.make_graph(
        [node], "foreign", [value("input", TensorProto.FLOAT, [1, 3])], [value("output", TensorProto.FLOAT, [1, 3])]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "f.onnx")
    with pytest.raises(CheckpointError, match="it has no 'zoo' metadata, so the preprocessing of images is unknown"):
        evaluate_run(tmp_path / "f.onnx", dataset="digits")


def test_the_path_of_the_users_images_is_not_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    rng = np.random.default_rng(0)
    for place in ("train/a", "train/b", "test/a", "test/b"):
        (folder / place).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(rng.integers(0, 255, (8, 8), dtype=np.uint8)).save(folder / place / f"{index}.png")
    overrides = {
        "dataset": {"name": f"folder:{folder}", "channels": 1, "resize": 16},
        "architecture": {"name": "cnn", "n_features": 2},
        "train": {"epochs": 1}, "device": "cpu",
    }  # fmt: skip
    run = zoo.run(overrides=overrides, console=Console(quiet=True)).path
    made = zoo.export(str(run), out=tmp_path / "bundle")
    assert str(tmp_path) not in (made.path / "bundle.json").read_text()
    with pytest.raises(UsageError, match=r"whose path is not recorded; fix: name them: --data folder:PATH"):
        evaluate_run(made.path)
    index = json.loads((made.path / "bundle.json").read_text())  # as somebody else could have written it
    index["evaluation"]["dataset"]["path"] = str(folder)
    found = read_record(registry(), index)
    assert found is not None and "path" not in found.dataset.options
    own = evaluate_run(run)
    again = evaluate_run(made.path, "test", f"folder:{folder}")
    assert (again.samples, again.metrics) == (own.samples, pytest.approx(own.metrics, rel=1e-3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"provider": "cuda", "weights": CNN}, "a run is computed by PyTorch, which has no providers"),
        ({"weights": "none"}, "'none' is not a file, a run, or weights of classics/cnn"),
        ({"weights": "mnsit"}, "did you mean mnist?"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        evaluate_run("cnn", **options)
    assert words in str(caught.value) and "fix: " in str(caught.value)


def test_options_for_other_models_are_refused(bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"exporter onnx has no provider 'tpu'"):
        evaluate_run(bundle.path, provider="tpu")
    with pytest.raises(UsageError, match=r"an exported model is run by its runtime"):
        evaluate_run(bundle.path, device="cuda")


def test_a_recipe_without_a_run_predicts_with_its_published_weights(tmp_path: Path) -> None:
    image = tmp_path / "zero.png"
    Image.new("L", (28, 28)).save(image)
    ((_, values),) = predict("digits_pretrain", [image]).rows
    ((_, named),) = predict("cnn", [image], weights=CNN).rows
    assert np.array_equal(values, named)
    assert predict("digits_pretrain", [image]).engine.startswith(f"classics/cnn with {CNN}, torch ")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cnn", "no weights are named; it has mnist, digits_0_to_4 (looked under"),
        ("cnn", "fix: add --weights mnist, or train it first: zoo run cnn --data DATASET"),
        ("cnn_digits", "no pretrained weights; classics/cnn has mnist, digits_0_to_4 (--weights)"),
        ("cnn_digits", "fix: train it first: zoo run cnn_digits"),
    ],
)
def test_what_has_no_weights_of_its_own_lists_those_there_are(tmp_path: Path, name: str, words: str) -> None:
    for call in (evaluate_run, lambda target: predict(target, [tmp_path]), export):
        (tmp_path / "a.png").write_bytes(b"")
        with pytest.raises(CheckpointError) as caught:
            call(name)
        assert words in str(caught.value)


@pytest.mark.usefixtures("verified_here")
def test_an_export_of_weights_names_their_source_and_is_verified_again(bundle: Bundle) -> None:
    provenance = json.loads((bundle.path / "bundle.json").read_text())["description"]["provenance"]
    spec = registry().architecture("cnn").spec.weights[CNN]
    assert (provenance["kind"], provenance["weights"]) == ("pretrained weights", f"classics/cnn:{CNN}")
    assert (provenance["source"], provenance["licence"]) == (spec.resource, spec.licence)
    card = (bundle.path / "README.md").read_text()
    assert (
        f"| source of the weights | {spec.resource} |" in card
        and f"| licence of the weights | {spec.licence} |" in card
    )
    assert "Published metrics of the weights" in card
    found = verify_exported(bundle.path)
    assert (found.code, found.against) == (0, "the PyTorch model of classics/cnn")
    real = next(finding for finding in found.findings if finding.part == "outputs")
    assert "predictions equal on datasets/digits" in real.detail


def test_the_samples_of_an_export_are_those_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "few" / "0").mkdir(parents=True)
    for index in range(3):
        Image.new("L", (40, 30), index * 100).save(tmp_path / "few" / "0" / f"{index}.png")
    made = zoo.export("cnn", weights=CNN, out=tmp_path / "out", dataset=f"folder:{tmp_path / 'few'}")
    assert (made.verification["real"]["dataset"], made.verification["real"]["samples"]) == ("datasets/folder", 3)


def test_a_local_file_is_recorded_by_its_name_and_digest_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    shutil.copyfile(file_of(), file)
    made = zoo.export("cnn", weights=str(file), out=tmp_path / "out")
    content = (made.path / "bundle.json").read_text()
    provenance = json.loads(content)["description"]["provenance"]
    assert str(tmp_path) not in content
    assert provenance["weights"] == "mine.safetensors" and provenance["sha256"] == sha256(file)
    assert (provenance["licence"], provenance["classes_of"], "dataset" in provenance) == ("not stated", CNN, False)
    assert "not stated; with the classes and the preprocessing of the weights digits_0_to_4" in (
        (made.path / "README.md").read_text().replace("&#95;", "_")
    )


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = file_of().read_bytes()
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def address(
    serve: Callable[[type[BaseHTTPRequestHandler]], ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The address of the network's weights on a loopback server, which stands for one with https."""
    monkeypatch.delenv("ZOO_OFFLINE")
    running = serve(Handler)
    running.asked = []  # type: ignore[attr-defined]
    monkeypatch.setattr(weights_address, "HTTPS", running.address)  # type: ignore[attr-defined]
    return f"{running.address}/net.safetensors#sha256={sha256(file_of())}"  # type: ignore[attr-defined]


def test_an_address_serves_wherever_weights_are_named(address: str, tmp_path: Path) -> None:
    named = evaluate_run("cnn", weights=CNN)
    found = evaluate_run("cnn", weights=address)
    assert (found.metrics, found.run) == (named.metrics, f"classics/cnn with {address}")
    image = tmp_path / "a.png"
    Image.new("L", (28, 28)).save(image)
    ((_, values),) = predict("cnn", [image], weights=address).rows
    assert np.array_equal(values, predict("cnn", [image], weights=CNN).rows[0][1])
    made = zoo.export("cnn", weights=address, out=tmp_path / "out")
    provenance = json.loads((made.path / "bundle.json").read_text())["description"]["provenance"]
    assert (provenance["weights"], provenance["source"]) == (address, address.partition("#")[0])
    overrides = {"weights": address, "train": {"epochs": 1}, "device": "cpu"}
    run = RunDir(
        zoo.run("digits_transfer", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True)).path
    )
    assert run.config.weights == address
    assert any(f"initial weights {address}: loaded " in note for note in run.record.notes)


def test_a_file_of_the_hub_is_recorded_by_its_commit_and_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))  # of the process that verifies
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--org--digits" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    shutil.copyfile(file_of(), snapshot / "model.safetensors")
    (snapshot / "README.md").write_text("---\nlicense: mit\n---\n")
    text = f"hf:org/digits@{commit}"
    assert evaluate_run("cnn", weights=text).metrics == evaluate_run("cnn", weights=CNN).metrics
    made = zoo.export("cnn", weights=text, out=tmp_path / "out")
    provenance = json.loads((made.path / "bundle.json").read_text())["description"]["provenance"]
    assert provenance["weights"] == f"{text}:model.safetensors"
    assert (provenance["licence"], provenance["sha256"]) == ("mit", sha256(file_of()))
    assert verify_exported(made.path).against == "the PyTorch model of classics/cnn"
    overrides = {"weights": text, "train": {"epochs": 1}, "device": "cpu"}
    run = RunDir(
        zoo.run("digits_transfer", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True)).path
    )
    assert run.config.weights == f"{text}:model.safetensors"
    assert any(f"(sha256 {sha256(file_of())})" in note for note in run.record.notes)


WRONG = [
    (["evaluate", "nonsense"], "no run is called 'nonsense'"),
    (["evaluate", "cnn", "--weights", "hf:org/net"], "names no commit"),
    (["evaluate", "cnn", "--weights", "mnist", "--data", "nonsense"], "no dataset is called 'nonsense'"),
    (["predict", "cnn", "a.png", "--weights", "https://x.example/a.safetensors"], "has no sha256"),
    (["export", "cnn", "--weights", "hf:o/n@main"], "'main' is not a commit"),
    (["predict", "cnn", "."], "no weights are named; it has mnist"),
]


def test_a_wrong_name_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    """One process for all of them: torch stays imported."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    code = (
        "import json, sys; from zoo.cli.app import run_cli\n"
        "for words in json.loads(sys.argv[1]): print(run_cli(words), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([command for command, _ in WRONG])],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert len(lines) == len(WRONG) and all(words in line for (_, words), line in zip(WRONG, lines, strict=True)), lines
    assert set(done.stdout.splitlines()) <= {"2 False", "4 False"}


@pytest.mark.realdata
def test_mnists_published_weights_and_their_bundle_reach_what_scikit_learn_counts(tmp_path: Path) -> None:
    made = zoo.export("cnn_mnist", out=tmp_path / "bundle")
    own, exported = evaluate_run("cnn_mnist"), evaluate_run(made.path)
    images, labels = _mnist_test()
    loaded = load_shipped(registry(), "cnn_mnist")
    mean, std = loaded.preprocessing.mean[0], loaded.preprocessing.std[0]
    inputs = torch.from_numpy((images[:, None].astype(np.float32) / 255 - mean) / std)
    with torch.inference_mode():
        predicted = torch.cat([loaded.model(chunk) for chunk in inputs.split(500)]).argmax(1).numpy()
    assert own.samples == exported.samples == 10_000
    assert own.metrics["accuracy"] == exported.metrics["accuracy"] == accuracy_score(labels, predicted)


def _mnist_test() -> tuple[np.ndarray, np.ndarray]:
    import gzip

    found = []
    for name, skip in (("t10k-images-idx3-ubyte", 16), ("t10k-labels-idx1-ubyte", 8)):
        file = Path(os.environ["ZOO_DATA"]) / "MNIST" / "raw" / name
        content = file.read_bytes() if file.is_file() else gzip.decompress(file.with_name(f"{name}.gz").read_bytes())
        found.append(np.frombuffer(content, np.uint8, offset=skip))
    return found[0].reshape(-1, 28, 28), found[1]


@pytest.mark.realdata
def test_squeezenet_and_its_bundle_answer_as_torchvisions_own_network(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1
    from torchvision.transforms.v2 import functional as F

    data = Path(os.environ["ZOO_DATA"])
    weights = data / "weights" / "squeezenet1_1-imagenet.safetensors"
    if not weights.is_file():
        pytest.skip("needs weights/squeezenet1_1-imagenet.safetensors in ZOO_DATA")
    classes = registry().architecture("squeezenet1_1").spec.weights["imagenet1k_v1"].classes
    network = squeezenet1_1()
    network.load_state_dict(load_file(weights))
    network.eval()
    right, losses = 0, []
    for file, name in PHOTOS.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        shutil.copyfile(data / "photos" / f"{file}.jpg", tmp_path / "set" / name / f"{file}.jpg")
        image = F.center_crop(F.resize(Image.open(data / "photos" / f"{file}.jpg").convert("RGB"), [256]), [224, 224])
        pixels = (np.asarray(image, np.float32) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        with torch.inference_mode():
            logits = network(torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None])
        label = classes.index(name)
        right += int(logits.argmax()) == label
        losses.append(float(nn.functional.cross_entropy(logits, torch.tensor([label]))))
    dataset = f"folder:{tmp_path / 'set'}"
    made = zoo.export("squeezenet1_1", weights=str(weights), out=tmp_path / "bundle", dataset=dataset)
    for found in (
        evaluate_run("squeezenet1_1", weights=str(weights), dataset=dataset),
        evaluate_run(made.path, dataset=dataset),
    ):
        assert (found.samples, found.metrics["accuracy"]) == (5, right / 5)
        assert found.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-3)


def test_weights_with_another_head_are_refused(tmp_path: Path) -> None:
    tensors = load_file(file_of())
    head = registry().architecture("cnn").spec.head
    save_file({**tensors, f"{head}.weight": torch.zeros(7, 2)}, tmp_path / "odd.safetensors")
    with pytest.raises(UsageError, match=r"none of the architecture's pretrained weights has 7 classes"):
        evaluate_run("cnn", weights=str(tmp_path / "odd.safetensors"))
