"""Transfer learning: what learns, what stays to the bit, and where a network starts from."""

from __future__ import annotations

import copy
import csv

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn
from zoo_tasks.transfer import build, learning_layers

import zoo
from zoo.config.run_config import TrainConfig
from zoo.errors import CheckpointError, DataError, Interrupted, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs import checkpoints
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir
from zoo.training.optimizers import build_optimizer, build_schedule
from zoo.training.preparation import prepare


def network() -> nn.Sequential:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5))
    return nn.Sequential(backbone, nn.Linear(4 * 6 * 6, 8), nn.Linear(8, 2))


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("head", ["2"]),
        ("last:1", ["2"]),
        ("last:2", ["1", "2"]),
        ("last:4", ["0.0", "0.1", "1", "2"]),
        ("all", ["0.0", "0.1", "1", "2"]),
    ],
)
def test_what_learns_is_what_is_asked_for(train, expected) -> None:
    assert list(learning_layers(network(), train, None)) == expected


def test_a_head_that_is_not_listed_last_is_the_last_layer_all_the_same() -> None:
    assert list(learning_layers(network(), "head", "1")) == ["1"]
    assert list(learning_layers(network(), "last:2", "1")) == ["2", "1"]
    with pytest.raises(UsageError, match="the network has 4 layers with parameters, not 5"):
        learning_layers(network(), "last:5", None)


def test_frozen_parameters_stay_to_the_bit_and_so_do_the_statistics_of_a_frozen_norm() -> None:
    task, plain = build(), network()
    model, structure = task.prepare(copy.deepcopy(plain), None)
    assert structure == {"trained": ["2"]}
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1)
    for _ in range(3):
        model.train()
        task.set_modes(model)
        model(torch.randn(8, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    before, after = plain.state_dict(), model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"2.weight", "2.bias"}
    assert model[0][4].training and not model[0][1].training


def test_a_norm_that_learns_keeps_learning_its_statistics() -> None:
    task = build(train="all")
    model, _ = task.prepare(network(), None)
    model.train()
    task.set_modes(model)
    assert all(module.training for module in model.modules())


def test_the_structure_alone_freezes_the_same() -> None:
    _, structure = build(train="last:2").prepare(network(), None)
    rebuilt = build().restructure(network(), structure)
    assert [name for name, each in rebuilt.named_parameters() if each.requires_grad] == [
        "1.weight",
        "1.bias",
        "2.weight",
        "2.bias",
    ]


# ----------------------------------------------------------------------------------------------------------- whole runs


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


def test_a_recipe_of_transfer_runs_from_a_file_and_exports(photographs, squeezenet, tmp_path) -> None:
    overrides = asked(photographs, squeezenet, train={"epochs": 2, "batch_size": 6})
    result = zoo.run("squeezenet_transfer", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    record = result.record
    assert (record.parameters, record.trainable) == (723_522, 1_026)
    assert record.structure == {"trained": ["classifier.1"]}
    assert (record.preprocessing.scale, record.preprocessing.shape) == (256, (3, 224, 224))
    assert any(
        "50 of 52 tensors; re-initialised: classifier.1.weight 2×512×1×1, classifier.1.bias 2" in note
        for note in record.notes
    )
    own, given = zoo.load(result.path).state_dict(), load_file(squeezenet)
    changed = [
        name for name, value in own.items() if value.shape != given[name].shape or not torch.equal(value, given[name])
    ]
    assert changed == ["classifier.1.weight", "classifier.1.bias"]
    zoo.export(str(result.path), out=tmp_path / "bundle")
    assert (tmp_path / "bundle" / "model.onnx").is_file()


@pytest.mark.parametrize(
    ("weights", "error", "said"),
    [
        (
            None,
            CheckpointError,
            "the weights 'imagenet1k_v1' of torchvision/squeezenet1_1 are not here and cannot be downloaded",
        ),
        ("imagenat", UsageError, "did you mean imagenet1k_v1"),
    ],
)
def test_without_weights_a_run_says_where_to_get_them(photographs, weights, error, said) -> None:
    overrides = asked(photographs, weights) if weights else {"dataset": {"name": "folder", "path": str(photographs)}}
    with pytest.raises(error) as caught:
        prepare(resolve(registry(), "squeezenet_transfer", overrides=overrides))
    assert said in str(caught.value)


def test_none_begins_with_none_and_says_so(photographs) -> None:
    ready = prepare(resolve(registry(), "squeezenet_transfer", overrides=asked(photographs, "none")))
    assert "no pretrained weights: the whole network is initialised at random" in ready.notes
    assert ready.data.preprocessing.scale is None


def test_an_architecture_by_its_name_needs_weights_that_are_named(photographs) -> None:
    given = {
        "architecture": {"name": "torchvision/squeezenet1_1"},
        "task": {"name": "transfer"},
        **asked(photographs, "none"),
    }
    del given["weights"]
    with pytest.raises(
        UsageError,
        match=r"task transfer needs pretrained weights; fix: add --weights NAME, of imagenet1k_v1, or a file",
    ):
        prepare(resolve(registry(), overrides=given))


def test_weights_that_do_not_fit_beyond_their_head_are_refused(photographs, tmp_path, squeezenet) -> None:
    tensors = load_file(squeezenet)
    tensors["features.0.weight"] = torch.zeros(64, 1, 3, 3)
    (tmp_path / "odd.safetensors").write_bytes(save(tensors))
    with pytest.raises(CheckpointError, match=r"features\.0\.weight is \(64, 1, 3, 3\), not \(64, 3, 3, 3\)"):
        prepare(resolve(registry(), "squeezenet_transfer", overrides=asked(photographs, tmp_path / "odd.safetensors")))


def test_options_of_weights_are_the_networks_unless_others_are_asked_for() -> None:
    given = {"architecture": {"name": "torchvision/googlenet"}, "dataset": {"name": "digits"}, "weights": "imagenet"}
    assert resolve(registry(), overrides=given).config.architecture.options == {"transform_input": True}
    given["architecture"]["transform_input"] = False
    assert resolve(registry(), overrides=given).config.architecture.options == {"transform_input": False}


def test_one_error_lists_all_that_is_missing_of_data_and_weights() -> None:
    with pytest.raises(DataError) as caught:
        prepare(resolve(registry(), "vgg16_transfer"))
    message = str(caught.value)
    for words in (
        (
            "1 file of catdog cannot be downloaded: ZOO_OFFLINE forbids downloads; the weights 'imagenet1k_v1' of "
            "torchvision/vgg16 are not here either"
        ),
        "kagglecatsanddogs_5340.zip (824.9 MB) → ",
        "https://download.pytorch.org/models/vgg16-397923af.pth (553.4 MB) → ",
        "meanwhile, --data digits needs no download",
        "--weights none begins with none, and `zoo run digits_transfer` needs no download",
    ):
        assert words in message, message
    assert caught.value.exit_code == 3


# ------------------------------------------------------------------------------------------------ rates, and one by one


def test_rates_fall_towards_the_input_and_the_head_has_all_of_it() -> None:
    task = build(train="all", layer_decay=0.5)
    model, _ = task.prepare(network(), None)
    rates = task.rates(model)
    assert rates == {
        f"{layer}.{kind}": rate
        for layer, rate in (("2", 1.0), ("1", 0.5), ("0.1", 0.25), ("0.0", 0.125))
        for kind in ("weight", "bias")
    }
    optimizer = build_optimizer(model, TrainConfig(lr=0.1, weight_decay=0.01, weight_decay_scope="weights"), rates)
    by_shape = {
        tuple(each.shape): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for each in group["params"]
    }
    assert (
        by_shape[(2, 8)] == (0.1, 0.01)
        and by_shape[(8, 144)] == (0.05, 0.01)
        and by_shape[(4, 3, 3, 3)] == (0.0125, 0.01)
    )
    assert by_shape[(8,)] == (0.05, 0.0)


def test_a_schedule_keeps_the_shares() -> None:
    task = build(train="last:2", layer_decay=0.1)
    model, _ = task.prepare(network(), None)
    config = TrainConfig(lr=1.0, epochs=4, schedule="cosine", warmup_epochs=1, optimizer="sgd")
    optimizer = build_optimizer(model, config, task.rates(model))
    set_rates = build_schedule(optimizer, config, 10)
    for step in range(40):
        set_rates(step)
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(0.1 * first, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("epoch", "learning"),
    [(0, ["2"]), (1, ["2"]), (2, ["1", "2"]), (4, ["0.1", "1", "2"]), (20, ["0.0", "0.1", "1", "2"])],
)
def test_layers_join_one_by_one_from_the_head_backwards(epoch, learning) -> None:
    task = build(train="all", unfreeze_every=2)
    model, _ = task.prepare(network(), None)
    assert all(parameter.requires_grad for parameter in model.parameters())
    task.begin_epoch(model, epoch)
    assert [name for name, each in model.named_parameters() if each.requires_grad] == [
        f"{layer}.{kind}" for layer in learning for kind in ("weight", "bias")
    ]


def test_what_has_not_joined_stays_to_the_bit_in_a_run_and_a_resumed_run_ends_the_same(tmp_path, monkeypatch) -> None:
    overrides = {
        "architecture": {"name": "lenet"}, "dataset": {"name": "digits", "val_fraction": 0.8}, "weights": "none",
        "device": "cpu", "threads": 1,
        "task": {"name": "transfer", "train": "last:3", "unfreeze_every": 1, "layer_decay": 0.5},
        "train": {"epochs": 2, "keep_checkpoints": 5},
    }  # fmt: skip
    whole = zoo.run(None, overrides=overrides, out=tmp_path / "whole", console=Console(quiet=True))
    first, last = (checkpoints.weights(each) for each in sorted((whole.path / "checkpoints").glob("step-*")))
    changed = {name.partition(".")[0] for name in first if not torch.equal(first[name], last[name])}
    assert changed == {"fc3", "fc2"}  # fc1 would have joined in a third epoch
    from zoo.training import trainer

    def stopping(job, stop):
        if job.progress.epoch == 1:
            raise Interrupted("stopped", signum=2, where=job.run.path, fix="go on")

    monkeypatch.setattr(trainer, "stop_if_asked", stopping)
    with pytest.raises(Interrupted):
        zoo.run(None, overrides=overrides, out=tmp_path / "cut", console=Console(quiet=True))
    monkeypatch.undo()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    resumed = zoo.run(resume=tmp_path / "cut", console=Console(quiet=True))
    mine, theirs = (zoo.load(each.path).state_dict() for each in (resumed, whole))
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())


# -------------------------------------------------------------------------------------------------- from an earlier run


DIGITS = {"dataset": {"name": "digits", "resize": 28, "classes": [0, 1, 2]}, "device": "cpu", "train": {"epochs": 1}}


@pytest.fixture
def earlier():
    return zoo.run(
        "cnn",
        overrides={**DIGITS, "architecture": {"name": "cnn", "n_features": 4}, "name": "first"},
        console=Console(quiet=True),
    )


@pytest.mark.parametrize("name", ["first", "cnn", "cnn/first", "path"])
def test_a_run_gives_its_weights_its_options_and_how_it_saw_pictures(earlier, name) -> None:
    asked = {
        "architecture": {"name": "cnn"}, "dataset": {"name": "digits", "classes": [7, 8, 9]},
        "task": {"name": "transfer"},
        "weights": str(earlier.path) if name == "path" else name, "device": "cpu",
    }  # fmt: skip
    plan = resolve(registry(), overrides=asked)
    assert (plan.config.weights, plan.config.architecture.options) == ("cnn/first", {"n_features": 4})
    ready = prepare(plan)
    assert ready.data.preprocessing == earlier.record.preprocessing
    own, given = ready.model.state_dict(), zoo.load(earlier.path).state_dict()
    assert [key for key in own if not torch.equal(own[key], given[key])] == ["fc2.weight", "fc2.bias"]
    assert (
        "starting from the weights cnn/first: 6 of 8 tensors; re-initialised: fc2.weight 3×50, fc2.bias 3"
        in ready.notes
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
    assert "starting from the weights cnn/first: 8 of 8 tensors" in ready.notes


def test_a_run_of_another_architecture_is_refused(earlier) -> None:
    with pytest.raises(
        UsageError, match=r"weights: the run cnn/first is of classics/cnn, not of classics/lenet; fix: leave --arch out"
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
    assert {row["tensor"]: row["what became of it"] for row in rows if row["tensor"].startswith("fc")} == {
        "fc1.weight": "loaded", "fc1.bias": "loaded", "fc2.weight": "re-initialised", "fc2.bias": "re-initialised",
    }  # fmt: skip
    last = rows[-2]
    assert (last["shape"], last["shape in the weights"]) == ("2×50", "3×50")


def test_digits_transfer_begins_with_shipped_weights_and_needs_no_download() -> None:
    ready = prepare(resolve(registry(), "digits_transfer"))
    assert ready.data.classes == ("5", "6", "7", "8", "9")
    assert (
        "starting from the weights digits_0_to_4: 6 of 8 tensors; re-initialised: fc2.weight 5×50, fc2.bias 5"
        in ready.notes
    )


@pytest.mark.gpu
@pytest.mark.parametrize("cached", [False, True])
def test_on_cuda_transfer_reaches_the_accuracy_of_the_cpu(tmp_path, cached) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        overrides = {"device": device, "train": {"cache_features": cached}}
        result = zoo.run("digits_transfer", overrides=overrides, out=tmp_path / device, console=Console(quiet=True))
        found[device] = result.metrics["accuracy"]
    assert found["cuda"] >= found["cpu"] - 0.03


def test_pictures_without_labels_are_foretold_in_a_table(photographs, squeezenet, tmp_path) -> None:
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
    exhibit = result.record.report_items[-1]
    assert (exhibit.title, exhibit.file) == ("Pictures without labels", "predict/plots/predicted.png")
    assert (result.path / exhibit.file).is_file()
