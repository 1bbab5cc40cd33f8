"""`zoo info` of networks, and `zoo arithmetic`."""

from __future__ import annotations

import json

import pytest
from PIL import Image


def test_info_tells_where_the_parameters_are_and_what_the_network_costs(zoo) -> None:
    told = zoo("info", "lenet")
    assert told.code == 0
    for text in (
        "62,006, all trainable (3×32×32, 10 classes)",
        "Linear 59,134 (95.4%), Conv2d 2,872 (4.6%)",
        "651.7 k (651,720) per image",
        "16 pixels after max_pool2d, one every 4 pixels",
        "fc1    ████████████████████████████████████████ 48.12 k (77.6%)",
        "78% of the parameters are in one Linear, fc1",
    ):
        assert text in told.out
    assert "receptive field, layer by layer" not in told.out


def test_the_table_of_layers_shows_the_arithmetic_behind_it(zoo) -> None:
    lines = [line.split() for line in zoo("info", "lenet", "--layers").out.splitlines()]
    assert ["conv2", "Conv2d", "16×10×10", "5", "1", "0", "2,416", "240", "k", "14", "2"] in lines
    assert ["fc2", "Linear", "84", "10,164", "10.08", "k", "all"] in lines
    assert ["conv2", "14", "−", "5", "+", "1", "=", "10", "6", "+", "(5", "−", "1)·2", "=", "14"] in lines


def test_a_network_is_examined_as_asked(zoo) -> None:
    (facts,) = json.loads(
        zoo("info", "cnn", "--input", "3,40,28", "--classes", "7", "--set", "architecture.n_features=9", "--json").out
    )
    network = facts["network"]
    assert (network["input"], network["output"], network["classes"]) == ([3, 40, 28], [7], 7)
    assert network["layers"][0]["output"][0] == 9
    assert (
        network["parameters"]
        == sum(layer["parameters"] for layer in network["layers"])
        == sum(network["blocks"].values())
    )
    (step,) = network["layers"][0]["steps"]
    assert step["formulas"]["h"]["positions"] == "40 − 5 + 1 = 36"
    assert step["formulas"]["w"]["field"] == "1 + (5 − 1) = 5"


def test_a_recipe_is_examined_with_its_data_where_that_is_asked(zoo) -> None:
    (plain,) = json.loads(zoo("info", "cnn_digits", "--json").out)
    assert "network" not in plain
    (facts,) = json.loads(zoo("info", "cnn_mnist", "--layers", "--json").out)
    assert facts["network"]["input"] == [1, 28, 28]
    assert facts["network"]["parameters"] == 6422


def test_a_network_is_drawn(zoo, tmp_path, full_figures) -> None:
    file = tmp_path / "lenet.png"
    told = zoo("info", "lenet", "--plot", str(file))
    assert told.code == 0 and f"saved: {file}" in told.out
    with Image.open(file) as image:
        assert image.format == "PNG" and min(image.size) > 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits", "--layers"], "dataset 'datasets/digits' is no network; fix: name an architecture or a recipe"),
        (["lenet", "--input", "3,224"], "--input takes channels, height and width, not '3,224'"),
        (["lenet", "--input", "3,8,8"], "8×8"),
        (["cnn", "--set", "architecture.n_feature=4"], "did you mean n_features"),
        (["cnn", "--set", "train.lr=4"], "--set train is none of the architecture's options"),
        (["lenett", "--layers"], "did you mean lenet"),
    ],
)
def test_what_cannot_be_examined_is_one_line(zoo, words, message) -> None:
    told = zoo("info", *words)
    assert told.code != 0
    assert told.out == ""
    assert len(told.err.strip().splitlines()) == 1 and message in told.err


def test_the_arithmetic_of_a_layer(zoo) -> None:
    told = zoo("arithmetic", "conv2d", "--out", "10", "--kernel", "5")
    assert told.code == 0
    for text in (
        "10×28×28",
        "28×28×10 with the channels last",
        "32 − 5 + 1 = 28",
        "(5·5·3 + 1)·10 = 760",
        "28·28·10·(5·5·3) = 588,000",
    ):
        assert text in told.out
    answer = json.loads(zoo("arithmetic", "linear", "--input", "16,5,5", "--out", "120", "--no-bias", "--json").out)
    assert (answer["output"], answer["parameters"], answer["formulas"]["inputs"]) == ([120], 48000, "16·5·5 = 400")
    assert (
        "1×65 (channels × length)" in zoo("arithmetic", "conv1d", "--out", "1", "--kernel", "4", "--padding", "2").out
    )


def test_a_convolution_of_a_signal_is_drawn(zoo, tmp_path) -> None:
    file = tmp_path / "delays.png"
    answer = json.loads(zoo("arithmetic", "conv1d", "--out", "1", "--kernel", "4", "--plot", str(file), "--json").out)
    assert answer["image"] == str(file)
    with Image.open(file) as image:
        assert image.format == "PNG"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["conv3d"], "did you mean conv"),
        (["attention"], "choose one of: conv1d, conv2d, maxpool2d, avgpool2d, linear"),
        (["conv2d", "--out", "3"], "conv2d needs a kernel; fix: add --kernel N"),
        (["conv2d", "--out", "3", "--kernel", "a"], "--kernel takes whole numbers with commas between them, not 'a'"),
        (["maxpool2d", "--kernel", "2", "--plot", "x.png"], "maxpool2d is not drawn"),
    ],
)
def test_a_layer_that_cannot_be_is_one_line(zoo, words, message) -> None:
    told = zoo("arithmetic", *words)
    assert told.code == 2
    assert len(told.err.strip().splitlines()) == 1 and message in told.err
