"""Transfer learning: what learns, what stays to the bit, and where a network starts from."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save
from torch import nn
from zoo_tasks.options import TransferOptions
from zoo_tasks.transfer import Transfer, learning_layers

import zoo
from zoo.api import AdaptContext, EvaluationResult, PartView, Raw
from zoo.errors import CheckpointError, DataError, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.testing.adaptations import features_of
from zoo.training.preparation import prepare


def network() -> nn.Sequential:
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5))
    return nn.Sequential(backbone, nn.Linear(4 * 6 * 6, 8), nn.Linear(8, 2))


def _no_evaluation(_model: nn.Module, _part: PartView) -> EvaluationResult:
    raise AssertionError("freezing layers evaluates nothing")


CONTEXT = AdaptContext(None, None, _no_evaluation, print, features_of, Raw())  # type: ignore[arg-type]  # it looks at no data


def made(train: str = "head") -> Transfer:
    return Transfer(TransferOptions(train=train))


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
    transfer, plain = made(), network()
    model, adaptation = transfer.adapt(copy.deepcopy(plain), CONTEXT)
    assert adaptation == {"trained": ["2"]} and transfer.trains and transfer.teacher() is None
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.1)
    for _ in range(3):
        model.train()
        transfer.configure_train_mode(model)
        model(torch.randn(8, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    before, after = plain.state_dict(), model.state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"2.weight", "2.bias"}
    assert model[0][4].training and not model[0][1].training


def test_a_norm_that_learns_keeps_learning_its_statistics() -> None:
    transfer = made("all")
    model, _ = transfer.adapt(network(), CONTEXT)
    model.train()
    transfer.configure_train_mode(model)
    assert all(module.training for module in model.modules())


def test_the_adaptation_alone_freezes_the_same() -> None:
    _, adaptation = made("last:2").adapt(network(), CONTEXT)
    rebuilt = made().rebuild(network(), adaptation)
    assert [name for name, each in rebuilt.named_parameters() if each.requires_grad] == [
        "1.weight",
        "1.bias",
        "2.weight",
        "2.bias",
    ]


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


# ----------------------------------------------------------------------------------------------------------- whole runs


def test_a_recipe_of_transfer_runs_from_a_file_and_exports(photographs, squeezenet, tmp_path) -> None:
    overrides = asked(photographs, squeezenet, train={"epochs": 2, "batch_size": 6})
    result = zoo.run("squeezenet_transfer", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    record = result.record
    assert (record.parameters, record.trainable) == (723_522, 1_026)
    assert (record.adaptations, record.solution) == ([{"trained": ["classifier.1"]}], None)
    assert record.statistics == {}
    assert (record.preprocessing.scale, record.preprocessing.shape) == (256, (3, 224, 224))
    assert any(
        "50 of 52 tensors; re-initialised: classifier.1.weight 2×512×1×1, classifier.1.bias 2" in note
        for note in record.notes
    )
    own, given = zoo.load(result.path).module.state_dict(), load_file(squeezenet)
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
    assert "no pretrained weights: the whole network is randomly initialised" in ready.notes
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
        match=r"task transfer needs pretrained weights; fix: add --weights imagenet1k_v1 or --weights FILE",
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
        "--weights none starts from random weights, and `zoo run digits_transfer` needs no download",
    ):
        assert words in message, message
    assert caught.value.exit_code == 3
