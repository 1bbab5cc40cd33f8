"""docs/tutorial-mnist.md: its commands run, its figures are the recipes', and its reason is true of the networks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.cli.app import run_cli
from zoo.data.preprocessing import Preprocessing
from zoo.models.building import build_model, count_parameters
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import all_runs

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial-mnist.md").read_text(encoding="utf-8")
COMMANDS = [
    line[2:]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
    for line in block.splitlines()
    if line.startswith("$ zoo ")
]
RECIPES = ("fnn_mnist", "fnn_mnist_permuted", "cnn_mnist", "cnn_mnist_permuted")


def go_through(folder, monkeypatch, capsys, change=lambda words: words) -> str:
    """Run the page's commands, one after the other, in ``folder``; everything they said."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ZOO_RUNS", str(folder / "runs"))
    told = ""
    for command in COMMANDS:
        words = change(shlex.split(command)[1:])
        code = run_cli(words)
        said = capsys.readouterr()
        assert code == 0, f"{command}\n{said.out}\n{said.err}"
        told += said.out
    return told


def on_digits(words: list[str]) -> list[str]:
    """The same on embedded images: a recipe keeps its name, and is run on the digits."""
    if words[0] == "run":
        return [*words, "--data", "digits", "--set", "dataset.resize=28", "--set", "train.batch_size=128"]
    return [word.replace("mnist", "digits") for word in words] if words[0] == "show" else words


def test_the_commands_are_right(tmp_path, monkeypatch, capsys) -> None:
    told = go_through(tmp_path, monkeypatch, capsys, on_digits)
    assert {run.record.label for run in all_runs()} == set(RECIPES) and len(all_runs()) == 5
    assert (
        (tmp_path / "digits.png").is_file()
        and (tmp_path / "permuted.png").is_file()
        and (tmp_path / "compare.png").is_file()
    )
    assert "dataset.permute_pixels   –" in told and "6,442 parameters" in told


@pytest.mark.realdata
@pytest.mark.slow
def test_the_commands_come_out_as_the_page_says(tmp_path, monkeypatch, capsys) -> None:
    """On MNIST itself, a seed each: within four standard deviations of what the recipes state, and in the order of the
    story."""
    go_through(tmp_path, monkeypatch, capsys)
    reached = {
        run.record.label: run.record.results["test"]["accuracy"] for run in all_runs() if run.path.name != "another"
    }
    for name in RECIPES:
        expected = registry().recipe(name).spec.expected
        assert abs(reached[name] - expected.mean) < 4 * expected.sd
    assert (
        reached["cnn_mnist"] > max(reached["fnn_mnist"], reached["fnn_mnist_permuted"]) > reached["cnn_mnist_permuted"]
    )


def test_the_figures_are_the_recipes() -> None:
    for name in RECIPES:
        expected = registry().recipe(name).spec.expected
        assert expected.seeds == 10
        assert f"| `{name}` | {expected.mean:.2%} ± {expected.sd:.2%} |" in PAGE


def network(recipe: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_model(
        registry(), resolve(registry(), recipe).config.architecture, in_channels=1, num_outputs=10, image_size=(28, 28)
    ).eval()


def test_parameters_and_settings_are_as_the_page_says() -> None:
    table = PAGE.partition("| parameters |")[2].splitlines()[0]
    assert re.findall(r"[\d,]+", table) == [
        f"{count_parameters(network(name))[0]:,}" for name in ("fnn_mnist", "cnn_mnist")
    ]
    train = resolve(registry(), "cnn_mnist").config.train
    assert (train.epochs, train.optimizer, train.lr, train.momentum, train.batch_size) == (1, "sgd", 0.01, 0.5, 64)


def test_the_same_shuffle_of_the_first_weights_undoes_a_shuffle_of_the_pixels() -> None:
    """The reason given for the fully-connected network; no such thing holds for the convolutional one."""
    images = np.random.RandomState(1).randint(0, 256, (50, 1, 28, 28)).astype(np.uint8)
    shape = {"channels": 1, "height": 28, "width": 28, "mean": (0.1307,), "std": (0.3081,)}
    permuted = Preprocessing(**shape, permute_pixels=0).apply(images)
    order = np.random.RandomState(0).permutation(784)
    assert (permuted.reshape(50, 784) == images.reshape(50, 784)[:, order]).all()
    plain, shuffled = (torch.from_numpy(each).float() / 255 for each in (images, permuted))
    model = network("fnn_mnist")
    with torch.no_grad():
        before = model(plain)
        first = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Linear))
        first.weight.copy_(first.weight[:, torch.from_numpy(order)].clone())
        torch.testing.assert_close(model(shuffled), before, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(network("cnn_mnist")(plain), network("cnn_mnist")(shuffled), atol=1e-3)
