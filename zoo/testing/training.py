"""Checks by zoo's trainer, in a few steps: the network changes, and an interrupted and resumed training gives the same
result."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.config.run_config import RunConfig
from zoo.data.data_loader import Data
from zoo.runs.run_directory import RunDir, create
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import ENGINE, SAMPLES
from zoo.training.resume import resume
from zoo.training.train_state import Learning, Progress, TrainState
from zoo.training.trainer import fit

EPOCHS, BATCH_SIZE = 2, SAMPLES // 2
SEED = 0

Make = Callable[[bool], tuple[nn.Module, Learning]]
"""Builds the network and its `Learning`; the argument is True for a resumed run."""


class Interruption(Exception):
    """Ends a training after a checkpoint."""


class _Watch:
    """Interrupts the training after its first epoch if ``interrupts``."""

    def __init__(self, *, interrupts: bool) -> None:
        self._interrupts = interrupts

    def begin(self, progress: Progress, steps_per_epoch: int, epochs: int, monitored: str) -> None: ...
    def step(self, progress: Progress, batch_samples: int) -> None: ...
    def loss(self, progress: Progress, loss: float, rate: float, lr: float) -> None: ...
    def epoch(self, progress: Progress, row: dict[str, float]) -> None: ...
    def print(self, text: str) -> None: ...

    def checkpoint(self, progress: Progress, name: str) -> None:
        if self._interrupts and progress.epoch == 1:
            raise Interruption


def training_findings(make: Make, data: Data) -> Iterator[Finding]:
    """Train two epochs of two steps each, without and with an interruption between them."""
    with tempfile.TemporaryDirectory() as folder:
        whole: list[tuple[dict[str, Tensor], RunDir]] = []
        yield from guarded("training", _whole_findings(make, data, Path(folder, "whole"), whole))
        for weights, run in whole:
            yield from guarded("resume", _resume_findings(make, data, Path(folder, "resumed"), weights, run))


def _whole_findings(
    make: Make, data: Data, folder: Path, whole: list[tuple[dict[str, Tensor], RunDir]]
) -> Iterator[Finding]:
    """Append the weights after the training and its run to ``whole``."""
    state = _state(make, data, folder)
    before = {name: value.clone() for name, value in state.model.named_parameters()}
    fit(state)
    if all(torch.equal(value, before[name]) for name, value in state.model.named_parameters()):
        yield Finding("training", f"{EPOCHS} epochs of training change no parameter")
    whole.append((state.model.state_dict(), state.run))


def _resume_findings(
    make: Make, data: Data, folder: Path, weights: dict[str, Tensor], whole: RunDir
) -> Iterator[Finding]:
    with suppress(Interruption):
        fit(_state(make, data, folder, interrupts=True))
    state = _state(make, data, folder, resumed=True)
    resume(state)
    fit(state)
    differing = [name for name, value in state.model.state_dict().items() if not torch.equal(value, weights[name])]
    if differing:
        yield Finding(
            "resume",
            f"'{differing[0]}' differs between a resumed and an uninterrupted training: state outside the state_dict "
            "is lost",
        )
        return
    timed = ("train_seconds", "samples_per_second")
    one, other = (
        [{key: value for key, value in row.items() if key not in timed} for row in run.epochs()]
        for run in (whole, state.run)
    )
    # Compared as text, because NaN is not equal to itself.
    names = [name for name in one[-1] if str(one[-1][name]) != str(other[-1].get(name))]
    if names:
        yield Finding("resume", f"{names[0]} differs between a resumed and an uninterrupted training")


def _state(make: Make, data: Data, folder: Path, *, resumed: bool = False, interrupts: bool = False) -> TrainState:
    config = RunConfig.model_validate(
        {
            "dataset": {"name": data.name},
            "task": {"name": "testing/task"},
            "train": {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "optimizer": "adam", "lr": 0.01},
            "device": "cpu",
        }
    )
    torch.manual_seed(SEED)
    model, learning = make(resumed)
    run = RunDir(folder) if resumed else create(config, folder)
    return TrainState(config, learning, model, data, ENGINE, run, _Watch(interrupts=interrupts))
