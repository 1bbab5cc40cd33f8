"""`zoo weights`, and `zoo predict` with weights of an architecture."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from zoo.models.pretrained_weights import weights_file
from zoo.registry.lookup import registry


def test_weights_are_listed_with_what_they_reach(zoo) -> None:
    told = zoo("weights", "list", "squeezenet1_1")
    assert told.code == 0
    assert (
        told.out.splitlines()[1].split()[:4] == ["imagenet1k_v1", "no", "imagenet-1k", "1,000"]
        and "accuracy 58.18%" in told.out
    )
    row, other = json.loads(zoo("weights", "list", "cnn", "--json").out)
    assert (row["name"], row["here"], row["classes"], row["place"]) == ("mnist", True, 10, None)
    assert (other["name"], other["classes"]) == ("digits_0_to_4", 5)
    assert zoo("weights", "list", "lenet") == (0, "", "classics/lenet names no weights\n")


def test_a_pickle_is_converted_once(zoo, tmp_path) -> None:
    torch.save({"weight": torch.ones(2, 3)}, tmp_path / "net.pth")
    told = zoo("weights", "convert", str(tmp_path / "net.pth"), str(tmp_path / "net.safetensors"))
    assert told.code == 0 and told.out == f"{tmp_path / 'net.safetensors'}: 1 tensors of 6 numbers\n"
    assert torch.equal(load_file(tmp_path / "net.safetensors")["weight"], torch.ones(2, 3))
    told = zoo("weights", "convert", str(tmp_path / "net.pth"), str(tmp_path / "net"))
    assert told.code == 2 and "this file is there already" in told.err
    assert (
        json.loads(zoo("weights", "convert", str(tmp_path / "net.pth"), str(tmp_path / "other"), "--json").out)[
            "tensors"
        ]
        == 1
    )


def test_what_was_done_to_the_names_is_said(zoo, tmp_path) -> None:
    torch.save({"state_dict": {"module.fc.weight": torch.ones(2, 3)}, "epoch": 1}, tmp_path / "net.pth")
    told = zoo("weights", "convert", str(tmp_path / "net.pth"), str(tmp_path / "net.safetensors"))
    assert told.out.endswith(
        "net.safetensors: 1 tensors of 6 numbers; read under 'state_dict', without the prefix 'module.'\n"
    )
    assert list(load_file(tmp_path / "net.safetensors")) == ["fc.weight"]


def test_a_run_asks_which_of_two_networks_it_starts_from(zoo, tmp_path) -> None:
    shipped = load_file(weights_file(registry().architecture("cnn"), "mnist"))
    save_file(
        {
            f"{key}.{name}": value + shift
            for key, shift in (("model", 0), ("ema", 1))
            for name, value in shipped.items()
        },
        tmp_path / "two.safetensors",
    )
    run = ["run", "cnn", "--data", "digits", "--dry-run", "--device", "cpu", "--set", "dataset.resize=28"]
    told = zoo(*run, "--weights", str(tmp_path / "two.safetensors"))
    assert (
        told.code == 2
        and "several networks in these weights: 'ema', 'model'" in told.err
        and "--weights-key" in told.err
    )
    told = zoo(*run, "--weights", str(tmp_path / "two.safetensors"), "--weights-key", "ema")
    assert told.code == 0 and "read under 'ema'" in told.out
    told = zoo(*run, "--weights-key", "ema")
    assert told.code == 2 and "weights is not a file" in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["download", "squeezenet1_1"], 4, "ZOO_OFFLINE forbids downloads"),
        (["download", "squeezenet1_1", "imagenat"], 2, "did you mean imagenet1k_v1?"),
        (["download", "lenet"], 2, "classics/lenet names no weights"),
        (["convert", "nothing.pth", "out"], 4, "the file does not exist"),
    ],
)
def test_what_cannot_be_had_is_said(zoo, arguments, code, line, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = zoo("weights", *arguments)
    assert told.code == code and line in told.err and told.out == ""


def test_images_are_predicted_by_an_architecture_with_weights_and_drawn(zoo, tmp_path) -> None:
    Image.new("L", (40, 40), 120).save(tmp_path / "grey.png")
    told = zoo(
        "predict", "cnn", str(tmp_path), "--weights", "mnist", "--plot", str(tmp_path / "drawn.png"), "--top", "1"
    )
    assert told.code == 0, told.err
    assert told.out.startswith(f"{tmp_path / 'grey.png'}: ")
    assert "predicted by classics/cnn with mnist, torch" in told.err and "saved:" in told.err
    with Image.open(tmp_path / "drawn.png") as drawn:
        assert drawn.size[1] > 100
