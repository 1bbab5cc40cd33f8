"""Training steps as a CUDA graph: the kernels of one step are recorded once, and then launched together.

A small network's step is bound by the host, which launches some hundred kernels. The recorded step reads its batch,
learning rates and averaging weight from fixed tensors on the device, which are filled before each launch. Only batches
of the full size are launched this way. The first steps of a training are taken plainly, because libraries and
optimizers allocate what they need then; the next one is recorded, compared with the plain step from the same state,
and taken plainly. If the two differ, or a step cannot be recorded, the training goes on without a graph, and says so.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.api import Batch
from zoo.config.run_config import TrainConfig
from zoo.training.devices import Engine
from zoo.training.losses import PieceLoss
from zoo.training.random_states import generators, set_generators

WARM_UP = 3
"""The number of plain steps before one is recorded."""
AGREEMENT = 0.02
"""The largest difference between the states after the recorded and the plain step, relative to what the step changes;
kernels that are not deterministic differ by far less."""

Step = Callable[[Batch], PieceLoss]


class Recorder(Protocol):
    """Records steps on one device."""

    def warming_up(self) -> AbstractContextManager[object]:
        """The context of the plain steps before the recorded one."""

    def record(self, step: Callable[[], PieceLoss]) -> tuple[PieceLoss, Callable[[], None]]:
        """Record a step without changing any tensor; return its result, and a function that launches it. The result's
        tensors have their values after each launch. Raises RuntimeError if the step cannot be recorded."""


class CudaGraphs:
    """Records with `torch.cuda.CUDAGraph`, on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @contextmanager
    def warming_up(self) -> Iterator[None]:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            yield
        current.wait_stream(self._stream)

    def record(self, step: Callable[[], PieceLoss]) -> tuple[PieceLoss, Callable[[], None]]:
        graph = torch.cuda.CUDAGraph()
        # other threads may copy the next batches meanwhile
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            found = step()
        return found, graph.replay


RECORDERS: dict[str, Callable[[torch.device], Recorder]] = {"cuda": CudaGraphs}
"""By the type of the device."""


def captures(train: TrainConfig, engine: Engine) -> bool:
    """Return whether the steps of a training are to be recorded."""
    return train.cuda_graph and capture_fault(train, engine) is None


def capture_fault(train: TrainConfig, engine: Engine) -> str | None:
    """Return why the steps of a training cannot be recorded, or None."""
    if engine.device.type not in RECORDERS:
        return f"the device is {engine.device.type}"
    if engine.autocast == torch.float16:
        return "the loss scaler of fp16 reads values back in each step; use bf16"
    if train.mixup is not None or train.cutmix is not None:
        return "the parameters of train.mixup and train.cutmix are drawn on the host"
    return "train.profile measures the parts of a step" if train.profile else None


def optimizer_fault(optimizer: Optimizer) -> str | None:
    """Return why the update of an optimizer cannot be recorded, or None."""
    if all(group.get("fused") or group.get("capturable") for group in optimizer.param_groups):
        return None
    return f"{type(optimizer).__name__} computes a part of its update on the host"


def step_graph(
    train: TrainConfig,
    engine: Engine,
    optimizer: Optimizer,
    changed: Callable[[], list[Tensor]],
    note: Callable[[str], None],
) -> StepGraph | None:
    """Return what takes the steps of a training, or None, with a note if the configuration asks for a CUDA graph.

    ``changed`` returns all tensors that a step changes.
    """
    if not train.cuda_graph:
        return None
    fault = capture_fault(train, engine) or optimizer_fault(optimizer)
    if fault is not None:
        note(f"note: no CUDA graph: {fault}")
        return None
    recorder = RECORDERS[engine.device.type](engine.device)
    return StepGraph(recorder, train.batch_size, changed, optimizer.zero_grad, note)


@dataclass
class _Recorded:
    batch: Batch
    """The tensors that the recorded step reads."""
    loss: PieceLoss
    launch: Callable[[], None]


class StepGraph:
    """Takes the steps of one training.

    ``size`` is the number of samples of a full batch; ``state`` returns all tensors that a step changes; ``clear``
    drops the gradients of a step that ended in an error.
    """

    def __init__(
        self,
        recorder: Recorder,
        size: int,
        state: Callable[[], list[Tensor]],
        clear: Callable[[], None],
        note: Callable[[str], None],
    ) -> None:
        self._recorder, self._size, self._state, self._clear, self._note = recorder, size, state, clear, note
        self._recorded: _Recorded | None = None
        self._taken = 0
        self._failed = False
        self._modes: Any = None

    def begin_epoch(self, model: nn.Module) -> None:
        """Drop the recorded step if the epoch trains other parameters, or modules in another mode, than it did."""
        modes = (
            [module.training for module in model.modules()],
            [(each.data_ptr(), each.requires_grad) for each in model.parameters()],
        )
        if modes != self._modes:
            self._modes, self._recorded, self._taken = modes, None, 0

    def take(self, batch: Batch, step: Step) -> PieceLoss:
        """Take ``step`` with a batch, plainly or by launching the recorded one."""
        if self._failed or len(batch.inputs) != self._size:
            return step(batch)
        if self._recorded is not None:
            for mine, theirs in zip(self._recorded.batch, batch, strict=True):
                if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
                    mine.copy_(theirs)
            self._recorded.launch()
            return self._recorded.loss
        if self._taken < WARM_UP:
            self._taken += 1
            with self._recorder.warming_up():
                return step(batch)
        return self._record(batch, step)

    def _record(self, batch: Batch, step: Step) -> PieceLoss:
        """Record the step, compare it with the plain one, and return the result of the plain one."""
        device = batch.inputs.device
        own, python = generators(device), random.getstate()
        fixed = Batch(*(None if each is None else torch.empty_like(each).copy_(each) for each in batch))  # type: ignore[arg-type]
        try:
            state = self._state()
            before, found = ([each.clone() for each in state] for _ in range(2))
            loss, launch = self._recorder.record(lambda: step(fixed))
        except RuntimeError as error:  # also where memory does not suffice
            return self._give_up(f"the step cannot be recorded: {' '.join(str(error).split())}", batch, step)
        drawn = random.getstate() != python or not torch.equal(torch.get_rng_state(), own["generator/cpu"])
        set_generators(own, device)
        random.setstate(python)
        if drawn:
            return self._give_up("the step draws random numbers on the host", batch, step)
        seconds = _seconds(launch, device)
        for mine, each, start in zip(found, state, before, strict=True):
            mine.copy_(each)
            each.copy_(start)
        set_generators(own, device)
        results: list[PieceLoss] = []
        plain = _seconds(lambda: results.append(step(batch)), device)
        difference = relative_difference(before, found, state)
        if difference <= AGREEMENT:
            self._recorded = _Recorded(fixed, loss, launch)
            exactness = "the same result" if difference == 0 else f"a relative difference of {difference:.0e}"
            self._note(
                f"training steps are launched as a CUDA graph: {plain / seconds:.1f} times as fast as without, with "
                f"{exactness}"
            )
        else:
            self._failed = True
            self._note(f"note: no CUDA graph: the recorded step differs from the plain one by {difference:.0e}")
        return results[0]

    def _give_up(self, fault: str, batch: Batch, step: Step) -> PieceLoss:
        self._failed = True
        self._note(f"note: no CUDA graph: {fault}")
        self._clear()
        return step(batch)


def relative_difference(before: list[Tensor], found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the norm of the difference between two states after a step, relative to that of the step's change; inf
    where one is not finite, or where an integer differs."""
    difference = change = 0.0
    for start, one, other in zip(before, found, expected, strict=True):
        if not one.is_floating_point():
            difference += 0.0 if torch.equal(one, other) else math.inf
            continue
        difference += float((one.double() - other.double()).square().sum())
        change += float((other.double() - start.double()).square().sum())
    if difference == 0:
        return 0.0
    ratio = (difference / change) ** 0.5 if change else math.inf
    return math.inf if math.isnan(ratio) else ratio


def _seconds(launch: Callable[[], object], device: torch.device) -> float:
    _finish(device)
    started = time.perf_counter()
    launch()
    _finish(device)
    return time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
