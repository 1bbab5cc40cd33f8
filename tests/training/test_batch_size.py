"""``train.batch_size: auto``: the largest batch that fits, found without a trace, and stored as a number."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.config.run_config import RunConfig
from zoo.errors import OutOfMemory, UsageError
from zoo.registry.lookup import registry
from zoo.runs import checkpoints
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir
from zoo.training import batch_size
from zoo.training.batch_size import LARGEST, CudaTrials, candidates, choose_batch_size, largest, tried
from zoo.training.devices import Engine
from zoo.training.live_memory import LiveMemory
from zoo.training.preparation import Prepared, prepare

SAMPLES, SIDE, COUNT = 200, 16, 3
MB = 1_000_000


def network() -> nn.Module:
    """With batch norm and dropout: a step changes buffers, and draws random numbers."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, COUNT),
    )


def data() -> Any:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (SAMPLES, 3, SIDE, SIDE), dtype=np.uint8)
    labels = np.arange(SAMPLES) % COUNT
    return {"train": (images, labels), "test": (images[:9], labels[:9])}


def run(where: Path, **settings: Any) -> tuple[RunDir, dict[str, Tensor]]:
    settings = {"epochs": 1, "device": "cpu", **settings}
    zoo.run(model=network, data=data(), out=where, quiet=True, **settings)
    found = RunDir(where)
    weights, tensors, _ = checkpoints.load(checkpoints.newest_good(found)[0])
    return found, weights | tensors


def ready(**train: Any) -> Prepared:
    """A network with a training that was not chosen a batch size for."""
    overrides = {"device": "cpu", "dataset": {"name": "digits", "resize": 16}, "train": {"batch_size": 8, **train}}
    return prepare(resolve(registry(), "cnn_digits", overrides=overrides))


def chosen(prepared: Prepared, **train: Any) -> batch_size.Choice:
    config = auto(prepared.config, **train)
    assert prepared.learning is not None
    return choose_batch_size(config, prepared.model, prepared.learning, prepared.data, prepared.engine)


def auto(config: RunConfig, **train: Any) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"batch_size": "auto", **train})})


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "available_memory", lambda: 16 * MB)


def test_a_run_is_the_same_as_with_the_number_that_was_chosen(tmp_path: Path, little_memory: None) -> None:
    first, found = run(tmp_path / "auto", batch_size="auto")
    size = first.config.train.batch_size
    assert size == 32
    (note,) = (each for each in first.record.notes if "batch size" in each)
    assert note.startswith("batch size 32, the largest that fits into 8.0 MB, 50% of the available memory; a training")
    second, again = run(tmp_path / "number", batch_size=size)
    assert found.keys() == again.keys()
    assert [name for name, value in found.items() if not torch.equal(value, again[name])] == []
    assert first.metrics_file.read_text().split(",")[3] == second.metrics_file.read_text().split(",")[3]
    assert second.config == first.config.model_copy(update={"name": second.config.name})


def test_the_stored_number_is_not_chosen_again(
    tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = run(tmp_path / "run", batch_size="auto")
    monkeypatch.setattr(batch_size, "available_memory", lambda: 1)
    again = zoo.run(model=network, data=data(), config_file=first.config_file, out=tmp_path / "again", quiet=True)
    assert again.path is not None
    assert RunDir(again.path).config.train.batch_size == first.config.train.batch_size


def test_network_and_generators_are_left_as_they_were() -> None:
    prepared = ready(ema_decay=0.9)
    before = {name: value.clone() for name, value in prepared.model.state_dict().items()}
    state, modes = torch.get_rng_state(), [module.training for module in prepared.model.modules()]
    chosen(prepared)
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [module.training for module in prepared.model.modules()]
    assert all(torch.equal(value, before[name]) for name, value in prepared.model.state_dict().items())
    assert all(each.grad is None for each in prepared.model.parameters())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_memory_of_large_batches_is_computed_from_small_ones(optimizer: str) -> None:
    prepared = ready(optimizer=optimizer)
    assert prepared.learning is not None
    config = auto(prepared.config)
    with tried(config, prepared.model, prepared.learning, prepared.data, prepared.engine) as state:
        trials = batch_size.CpuTrials(state, 2, 0.5)
        found = {size: trials.peak(size) for size in (2, 4, 8, 16, 32, 64, 128, 256)}
        assert len(trials.measured) < len(found)
        with LiveMemory() as memory:
            trials.step_with(256)
    assert found[256] == pytest.approx(memory.peak, rel=0.03)


@pytest.mark.parametrize(
    ("samples", "pieces", "first", "last"),
    [(1000, 1, 2, 512), (1024, 1, 2, 1024), (50_000, 1, 2, LARGEST), (1000, 4, 8, 512), (3, 4, 3, 3), (1, 1, 1, 1)],
)
def test_sizes_are_powers_of_two_up_to_the_train_split(samples: int, pieces: int, first: int, last: int) -> None:
    sizes = candidates(samples, pieces)
    assert (sizes[0], sizes[-1]) == (first, last)
    assert all(more == 2 * less for less, more in itertools.pairwise(sizes))


def test_micro_batches_and_checkpointing_make_room_for_larger_batches(
    tmp_path: Path, little_memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def size(**settings: Any) -> int:
        where = tmp_path / str(len(list(tmp_path.iterdir())))
        return int(run(where, epochs=1, batch_size="auto", set=settings)[0].config.train.samples_per_step)

    assert size() == 32
    assert size(**{"train.micro_batches": 4}) == 128
    assert size(**{"train.gradient_checkpointing": True}) == 64


def test_a_small_split_is_the_limit() -> None:
    prepared = ready()
    choice = chosen(prepared)
    assert choice.size == 1024
    assert choice.told.startswith(
        "batch size 1024, the largest for 1,437 training samples; a training step needs about"
    )


def test_a_step_that_never_fits_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_size, "available_memory", lambda: 1000)
    prepared = ready()
    message = (
        r"a batch of 2 does not fit into 500 bytes, 50% of the available memory \(train.batch_size=auto\); fix: use"
    )
    with pytest.raises(OutOfMemory, match=message):
        chosen(prepared)


def test_a_device_whose_memory_is_not_known_is_refused() -> None:
    prepared = ready()
    prepared.engine = Engine(torch.device("mps"), None, torch.contiguous_format)
    with pytest.raises(UsageError, match=r"memory of mps is not known .*fix: use a number"):
        chosen(prepared)


def test_a_task_without_training_needs_a_number() -> None:
    with pytest.raises(UsageError, match=r"no training for which a batch size could be chosen"):
        _ = RunConfig.model_validate(
            {"schema": 1, "dataset": {"name": "d"}, "task": {"name": "t"}, "train": {"batch_size": "auto"}}
        ).train.samples_per_step


class Card:
    """What torch says of a CUDA device with ``total`` bytes, on which a step takes ``each`` bytes a sample."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, total: int, each: int, within: int) -> None:
        self.total, self.each, self.within, self.peak, self.steps = total, each, within, 0, list[int]()
        for name, value in {
            "mem_get_info": lambda _: (total, total),
            "memory_allocated": lambda _: 0,
            "reset_peak_memory_stats": lambda _: None,
            "max_memory_allocated": lambda _: self.peak,
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        """A hook of the network."""
        self.steps.append(len(inputs[0]))
        self.peak = self.each * len(inputs[0])
        if self.peak > self.within:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize(("each", "size", "tried_sizes"), [(1000, 64, [2, 4, 8, 16, 32, 64, 128]), (800, 64, None)])
def test_on_cuda_steps_are_tried_until_they_fail(
    monkeypatch: pytest.MonkeyPatch, each: int, size: int, tried_sizes: list[int] | None
) -> None:
    """With 1,000 bytes a sample, 128 samples run out of memory; with 800, they leave less than a tenth of it free."""
    card = Card(monkeypatch, 110_000, each, 110_000)
    prepared = ready()
    assert prepared.learning is not None
    config = auto(prepared.config)
    with tried(config, prepared.model, prepared.learning, prepared.data, prepared.engine) as state:
        state.model.register_forward_pre_hook(card)
        choice = largest(CudaTrials(state, 2, 0.9), candidates(1437, 1), 1437)
        assert all(parameter.grad is None for parameter in state.model.parameters())
    assert choice.size == size
    assert choice.told.startswith("batch size 64, the largest that fits into 99.0 kB, 90% of the available memory")
    if tried_sizes is not None:
        assert list(dict.fromkeys(card.steps)) == tried_sizes
