"""Gradient checkpointing: the results are those of the plain training, bit by bit, with less memory for activations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import zoo
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.runs import checkpoints
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir
from zoo.training.fast_dropout import fast_dropout
from zoo.training.gradient_checkpointing import check_equal, choose, require
from zoo.training.preparation import prepare

SAMPLES = 21
COUNT = 3


def data_of(side: int) -> Any:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (SAMPLES, 3, side, side), dtype=np.uint8)
    labels = np.arange(SAMPLES) % COUNT
    return {"train": (images, labels), "test": (images[:6], labels[:6])}


def cnn() -> nn.Module:
    """Batch norm, dropout and activations in place, in one sequential module."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 8), (8, 8), (8, 8), (8, 8)):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
        ]
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, COUNT))


def resnet() -> nn.Module:
    return torchvision.models.resnet18(num_classes=COUNT)


def vit() -> nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, depth=4, num_classes=COUNT, proj_drop_rate=0.1, drop_path_rate=0.2
    )


class FastDropout(nn.Module):
    """zoo's own dropout, in the blocks of a network."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 48)) for _ in range(6)))
        self.head = nn.Linear(48, COUNT)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)[:, :48]
        for block in self.blocks:
            x = x + fast_dropout(block(x), 0.3)
        found: Tensor = self.head(x)
        return found


class SpectralNorm(nn.Module):
    """Its buffers are the state of a power iteration, on which the outputs depend."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        layers = [nn.Sequential(norm(nn.Conv2d(3 if not n else 6, 6, 3, padding=1)), nn.GELU()) for n in range(6)]
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(6, COUNT)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.layers(x).mean((2, 3)))
        return found


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "cnn": (cnn, 16),
    "resnet18": (resnet, 32),
    "vit": (vit, 32),
    "fast dropout": (FastDropout, 8),
    "spectral norm": (SpectralNorm, 16),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "fp16": {"precision": "fp16"},
    "channels last": {"channels_last": True},
    "all": {"ema_decay": 0.9, "micro_batches": 2, "precision": "bf16", "cutmix": 1.0, "clip_norm": 1.0},
}


def result_of(
    where: Path, make: Callable[[], nn.Module], side: int, **train: Any
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the state of the last checkpoint and the losses of the epochs."""
    train = {"epochs": 1, "batch_size": 8, "lr": 0.01, "optimizer": "sgd", "momentum": 0.9, **train}
    settings = {
        "device": "cpu",
        **{key if "." in key or key == "weights" else f"train.{key}": value for key, value in train.items()},
    }
    zoo.run(model=make, data=data_of(side), set=settings, out=where, quiet=True)
    run = RunDir(where)
    weights, tensors, _ = checkpoints.load(checkpoints.newest_good(run)[0])
    header, *rows = (line.split(",") for line in run.metrics_file.read_text().splitlines())
    return weights | tensors, [row[header.index("train_loss")] for row in rows]


def check_same_run(tmp_path: Path, make: Callable[[], nn.Module], side: int, **train: Any) -> None:
    plain, losses = result_of(tmp_path / "plain", make, side, **train)
    found, same = result_of(tmp_path / "recomputed", make, side, gradient_checkpointing=True, **train)
    assert same == losses
    assert [name for name, value in plain.items() if not torch.equal(value, found[name])] == []
    assert "recomputed in the backward pass" in (tmp_path / "recomputed" / "log.txt").read_text()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_is_the_same_with_recomputation(tmp_path: Path, name: str) -> None:
    check_same_run(tmp_path, *NETWORKS[name])


@pytest.mark.parametrize("name", OPTIONS)
def test_a_run_with_each_option_is_the_same_with_recomputation(tmp_path: Path, name: str) -> None:
    check_same_run(tmp_path, cnn, 16, **OPTIONS[name])


def kept(network: nn.Module, run: Callable[[Tensor], Any], inputs: Tensor) -> int:
    """The bytes of activations that are kept after a forward pass, each memory counted once."""
    own = {each.untyped_storage().data_ptr() for each in [*network.parameters(), *network.buffers()]}
    found: dict[int, int] = {}
    alive = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        alive.append(tensor)
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        run(inputs)
    return sum(found.values())


@pytest.mark.parametrize(("name", "share"), [("cnn", 0.6), ("resnet18", 0.55), ("vit", 0.2)])
def test_less_is_kept_for_the_backward_pass(name: str, share: float) -> None:
    make, side = NETWORKS[name]
    network, inputs = make().train(), torch.randn(4, 3, side, side)
    found = require(choose(network, inputs, network.train))
    assert kept(network, found.applied(network), inputs) < share * kept(network, network, inputs)


class Blocks(nn.Module):
    """Equal blocks that are called one after another; only the shapes of the network are of interest."""

    def __init__(self, block: Callable[[], nn.Module], count: int = 8) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block() for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU())


def chosen(network: nn.Module, inputs: Tensor) -> list[str]:
    found = require(choose(network, inputs, network.train))
    names = {module: name for name, module in network.named_modules()}
    return [names[each.modules[0]] for each in found.segments]


def test_repeated_blocks_are_recomputed_one_by_one() -> None:
    assert chosen(Blocks(mlp), torch.randn(2, 16)) == [f"blocks.{number}" for number in range(8)]


def test_what_is_frozen_is_not_recomputed() -> None:
    network = Blocks(mlp)
    network.blocks[:5].requires_grad_(False)
    assert chosen(network, torch.randn(2, 16)) == [f"blocks.{number}" for number in (5, 6, 7)]


class InPlace(nn.Module):
    """Modifies its own input, as a network whose first operation is an activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.rest = mlp()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.rest(x.mul_(0.5))
        return found


def test_a_block_that_modifies_its_input_is_not_recomputed_as_a_whole() -> None:
    class Network(Blocks):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0)

    network, inputs = Network(InPlace), torch.randn(2, 16)
    found = require(choose(network, inputs, network.train))
    assert {type(each.owner) for each in found.segments} == {nn.Sequential}
    check_equal(network, found, inputs, network.train)


def test_a_block_whose_list_of_inputs_grows_is_not_recomputed() -> None:
    """As in a dense block, whose layers get all earlier features in one list."""

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = mlp()

        def forward(self, features: list[Tensor]) -> Tensor:
            found: Tensor = self.rest(torch.stack(features).mean(0))
            return found

    class Dense(Blocks):
        def forward(self, x: Tensor) -> Tensor:
            features = [x]
            for block in self.blocks:
                features.append(block(features))
            return features[-1]

    network, inputs = Dense(Layer), torch.randn(2, 16)
    found = require(choose(network, inputs, network.train))
    assert not any(isinstance(module, Layer) for each in found.segments for module in each.modules)
    check_equal(network, found, inputs, network.train)


def test_the_network_itself_is_left_as_it_was() -> None:
    network, inputs = cnn(), torch.randn(4, 3, 16, 16)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = require(choose(network, inputs, network.train))
    check_equal(network, found, inputs, network.train)
    assert torch.equal(state, torch.get_rng_state())
    assert [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])] == []
    found.applied(network)(inputs)
    assert not any("forward" in vars(module) for module in network.modules())


class Counting(nn.Module):
    """Its result depends on the number of its calls, which torch does not know."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.rest = mlp()

    def forward(self, x: Tensor) -> Tensor:
        Counting.calls += 1
        found: Tensor = self.rest(x * Counting.calls)
        return found


class Branching(Counting):
    def forward(self, x: Tensor) -> Tensor:
        Counting.calls += 1
        found: Tensor = self.rest(x).sigmoid() if Counting.calls % 3 else self.rest(x).exp().relu()
        return found


@pytest.mark.parametrize("block", [Counting, Branching])
def test_a_network_with_state_of_its_own_is_refused(block: type[nn.Module]) -> None:
    network, inputs = Blocks(block), torch.randn(2, 16)
    with pytest.raises(UsageError, match=r"computes something else .*gradient_checkpointing\); fix: leave it out"):
        check_equal(network, require(choose(network, inputs, network.train)), inputs, network.train)


def test_a_network_without_anything_to_recompute_is_refused_before_the_run() -> None:
    overrides = {"device": "cpu", "dataset": {"name": "digits"}, "train": {"gradient_checkpointing": True}}
    plan = resolve(registry(), "fnn", overrides=overrides)
    with pytest.raises(UsageError, match=r"no activations that could be recomputed .*; fix: leave it out"):
        prepare(plan)


def test_a_small_rest_after_cached_features_is_trained_plainly(tmp_path: Path) -> None:
    """Only the network as a whole has blocks; the graph of the layers after the features has single operations."""
    result_of(
        tmp_path / "run",
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 16), Blocks(mlp), nn.Linear(16, COUNT)),
        4,
        gradient_checkpointing=True,
        **{"task.name": "transfer", "task.train": "last:5", "weights": "none"},
    )
    assert "nothing to recompute in the layers after the cached features" in (tmp_path / "run/log.txt").read_text()


@pytest.mark.slow
def test_a_compiled_network_is_the_same_with_recomputation(tmp_path: Path) -> None:
    states = []
    for recomputed in (False, True):
        plain, losses = result_of(tmp_path / str(recomputed), cnn, 16, compile=True, gradient_checkpointing=recomputed)
        states.append((plain, [float(loss) for loss in losses]))
    (plain, losses), (found, same) = states
    assert same == pytest.approx(losses, rel=1e-4)
    for name, value in plain.items():
        if "generator" not in name:
            torch.testing.assert_close(value, found[name], rtol=1e-3, atol=1e-4)
