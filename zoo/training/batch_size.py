"""``train.batch_size: auto``: the largest power of two whose training step fits into memory.

Steps are tried on a copy of the network, with the run's own task, optimizer, precision and memory format, and a few
training samples that are repeated. So the network, its buffers and the random generators are left as they were, and a
run with the number that was chosen is the same run.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from zoo.api import Batch
from zoo.config.run_config import RunConfig
from zoo.data.data_loader import Data
from zoo.errors import OutOfMemory, UsageError
from zoo.runs.run_directory import RunDir
from zoo.support.formatting import plural
from zoo.support.formatting import size as bytes_text
from zoo.support.system_memory import available_memory
from zoo.training.devices import Engine, free_memory, out_of_memory
from zoo.training.live_memory import LiveMemory
from zoo.training.random_states import same_generators
from zoo.training.step_graph import captures
from zoo.training.train_state import Learning, Progress, TrainState
from zoo.training.trainer import take_step

LARGEST = 4096
"""The largest batch size that is chosen: larger ones need another learning rate schedule (Goyal et al. 2017)."""
CPU_SHARE, CUDA_SHARE = 0.5, 0.9
"""The share of the available memory that a step may use. The CPU's is shared with other programs, and the scratch
memory of operations is not counted there."""
SAMPLES = 8
"""The number of different samples in a trial's batch."""
AGREEMENT = 0.02
"""Relative difference of the memory per sample from which on larger batches are computed instead of tried."""


class Choice(NamedTuple):
    """A batch size, and a sentence about it."""

    size: int
    told: str


def choose_batch_size(config: RunConfig, model: nn.Module, learning: Learning, data: Data, engine: Engine) -> Choice:
    """Return the largest batch size for a training of ``model``.

    Raises OutOfMemory if the smallest one does not fit, and UsageError on other devices than the CPU and CUDA.
    """
    kinds: dict[str, tuple[type[Trials], float]] = {"cpu": (CpuTrials, CPU_SHARE), "cuda": (CudaTrials, CUDA_SHARE)}
    if engine.device.type not in kinds:
        raise UsageError(
            f"the memory of {engine.device} is not known",
            where="train.batch_size=auto",
            fix="use a number: --batch-size 64",
        )
    trials, share = kinds[engine.device.type]
    if captures(config.train, engine):
        share /= 2  # a recorded step has memory of its own
    sizes = candidates(len(data.part("train")), config.train.micro_batches)
    with same_generators(engine.device), tried(config, model, learning, data, engine) as state:
        return largest(trials(state, sizes[0], share), sizes, len(data.part("train")))


def candidates(samples: int, micro_batches: int) -> list[int]:
    """Return the powers of two from two samples per micro-batch to the size of the train split or `LARGEST`; if there
    are none, the size of the split."""
    most = min(samples, LARGEST)
    return [size for size in (2**power for power in range(1, 13)) if 2 * micro_batches <= size <= most] or [most]


def largest(trials: Trials, sizes: list[int], samples: int) -> Choice:
    """Return the last of the rising ``sizes`` for ``samples`` training samples that fits.

    Raises OutOfMemory if none does.
    """
    chosen, needed = 0, 0
    for size in sizes:
        peak = trials.peak(size)
        if peak is None or peak > trials.budget:
            break
        chosen, needed = size, peak
    memory = f"{bytes_text(trials.budget)}, {trials.share:.0%} of the available memory"
    if not chosen:
        raise OutOfMemory(
            f"a training step with a batch of {sizes[0]} does not fit into {memory}",
            where="train.batch_size=auto",
            fix="use train.gradient_checkpointing=true, smaller images (dataset.resize), or a smaller network",
        )
    reason = f"that fits into {memory}"
    if chosen == sizes[-1]:
        reason = f"for {plural(samples, 'training sample')}" if samples < LARGEST else "that is chosen automatically"
    return Choice(
        chosen,
        f"batch size {chosen}, the largest {reason}; a training step needs about {bytes_text(needed)}"
        + (f" of {memory}" if chosen == sizes[-1] else ""),
    )


# ----------------------------------------------------------------------------------------------------------- the trials


class Silent:
    """A `zoo.training.train_state.Callback` that prints nothing."""

    def begin(self, progress: Progress, steps_per_epoch: int, epochs: int, monitored: str) -> None: ...
    def step(self, progress: Progress, batch_samples: int) -> None: ...
    def loss(self, progress: Progress, loss: float, rate: float, lr: float) -> None: ...
    def epoch(self, progress: Progress, row: dict[str, float]) -> None: ...
    def checkpoint(self, progress: Progress, name: str) -> None: ...
    def print(self, text: str) -> None: ...


@contextmanager
def tried(config: RunConfig, model: nn.Module, learning: Learning, data: Data, engine: Engine) -> Iterator[TrainState]:
    """Yield the state of a training of a copy of ``model``, which writes nothing.

    It is not compiled: that would take minutes for each size, and a compiled step needs less memory as a rule.
    """
    settings = {"augment": [], "compile": False, "cuda_graph": False, "profile": False, "drop_last": False}
    config = config.model_copy(update={"train": config.train.model_copy(update=settings)}).with_batch_size(1)
    state = TrainState(config, learning, copy.deepcopy(model), data, engine, RunDir(Path()), Silent())
    learning.adaptations.set_train_mode(state.model)
    with state.reading():
        yield state
    del state
    free_memory()


class Trials(ABC):
    """Training steps with batches of different sizes, and their peaks of memory."""

    def __init__(self, state: TrainState, smallest: int, share: float) -> None:
        """``share`` is the share of the free memory that a step may use."""
        self._state, self.share = state, share
        self._batch = next(state.part.batches(SAMPLES))
        self.budget = int(share * self.available(smallest))

    @abstractmethod
    def available(self, smallest: int) -> int:
        """Return the bytes that `peak` is compared with; ``smallest`` is the first size."""

    @abstractmethod
    def peak(self, size: int) -> int | None:
        """Return the bytes that steps with ``size`` samples need; None if they run out of memory."""

    def step_with(self, size: int) -> None:
        state = self._state
        state.config = state.config.with_batch_size(size)
        rows = torch.arange(size, device=self._batch.inputs.device) % len(self._batch.inputs)
        take_step(state, Batch(*(None if each is None else each[rows] for each in self._batch[:3])))  # type: ignore[arg-type]


class CudaTrials(Trials):
    def available(self, smallest: int) -> int:
        device = self._state.engine.device
        free_memory()
        return int(torch.cuda.mem_get_info(device)[0]) + torch.cuda.memory_allocated(device)

    def peak(self, size: int) -> int | None:
        device = self._state.engine.device
        free_memory()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            with out_of_memory(f"a batch of {size}"):
                for _ in range(2):  # the first one allocates the state of the optimizer
                    self.step_with(size)
        except OutOfMemory:
            return None
        finally:
            self._state.stepper.optimizer.zero_grad()
        return int(torch.cuda.max_memory_allocated(device))


class CpuTrials(Trials):
    """An operating system does not refuse memory, it stops the process. So steps with small batches are measured until
    the memory grows in proportion to the batch, and larger ones are computed from these."""

    def available(self, smallest: int) -> int:
        self.measured: list[tuple[int, int]] = []
        self.step_with(smallest)  # allocates the state of the optimizer, which is then not free
        return available_memory()

    def peak(self, size: int) -> int:
        known, expected, settled = self.measured, 0.0, False
        slopes = [(more - less) / (many - few) for (few, less), (many, more) in pairwise(known)]
        if slopes:
            expected = known[-1][1] + slopes[-1] * (size - known[-1][0])
            settled = len(slopes) > 1 and abs(slopes[-1] - slopes[-2]) <= AGREEMENT * slopes[-1]
        if settled or expected > self.budget:
            return int(expected)
        with LiveMemory() as memory:
            self.step_with(size)
        known.append((size, int(memory.peak)))
        return known[-1][1]
