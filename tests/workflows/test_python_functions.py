"""The functions of `zoo` that build, open and describe: against the registry, the weights and the commands."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.cli.app import run_cli
from zoo.errors import CheckpointError, ConfigError, UnknownNameError, UsageError
from zoo.registry.lookup import registry
from zoo.runs.load_model import load_pretrained


def printed(*command: str) -> object:
    with redirect_stdout(io.StringIO()) as told:
        assert run_cli([*command, "--json"]) == 0
    return json.loads(told.getvalue())


def test_a_network_is_built_with_trained_weights() -> None:
    trained = load_pretrained(registry(), "cnn", "mnist").model.state_dict()
    built = zoo.build("cnn", weights="mnist")
    assert built.training and all(torch.equal(value, trained[name]) for name, value in built.state_dict().items())
    other = zoo.build("cnn", weights="mnist", num_outputs=3).state_dict()
    anew = {name for name in other if other[name].shape != trained[name].shape}
    assert anew and all(torch.equal(other[name], trained[name]) for name in set(other) - anew)
    assert all(name.startswith(str(registry().architecture("cnn").spec.head)) for name in anew)


def test_a_network_is_built_from_torch_s_generator_with_its_options() -> None:
    torch.manual_seed(1)
    one = zoo.build("cnn", num_outputs=3, n_features=12)
    torch.manual_seed(1)
    other = zoo.build("cnn", num_outputs=3, n_features=12)
    assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    assert one(torch.zeros(2, 1, 28, 28)).shape == (2, 3)
    assert zoo.build("resnet18", input=(1, 64, 64), num_outputs=2)(torch.zeros(2, 1, 64, 64)).shape == (2, 2)
    recipe = zoo.build("cnn_digits")
    assert isinstance(recipe, type(one))


@pytest.mark.parametrize(
    ("name", "settings", "error", "said"),
    [
        ("nosuch", {}, UnknownNameError, r"see zoo\.list_recipes\(\)|did you mean"),
        ("cnn", {"n_featurs": 3}, ConfigError, "did you mean n_features"),
        ("cnn", {"weights": "nosuch"}, UsageError, "not a file, a run, or weights of"),
        ("transfer", {}, UsageError, r"has no network; fix: name an architecture \(see zoo\.list_architectures\(\)\)"),
    ],
)
def test_what_cannot_be_built_is_one_line(name: str, settings: dict[str, str], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        zoo.build(name, **settings)  # type: ignore[arg-type]


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"other": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError):
        zoo.build("cnn", weights=str(tmp_path / "other.safetensors"))


def test_data_is_opened_by_name_and_from_arrays() -> None:
    data = zoo.open_data("digits", val_fraction=0.1)
    assert data.samples == {"train": 1294, "test": 360, "val": 143} and data.classes == tuple("0123456789")
    part = zoo.open_data("digits", splits=["test"], resize=16).parts["test"]
    assert part.images_of([0, 1]).shape == (2, 16, 16, 1)
    images, values = np.full((10, 4, 4), 255, np.uint8), np.arange(10) / 4
    own = zoo.open_data((images, values), names=["age"])
    assert own.target.names == ("age",) and own.samples == {"train": 8, "test": 2}  # type: ignore[union-attr]
    batch = next(iter(own.parts["train"].batches(8)))
    assert batch.inputs.shape == (8, 1, 4, 4) and batch.targets is not None and batch.targets.shape == (8, 1)
    with pytest.raises(UsageError, match="has no val split"):
        zoo.open_data("digits", splits=["val"])


def test_facts_are_those_of_the_command() -> None:
    for name in ("cnn", "digits", "cnn_digits"):
        (due,) = printed("info", name)  # type: ignore[misc]
        assert json.loads(json.dumps(zoo.info(name))) == due
    (due,) = printed("info", "cnn", "--classes", "3", "--input", "1,32,32")  # type: ignore[misc]
    found = zoo.info("cnn", num_outputs=3, input=(1, 32, 32))
    assert found["network"]["parameters"] == due["network"]["parameters"]
    assert "architecture classics/cnn" in found._repr_html_()
    cells = printed("matrix", "--arch", "cnn", "--data", "digits")
    assert [cell.refusal is None for cell in zoo.matrix("cnn", "digits")] == [each["goes"] for each in cells]  # type: ignore[attr-defined]


def test_arithmetic_is_that_of_torch() -> None:
    layer = nn.Conv2d(3, 8, (3, 5), stride=2, padding=1)
    found = zoo.arithmetic("conv2d", (3, 32, 30), out=8, kernel=(3, 5), stride=2, padding=1)
    assert found.output == tuple(layer(torch.zeros(1, 3, 32, 30)).shape[1:])
    assert found.parameters == sum(each.numel() for each in layer.parameters())
    assert zoo.arithmetic("linear", 400, out=10).parameters == 4010
    with pytest.raises(UsageError, match="there is no layer 'conv3d'"):
        zoo.arithmetic("conv3d")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="add kernel=N"):
        zoo.arithmetic("conv2d", out=8)


def test_gradients_are_those_of_a_step_of_one_s_own_network(tmp_path: Path) -> None:
    images = np.random.RandomState(0).randint(0, 256, (20, 8, 8)).astype(np.uint8)
    network, pair = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), (images, np.arange(20) % 2)
    plain, smooth = zoo.gradients(
        model=network, data=(pair, pair), batch_size=20, device="cpu",
        versus=[{"task.label_smoothing": 0.5}], plot=tmp_path / "norms.png",
    )  # fmt: skip
    inputs = torch.from_numpy(images[:, None]).float() / 255
    mean, std = (round(float(each), 4) for each in (inputs.mean(), inputs.std(correction=0)))
    for found, smoothing in ((plain, 0.0), (smooth, 0.5)):
        network.zero_grad()
        loss = nn.functional.cross_entropy(
            network((inputs - mean) / std), torch.arange(20) % 2, label_smoothing=smoothing
        )
        loss.backward()  # type: ignore[no-untyped-call]
        assert found.norms == pytest.approx([float(network[1].weight.grad.norm())], rel=1e-4)  # type: ignore[union-attr]
    assert (plain.layers, smooth.label) == (("1",), "task.label_smoothing=0.5") and (tmp_path / "norms.png").is_file()


def test_images_are_drawn(tmp_path: Path) -> None:
    shown = zoo.show("digits", augment="flip", out=str(tmp_path / "digits"), count=2)
    assert shown.file == tmp_path / "digits.png" and shown.file.is_file()
