"""What `zoo info` shows of the classics against the facts of the papers and of the reference experiments."""

from __future__ import annotations

import json

import pytest
from zoo_classics.googlenet import STYLES, Inception, NaiveInception, Widths

from zoo.analysis.layer_table import Anatomy, anatomy
from zoo.cli.app import run_cli
from zoo.registry.lookup import registry
from zoo.workflows.component_facts import Asked, examine

SIZES = {
    "fnn": 6_442, "cnn": 6_422, "cnn_bn": 29_434, "lenet": 62_006, "vgg_cifar": 9_231_114, "alexnet": 62_378_344,
    "zfnet": 62_357_608, "vgg16": 138_357_544,
    "googlenet": 13_378_280, "inception_v3": 27_161_264, "resnet18": 11_689_512, "resnet34": 21_797_672,
    "resnet50": 25_557_032,
}  # fmt: skip


def _examined(name: str, **options: object) -> Anatomy:
    catalogue = registry()
    return examine(catalogue, catalogue.architecture(name), Asked(options=options))[0]


LARGE = ("vgg16", "inception_v3", "resnet34", "zfnet", "googlenet")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in SIZES]
)
def test_parameters_are_the_published(name: str) -> None:
    found = _examined(name)
    assert found.parameters == SIZES[name]
    assert all(layer.axes for layer in found.layers if layer.output is not None)


def test_alexnets_layers_are_the_papers_each_under_its_own_name() -> None:
    found = _examined("alexnet")
    rows = {layer.name: layer for layer in found.layers}
    assert len(rows) == len(found.layers), "no name stands twice"
    assert [(name, rows[name].kind) for name in ("features.2", "features.6")] == [
        (f"features.{place}", "LocalResponseNorm") for place in (2, 6)
    ]
    outputs = [rows[f"features.{place}"].output for place in (0, 3, 4, 7, 8, 10, 12, 14)]
    assert outputs == [
        (96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13), (256, 13, 13),
        (256, 6, 6),
    ]  # fmt: skip
    assert [rows[f"classifier.{place}"].output for place in (1, 4, 6)] == [(4096,), (4096,), (1000,)]
    assert found.by_kind["Linear"] / found.parameters == pytest.approx(0.94, abs=0.005)


def test_zfnets_sides_are_the_papers() -> None:
    rows = {layer.name: layer for layer in _examined("zfnet").layers}
    assert [
        rows[f"features.{place}"].output[-1] for place in (0, 2, 4, 6, 12, 14) if rows[f"features.{place}"].output
    ] == [110, 55, 26, 13, 13, 6]


def test_the_naive_modules_672_channels_are_a_row() -> None:
    """Figure 2(a) on 28×28×256: 128 + 192 + 96 + 256 channels, 854 million multiply-accumulates; with reductions, fewer
    of both."""
    widths = Widths(128, 128, 192, 32, 96, 64)
    naive = anatomy(NaiveInception(STYLES["paper"], 256, widths), (256, 28, 28))
    joined = naive.layers[-1]
    assert (joined.name, joined.kind, joined.output) == ("concatenation", "function", (672, 28, 28))
    branches = ("branch1.conv", "branch2.conv", "branch3.conv", "branch4")
    assert [layer.output[0] for layer in naive.layers if layer.name in branches and layer.output] == [128, 192, 96, 256]
    assert round(naive.macs / 1e6) == 854
    reduced = anatomy(Inception(STYLES["paper"], 256, widths), (256, 28, 28))
    assert reduced.layers[-1].output == (480, 28, 28) and reduced.macs < naive.macs / 2


def test_googlenets_concatenations_are_the_papers_table() -> None:
    found = _examined("googlenet")
    joined = {
        layer.name.removesuffix(".concatenation"): layer.output
        for layer in found.layers
        if layer.name.endswith(".concatenation")
    }
    widths = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832, "5a": 832, "5b": 1024}
    sides = {"3": 28, "4": 14, "5": 7}
    assert joined == {f"inception{name}": (width, sides[name[0]], sides[name[0]]) for name, width in widths.items()}


def test_the_receptive_field_of_googlenet_is_told_of_the_layer_that_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["info", "googlenet"]) == 0
    assert "715 pixels after inception5b.branch3.1.conv, one every 32 pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("zfnet", "local response normalisation in place of contrast normalisation"),
        ("alexnet", "one tower in place of two"),
        ("inception_v2", "608 channels after 4c and 4d"),
        ("resnet50", "the stride of a bottleneck is in its 3×3 convolution"),
    ],
)
def test_where_a_network_differs_from_its_paper_is_shown(
    name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["info", name]) == 0
    assert words in capsys.readouterr().out
    assert run_cli(["info", name, "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert words in facts["deviations"]


def test_info_says_which_tasks_start_from_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["info", "transfer"]) == 0
    assert "architecture, labels, weights" in " ".join(capsys.readouterr().out.split())
