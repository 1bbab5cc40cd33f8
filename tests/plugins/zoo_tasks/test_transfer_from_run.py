"""Transfer from an earlier run or from shipped weights."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

import zoo
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir
from zoo.training.preparation import prepare


@pytest.fixture
def photographs(tmp_path):
    """Two classes of noise, bright and dark, of several sizes."""
    numbers = np.random.default_rng(0)
    for part, label, index in [
        (part, label, index) for part in ("train", "val") for label in ("bright", "dark") for index in range(6)
    ]:
        file = tmp_path / "photos" / part / label / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        low, high = (150, 256) if label == "bright" else (0, 100)
        Image.fromarray(numbers.integers(low, high, (250 + index, 300, 3), dtype=np.uint8)).save(file)
    return tmp_path / "photos"


@pytest.fixture
def squeezenet(tmp_path):
    """A file of weights for 1,000 classes, drawn at random."""
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    file = tmp_path / "squeezenet.safetensors"
    file.write_bytes(save(squeezenet1_1().state_dict()))
    return file


def asked(photographs, weights, **more):
    return {"dataset": {"name": "folder", "path": str(photographs)}, "weights": str(weights), "device": "cpu", **more}


DIGITS = {"dataset": {"name": "digits", "resize": 28, "classes": [0, 1, 2]}, "device": "cpu", "train": {"epochs": 1}}


@pytest.fixture
def earlier():
    return zoo.run(
        "cnn",
        overrides={**DIGITS, "architecture": {"name": "cnn", "n_features": 4}, "name": "first"},
        console=Console(quiet=True),
    )


@pytest.mark.parametrize("name", ["first", "cnn", "cnn/first", "path"])
def test_a_run_gives_its_weights_its_options_and_how_it_saw_images(earlier, name) -> None:
    asked = {
        "architecture": {"name": "cnn"}, "dataset": {"name": "digits", "classes": [7, 8, 9]},
        "task": {"name": "transfer"},
        "weights": str(earlier.path) if name == "path" else name, "device": "cpu",
    }  # fmt: skip
    plan = resolve(registry(), overrides=asked)
    assert (plan.config.weights, plan.config.architecture.options) == ("cnn/first", {"n_features": 4})
    ready = prepare(plan)
    assert ready.data.preprocessing == earlier.record.preprocessing
    own, given = ready.model.state_dict(), zoo.load(earlier.path).module.state_dict()
    assert [key for key in own if not torch.equal(own[key], given[key])] == ["fc2.weight", "fc2.bias"]
    assert (
        "initial weights cnn/first: loaded 6 of 8 tensors; re-initialised: fc2.weight 3×50, fc2.bias 3" in ready.notes
    )


def test_keys_of_a_dataset_that_is_not_named_are_of_the_runs(earlier) -> None:
    plan = resolve(
        registry(), overrides={"dataset": {"classes": ["3", "4"]}, "task": {"name": "transfer"}, "weights": "first"}
    )
    theirs = RunDir(earlier.path).config.dataset
    assert (
        plan.config.dataset == theirs.model_copy(update={"classes": ["3", "4"]})
        and plan.config.architecture.name == "classics/cnn"
    )


def test_the_same_classes_keep_the_head(earlier) -> None:
    asked = {
        "dataset": {"name": "digits", "classes": [0, 1, 2]},
        "task": {"name": "transfer"},
        "weights": "first",
        "device": "cpu",
    }
    ready = prepare(resolve(registry(), overrides=asked))
    assert ready.config.architecture.name == "classics/cnn"  # as the run says
    assert "initial weights cnn/first: loaded 8 of 8 tensors" in ready.notes


def test_a_run_of_another_architecture_is_refused(earlier) -> None:
    with pytest.raises(
        UsageError, match=r"weights: the run cnn/first has classics/cnn, not classics/lenet; fix: leave --arch out"
    ):
        resolve(
            registry(), overrides={"architecture": {"name": "lenet"}, "dataset": {"name": "digits"}, "weights": "first"}
        )


def test_a_table_says_what_became_of_every_tensor(earlier, tmp_path) -> None:
    asked = {
        "dataset": {"name": "digits", "classes": [8, 9], "val_fraction": 0.9},
        "task": {"name": "transfer"},
        "weights": "first",
        "device": "cpu",
    }
    result = zoo.run(None, overrides=asked, out=tmp_path / "second", console=Console(quiet=True))
    with (result.path / "weights.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["tensor"]: row["state"] for row in rows if row["tensor"].startswith("fc")} == {
        "fc1.weight": "loaded", "fc1.bias": "loaded", "fc2.weight": "re-initialised", "fc2.bias": "re-initialised",
    }  # fmt: skip
    last = rows[-2]
    assert (last["shape"], last["shape in the weights"]) == ("2×50", "3×50")


def test_digits_transfer_begins_with_shipped_weights_and_needs_no_download() -> None:
    ready = prepare(resolve(registry(), "digits_transfer"))
    assert ready.data.classes == ("5", "6", "7", "8", "9")
    assert (
        "initial weights digits_0_to_4: loaded 6 of 8 tensors; re-initialised: fc2.weight 5×50, fc2.bias 5"
        in ready.notes
    )


def test_as_a_task_and_as_an_adaptation_of_the_task_it_is_one_training_to_the_bit(tmp_path: Path) -> None:
    """With the options of the task that is learned: the weights of classes are kept with the run."""
    learned = {"label_smoothing": 0.1, "class_weights": "balanced"}
    common = {
        "architecture": {"name": "cnn"}, "dataset": {"name": "digits", "classes": [5, 6, 7, 8, 9]},
        "weights": "digits_0_to_4", "device": "cpu", "threads": 1, "train": {"epochs": 1},
    }  # fmt: skip
    asked = {
        "task": {"task": {"name": "transfer", "train": "last:2", **learned}},
        "adaptation": {
            "task": {"name": "classification", **learned}, "adapt": [{"name": "transfer", "train": "last:2"}],
        },
    }  # fmt: skip
    one, other = (
        zoo.run(None, overrides={**common, **more}, out=tmp_path / name, console=Console(quiet=True))
        for name, more in asked.items()
    )
    assert one.record.adaptations == other.record.adaptations == [{"trained": ["fc1", "fc2"]}]
    assert one.record.statistics == other.record.statistics
    assert len(one.record.statistics["class_weights"]) == 5
    assert one.metrics == other.metrics
    mine, theirs = (zoo.load(each.path).module.state_dict() for each in (one, other))
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())


@pytest.mark.gpu
@pytest.mark.parametrize("cached", [False, True])
def test_on_cuda_transfer_reaches_the_accuracy_of_the_cpu(tmp_path, cached) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        overrides = {"device": device, "train": {"cache_features": cached}}
        result = zoo.run("digits_transfer", overrides=overrides, out=tmp_path / device, console=Console(quiet=True))
        found[device] = result.metrics["accuracy"]
    assert found["cuda"] >= found["cpu"] - 0.03


def test_images_without_labels_are_foretold_in_a_table(photographs, squeezenet, tmp_path) -> None:
    for index in range(3):
        file = photographs / "test" / f"{index}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (260, 240), (60 * index, 0, 0)).save(file)
    overrides = asked(photographs, squeezenet, train={"epochs": 1, "batch_size": 6})
    result = zoo.run("squeezenet_transfer", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    with (result.path / "predict" / "predicted.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == [f"test/{index}.png" for index in range(3)]
    assert all(row["class"] in ("bright", "dark") and 0.5 <= float(row["probability"]) <= 1 for row in rows)
    item = result.record.report_items[-1]
    assert (item.title, item.file) == ("Images without labels", "predict/plots/predicted.png")
    assert (result.path / item.file).is_file()
