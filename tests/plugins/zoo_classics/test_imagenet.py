"""The networks of the ImageNet years: their published counts, their papers' layer tables, and torchvision's networks as
the other implementation."""

from __future__ import annotations

import json

import pytest
import torch
import torchvision
from torch import nn
from zoo_classics.googlenet import STYLES, Inception, NaiveInception, Widths

import zoo
from zoo.config.run_config import Section
from zoo.models.building import build_model, count_macs, count_parameters
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import options_model, registry
from zoo.reporting.console import Console

PUBLISHED = [
    ("alexnet", {}, 62_378_344),
    ("alexnet", {"groups": 2}, 60_965_224),
    ("alexnet", {"variant": "torchvision"}, 61_100_840),
    ("zfnet", {}, 62_357_608),
    ("zfnet", {"wide": True}, 107_627_624),
    ("vgg11", {}, 132_863_336),
    ("vgg13", {}, 133_047_848),
    ("vgg16", {}, 138_357_544),
    ("vgg16", {"batch_norm": True}, 138_365_992),
    ("vgg19", {}, 143_667_240),
    ("googlenet", {}, 13_378_280),
    ("googlenet", {"auxiliary": False}, 6_998_552),
    ("googlenet", {"variant": "torchvision"}, 13_004_888),
    ("googlenet", {"variant": "torchvision", "auxiliary": False}, 6_624_904),
    ("inception_v2", {}, 11_285_224),
    ("inception_v3", {}, 27_161_264),
    ("resnet18", {}, 11_689_512),
    ("resnet34", {}, 21_797_672),
    ("resnet50", {}, 25_557_032),
    ("resnet50", {"variant": "paper"}, 25_557_032),
    ("resnet101", {}, 44_549_160),
    ("resnet152", {}, 60_192_808),
]
"""Parameters with 1000 classes (for GoogLeNet and Inception v3 with the auxiliary classifiers, where not said)."""


def network(
    name: str, *, side: int = 224, classes: int = 1000, channels: int = 3, device: str = "meta", **options: object
) -> nn.Module:
    item = registry().architecture(f"classics/{name}")
    section = Section(name=item.canonical, **options_model(item)(**options).model_dump())
    with torch.device(device):
        return build_model(registry(), section, in_channels=channels, num_outputs=classes, image_size=(side, side))


@pytest.mark.parametrize(("name", "options", "parameters"), PUBLISHED)
def test_parameters_are_the_published(name, options, parameters) -> None:
    model = network(name, side=299 if name == "inception_v3" else 224, **options)
    assert count_parameters(model) == (parameters, parameters)


def sides(model: nn.Module, features: nn.Module, side: int = 224) -> list[tuple[int, int]]:
    """(channels, side) after every convolution and pool."""
    found: list[tuple[int, int]] = []
    for module in features.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d):
            module.register_forward_hook(
                lambda _module, _inputs, output: found.append((output.shape[1], output.shape[2]))
            )
    model.eval()(torch.zeros(1, 3, side, side, device="meta"))
    return found


def test_alexnet_has_the_papers_layers() -> None:
    model = network("alexnet")
    expected = [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (384, 13), (256, 13), (256, 6)]
    assert sides(model, model.features) == expected
    linear = sum(parameter.numel() for parameter in model.classifier.parameters())
    assert linear / count_parameters(model)[0] == pytest.approx(0.94, abs=0.005)


@pytest.mark.parametrize(("wide", "third", "fourth", "fifth"), [(False, 384, 384, 256), (True, 512, 1024, 512)])
def test_zfnet_has_the_papers_layers(wide, third, fourth, fifth) -> None:
    model = network("zfnet", wide=wide)
    expected = [(96, 110), (96, 55), (256, 26), (256, 13), (third, 13), (fourth, 13), (fifth, 13), (fifth, 6)]
    assert sides(model, model.features) == expected


def test_response_norm_is_the_papers() -> None:
    """b = a / (k + α Σ a²)^β over five neighbours, with k = 2, α = 1e-4, β = 0.75; torch would divide α by five."""
    from zoo_classics.alexnet import response_norm

    a = torch.randn(1, 12, 2, 2, generator=torch.Generator().manual_seed(0)) * 30
    summed = torch.stack([(a[:, max(0, i - 2) : i + 3] ** 2).sum(1) for i in range(12)], 1)
    torch.testing.assert_close(response_norm()(a), a / (2 + 1e-4 * summed) ** 0.75)


def test_inception_v2_has_the_papers_table() -> None:
    model = network("inception_v2")
    widths = {name: module.out_width for name, module in model.inceptions.items()}
    # Figure 5 says 576 after 4c and 4d, where its branches sum to 608: the branches are followed
    assert list(widths.values()) == [256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024]
    found = {name: [] for name in widths}
    for name, module in model.inceptions.items():
        module.register_forward_hook(lambda _module, _inputs, output, name=name: found[name].append(output.shape[2]))
    model.eval()(torch.zeros(1, 3, 224, 224, device="meta"))
    assert [found[name] for name in widths] == [[28], [28], [14], [14], [14], [14], [14], [7], [7], [7]]


def test_two_3x3_for_a_5x5_are_18_weights_for_25() -> None:
    assert 2 * nn.Conv2d(1, 1, 3).weight.numel() == 18
    assert nn.Conv2d(1, 1, 5).weight.numel() == 25


def test_the_naive_module_costs_what_the_reference_counts() -> None:
    """On 28×28×256: 128 + 192 + 96 + 256 = 672 channels and 854 M multiply-accumulates, beside the one with
    reductions."""
    widths = Widths(one=128, reduce3=64, three=192, reduce5=64, five=96, pool=64)
    with torch.device("meta"):
        naive, reduced = (kind(STYLES["paper"], 256, widths) for kind in (NaiveInception, Inception))
    assert naive.out_width == 672
    assert naive(torch.zeros(1, 256, 28, 28, device="meta")).shape == (1, 672, 28, 28)
    assert count_macs(naive, (256, 28, 28)) == 28 * 28 * 256 * (128 + 9 * 192 + 25 * 96) == 854_196_224
    assert count_macs(reduced, (256, 28, 28)) < count_macs(naive, (256, 28, 28)) / 2


def test_googlenet_has_22_layers_and_one_linear_layer() -> None:
    model = network("googlenet", auxiliary=False)
    branches = [module for module in model.modules() if isinstance(module, Inception)]
    plain = [model.conv1, model.conv2, model.conv3, model.fc]
    assert len(plain) + 2 * len(branches) == 22  # an inception module is two layers deep
    assert sum(isinstance(module, nn.Linear) for module in model.modules()) == 1
    alexnet, _ = count_parameters(network("alexnet"))
    assert alexnet / count_parameters(model)[0] == pytest.approx(8.9, abs=0.05)


@pytest.mark.parametrize(("name", "heads"), [("googlenet", {"aux1": 0.3, "aux2": 0.3}), ("inception_v3", {"aux": 0.3})])
def test_auxiliary_classifiers_are_there_in_training_alone(name, heads) -> None:
    reader = OutputReader(registry().architecture(f"classics/{name}").spec.outputs)
    assert {output.name: output.auxiliary for output in reader.auxiliary} == heads
    model = network(name, side=96, classes=5)
    inputs = torch.zeros(2, 3, 96, 96, device="meta")
    outputs = reader.by_name(model.train()(inputs))
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == dict.fromkeys(["output", *heads], (2, 5))
    assert model.eval()(inputs).shape == (2, 5)
    without = network(name, side=96, classes=5, auxiliary=False)
    assert without.train()(inputs).shape == (2, 5)


THEIRS = [
    ("alexnet", {"variant": "torchvision"}, "alexnet", {}, 224),
    ("vgg11", {}, "vgg11", {"init_weights": False}, 64),
    ("vgg13", {"batch_norm": True}, "vgg13_bn", {"init_weights": False}, 64),
    ("vgg16", {}, "vgg16", {"init_weights": False}, 32),
    ("vgg19", {"batch_norm": True}, "vgg19_bn", {"init_weights": False}, 32),
    ("googlenet", {"variant": "torchvision"}, "googlenet", {"init_weights": False, "transform_input": False}, 96),
    ("inception_v3", {}, "inception_v3", {"init_weights": False}, 299),
    *((f"resnet{depth}", {}, f"resnet{depth}", {}, 64) for depth in (18, 34, 50, 101, 152)),
]


@pytest.mark.parametrize(("name", "options", "theirs", "arguments", "side"), THEIRS)
def test_torchvisions_weights_give_torchvisions_logits(name, options, theirs, arguments, side) -> None:
    torch.manual_seed(0)
    other = getattr(torchvision.models, theirs)(**arguments).eval()
    ours = network(name, side=side, **options).eval()
    ours.load_state_dict(other.state_dict(), assign=True)
    inputs = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected, found = other(inputs), ours(inputs)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_inception_v3s_head_is_torchvisions() -> None:
    torch.manual_seed(0)
    other = torchvision.models.inception_v3(init_weights=False).train()
    ours = network("inception_v3", side=299, dropout=0.0)
    ours.load_state_dict(other.state_dict(), assign=True)
    other.dropout.p = 0.0
    inputs = torch.randn(2, 3, 299, 299)
    with torch.no_grad():
        expected, found = other(inputs), ours.train()(inputs)
    torch.testing.assert_close(found["output"], expected.logits)
    torch.testing.assert_close(found["aux"], expected.aux_logits)


@pytest.mark.parametrize("depth", [18, 50])
def test_the_plain_network_is_the_residual_one_without_shortcuts(depth) -> None:
    """With its branches set to nothing a residual network passes its input on, where the plain one has nothing left."""
    for residual in (True, False):
        torch.manual_seed(0)
        model = network(f"resnet{depth}", side=64, device="cpu", residual=residual).eval()
        last = model.layer1[-1]
        norm = last.bn2 if depth < 50 else last.bn3
        nn.init.zeros_(norm.weight)
        width = model.layer2[0].conv1.in_channels
        inputs = torch.rand(1, width, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(last(inputs), inputs if residual else torch.zeros_like(inputs))


def test_the_papers_bottleneck_strides_in_its_first_convolution() -> None:
    model = network("resnet50", variant="paper")
    assert [(block.conv1.stride[0], block.conv2.stride[0]) for block in (model.layer1[0], model.layer2[0])] == [
        (1, 1),
        (2, 1),
    ]
    assert count_macs(model, (3, 224, 224)) == pytest.approx(3.8e9, rel=0.02)  # table 1 of the paper
    assert count_macs(network("resnet50"), (3, 224, 224)) == pytest.approx(4.089e9, rel=0.001)


QUICK = {"googlenet"}  # with auxiliary classifiers; resnet18 is trained in tests/workflows/test_matrix.py
NAMES = sorted({name for name, _, _ in PUBLISHED})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NAMES]
)
def test_it_learns_from_digits_and_its_export_is_proved(name, tmp_path) -> None:
    """One step of training on a batch of the embedded digits, and the export through the gate."""
    train = {"epochs": 1, "batch_size": 32, "lr": 1e-4}
    result = zoo.run(
        name,
        overrides={"device": "cpu", "dataset": {"name": "digits", "val_fraction": 0.977}, "train": train},
        out=tmp_path / "run",
        console=Console(quiet=True),
    )
    assert result.record.samples["train"] < 2 * 32
    zoo.export(str(result.path), out=tmp_path / "bundle")
    verified = json.loads((tmp_path / "bundle" / "verify.json").read_text())
    assert (tmp_path / "bundle" / "model.onnx").is_file()
    assert (verified["provider"], verified["batches"], verified["precision"]) == ("cpu", [1, 2, 7], "fp32")
