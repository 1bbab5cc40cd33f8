"""A training step never waits for the device: held on the meta device, which has shapes and no values.

On it, every copy of a value to the host is an error by itself. `Apart` also refuses operations on tensors of host and
device together, which wait for the device where they work at all.
"""

from __future__ import annotations

import copy
import functools
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from zoo.api import Batch
from zoo.data.data_loader import open_data
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training.devices import Engine
from zoo.training.optimizers import TORCH
from zoo.training.preparation import Prepared, prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import account, remaining_batches, take_step

META = torch.device("meta")
COPIES = {"_to_copy", "copy_"}


class OnTheDevice(TorchFunctionMode):
    """Refuses tensors that are made of numbers of Python on the device, which are copied to it, and waited for."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = function in (torch.tensor, torch.as_tensor) and not isinstance(args[0], Tensor)
        if made and torch.device(kwargs.get("device") or "cpu") == META:
            raise AssertionError(f"torch.{function.__name__} of numbers on meta")
        return function(*args, **kwargs)


class Apart(TorchDispatchMode):
    """Refuses operations on tensors of the host and of the device together, except copies that do not wait."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        places = {each.device.type for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        name = function.overloadpacket.__name__
        to = torch.device(kwargs.get("device") or "cpu").type if name == "_to_copy" else None
        if to is not None and kwargs.get("device") is not None and to not in places:
            places.add(to)
        if len(places) > 1 and not (name in COPIES and kwargs.get("non_blocking")):
            raise AssertionError(f"{name} of tensors on {' and '.join(sorted(places))}")
        return function(*args, **kwargs)


@functools.cache
def prepared(recipe: str) -> Prepared:
    return prepare(resolve(registry(), recipe, overrides={"device": "cpu", "train": {"batch_size": 8}}))


def state_of(tmp_path: Path, recipe: str, **train: Any) -> TrainState:
    """A training on the meta device; its data, network and task are prepared as on the CPU."""
    config = resolve(registry(), recipe, overrides={"device": "cpu", "train": {"batch_size": 8, **train}}).config
    ready = prepared(recipe)
    assert ready.learning is not None
    data = open_data(registry(), config.dataset, META, preprocessing=ready.data.preprocessing)
    # fitted on the host, as for a split that does not fit into the device's memory
    data.part("train").augmenter = ready.data.part("train").augmenter  # type: ignore[method-assign]
    engine = Engine(META, None, torch.contiguous_format)
    run = create(config, tmp_path / "run")
    model = copy.deepcopy(ready.model)
    return TrainState(config, ready.learning, model, data, engine, run, Console(quiet=True))


def steps(state: TrainState, count: int = 2) -> None:
    """Take a first step, which may copy constants to the device, and then ``count`` guarded ones."""
    with state.logs, state.reading():
        state.begin_epoch(0)
        one_step(state)
        with Apart(), OnTheDevice():
            for _ in range(count):
                one_step(state)
    assert state.progress.step == 1 + count


def one_step(state: TrainState) -> None:
    batch = next(remaining_batches(state, 0))
    account(state, batch, take_step(state, batch))


RECIPES = ["cnn_digits", "lenet_digit_sets", "lenet_digits_rotated", "unet_digits_on_photos", "digits_retrieval"]
OPTIONS: dict[str, dict[str, Any]] = {
    "micro_batches": {"micro_batches": 3},
    "mixup and cutmix": {"mixup": 0.2, "cutmix": 1.0},
    "moving average": {"ema_decay": 0.99},
    "clipped": {"clip_norm": 1.0},
    "schedule": {"epochs": 3, "schedule": "cosine", "schedule_options": {"warmup_epochs": 1}},
    "channels last": {"channels_last": True},
}
AUGMENTATIONS = sorted(item.canonical for item in registry().items("augmentation"))
WAITING = {"adafactor", "asgd"}
"""Optimizers of torch that read values back in every step (docs/gpu.md)."""
OTHERS = {"muon", "sparseadam"}
"""For matrices only, and for sparse gradients only."""


@pytest.fixture(autouse=True)
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses of logged steps, of which the first is one, are not read: that alone may wait."""
    monkeypatch.setattr("zoo.training.trainer.read_losses", lambda state: None)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_of_each_kind_of_task_does_not_wait(tmp_path: Path, recipe: str) -> None:
    steps(state_of(tmp_path, recipe))


@pytest.mark.parametrize("name", OPTIONS)
def test_a_step_with_each_option_does_not_wait(tmp_path: Path, name: str) -> None:
    steps(state_of(tmp_path, "cnn_digits", **OPTIONS[name]))


def test_a_step_that_recomputes_activations_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # both compare values, before the first step: here, all buffers count as changing
    monkeypatch.setattr("zoo.training.train_state.check_equal", lambda *_: None)
    monkeypatch.setattr("zoo.training.activation_memory.unchanged", lambda *_: False)
    steps(state_of(tmp_path, "unet_digits_on_photos", gradient_checkpointing=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmented_step_does_not_wait(tmp_path: Path, name: str) -> None:
    steps(state_of(tmp_path, "cnn_digits", augment=[name]))


@pytest.mark.parametrize("name", ["rotate", "crop"])
def test_a_step_with_augmented_masks_does_not_wait(tmp_path: Path, name: str) -> None:
    steps(state_of(tmp_path, "unet_digits_on_photos", augment=[name]))


@pytest.mark.parametrize("name", sorted(set(TORCH) - OTHERS))
def test_which_optimizers_of_torch_wait(tmp_path: Path, name: str) -> None:
    with pytest.raises(RuntimeError, match="item") if name in WAITING else nullcontext():
        steps(state_of(tmp_path, "cnn_digits", optimizer=name))


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_loss_of_each_kind_of_task_is_computed_on_cuda(recipe: str) -> None:
    """By fake tensors, which know their device and have no values; a mixture of devices is an error."""
    ready = prepared(recipe)
    assert ready.learning is not None
    task, given = ready.learning.task, next(ready.data.part("train").batches(4))
    weights_of = ready.model.state_dict()
    with FakeTensorMode() as fake, torch.no_grad():
        here = {name: fake.from_tensor(each).to("cuda") for name, each in weights_of.items()}
        batch = Batch(*(None if each is None else fake.from_tensor(each).to("cuda") for each in given[:3]))

        def network(inputs: Tensor) -> Any:
            return functional_call(ready.model, here, inputs)

        with ready.learning.reader.reading(ready.model, network) as read:
            values, weights = task.loss(read(batch.inputs), batch)
    assert {each.device.type for each in (values, weights) if each is not None} == {"cuda"}


class Head(nn.Module):
    """Waits for the device in one of three ways, as a network of a plugin might."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        if self.way == ".item()":
            return x / x.abs().max().item()
        if self.way == "a branch on data":
            return x if x.sum() > 0 else -x
        return x + torch.ones(x.shape)


@pytest.mark.parametrize("way", [".item()", "a branch on data", "a tensor of the host"])
def test_a_step_that_waits_is_found(tmp_path: Path, way: str) -> None:
    state = state_of(tmp_path, "cnn_digits")
    state.network = nn.Sequential(state.trained, Head(way))
    with pytest.raises((AssertionError, RuntimeError, NotImplementedError), match=r"(?i)\bmeta\b"):
        steps(state)


def test_a_copy_that_waits_is_found() -> None:
    with Apart():
        torch.ones(2).to(META, non_blocking=True)
        with pytest.raises(AssertionError, match="_to_copy of tensors on cpu and meta"):
            torch.ones(2).to(META)
