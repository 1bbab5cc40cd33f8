"""What one training needs, put together: configuration, task, model, data, device, and all the state that training
changes."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.api import Batch, Decision, EvaluationResult, Metric, Part, PartView, Task
from zoo.config.run_config import RunConfig, TrainConfig
from zoo.data.augmentation import augmentation_fault
from zoo.data.batch_sampler import one_left_over, sizes
from zoo.data.data_loader import AnyPart, Data
from zoo.data.mixup import mixing_fault
from zoo.errors import DivergedError, UsageError
from zoo.models.named_outputs import OutputReader
from zoo.runs.run_directory import RunDir
from zoo.support.stopwatch import Clock
from zoo.training.adaptations import Adaptations, Made
from zoo.training.devices import Engine
from zoo.training.distillation import Distillation
from zoo.training.evaluation import evaluate_part
from zoo.training.feature_cache import FeaturePart, Features
from zoo.training.losses import additivity_fault
from zoo.training.optimizer_step import Stepper
from zoo.training.optimizers import build_optimizer, build_schedule
from zoo.training.resume_check import check_exact, same_generators
from zoo.training.run_logs import RunLogs


@dataclass
class Progress:
    """Where training stands; all of it is in every checkpoint.

    ``batch`` counts the batches of ``epoch`` that are done.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seen: int = 0
    best: dict[str, Any] | None = None


class Callback(Protocol):
    """Is told how training goes, and changes nothing."""

    def begin(self, progress: Progress, steps_per_epoch: int, epochs: int) -> None: ...
    def step(self, progress: Progress, batch_samples: int) -> None: ...
    def loss(self, progress: Progress, loss: float, rate: float, lr: float) -> None: ...
    def epoch(self, progress: Progress, row: dict[str, float]) -> None: ...
    def checkpoint(self, progress: Progress, name: str) -> None: ...
    def print(self, text: str) -> None: ...


@dataclass
class Learning:
    """What is learned, and how: the task, how a network's outputs are read, the adaptations with what they did, the
    teacher."""

    task: Task[Any]
    reader: OutputReader
    adaptations: Adaptations = field(default_factory=Adaptations)
    statistics: dict[str, Any] = field(default_factory=dict)
    made: Made = field(default_factory=list)
    distillation: Distillation | None = None
    metrics: Callable[[], Mapping[str, Metric]] = dict
    """New ones for each evaluation, beside the task's own."""

    def evaluate(
        self, model: nn.Module, part: PartView, batch_size: int, decision: Decision | None = None
    ) -> EvaluationResult:
        """The task's evaluation of a network, by the decision that is not fitted where none is given."""
        decision = decision or self.task.decision(None)
        return evaluate_part(model, self.task, decision, part, batch_size, self.reader, metrics=self.metrics())


@dataclass
class TrainState:
    """All that one training needs; `zoo.training.resume.resume` sets it back to a checkpoint,
    `zoo.training.trainer.fit` runs it."""

    config: RunConfig
    learning: Learning
    model: nn.Module
    data: Data
    engine: Engine
    run: RunDir
    watch: Callback
    features: Features | None = None
    """What the frozen layers give, where that is kept: then the rest of the network is trained on it."""
    progress: Progress = field(default_factory=Progress)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        train = self.config.train
        images = self.data.part("train")
        images.memory_format = self.engine.memory_format
        self.part: AnyPart | FeaturePart = images if self.features is None else self.features.parts["train"]
        self.steps_per_epoch = steps_per_epoch(train, len(self.part))
        self.model.to(self.engine.device, memory_format=self.engine.memory_format)  # type: ignore[call-overload]
        self.trained = self.model if self.features is None else self.features.head_of(self.model)
        self.network: Callable[[Tensor], Any] = torch.compile(self.trained) if train.compile else self.trained
        self.augmenter = images.augmenter(train.augment, self.config.seed) if train.augment else None
        self.stepper = Stepper(
            self.model, train, self.engine, self.steps_per_epoch, self.learning.adaptations.lr_multipliers(self.model)
        )
        self.loss_sum, self.weight_sum = (
            torch.zeros((), dtype=torch.float64, device=self.engine.device) for _ in range(2)
        )
        self.logs = RunLogs(self.run, log_samples=train.log_samples)
        self.saved_at, self.saved_step = time.monotonic(), -1

    @property
    def task(self) -> Task[Any]:
        return self.learning.task

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it lasts, ``read`` gives the outputs of the trained network by name."""
        with self.learning.reader.reading(self.model, self.network) as self.read:
            yield

    def begin_epoch(self, epoch: int) -> None:
        """Training mode, but for what the adaptations keep out of it; and whatever else they do before an epoch."""
        self.learning.adaptations.on_epoch_start(self.model, epoch)
        self.learning.adaptations.set_train_mode(self.model)
        if self.features is not None:
            self.trained.train()

    def evaluate(self, part: Part) -> EvaluationResult:
        """The task's evaluation of what has been learned so far, on a part that is not the test split."""
        batch_size, decision = self.config.train.eval_batch_size, self.task.decision(None)
        if self.features is None:
            return self.learning.evaluate(self.result, self.data.part(part), batch_size, decision)
        network = self.features.head_of(self.result)
        network.eval()
        return evaluate_part(
            self.result,
            self.task,
            decision,
            self.features.parts[part],
            batch_size,
            self.learning.reader,
            network,
            self.learning.metrics(),
        )

    @property
    def result(self) -> nn.Module:
        """What is evaluated and kept: the model or, where there is one, its moving average."""
        return self.stepper.result


def check_trainable(config: RunConfig, model: nn.Module, learning: Learning, data: Data, engine: Engine) -> None:
    """Raises UsageError for a training that could not begin, or not be resumed exactly; a run asks this before it
    writes anything."""
    train = config.train
    steps = steps_per_epoch(train, len(data.part("train")))
    build_schedule(build_optimizer(model, train, learning.adaptations.lr_multipliers(model)), train, steps)
    check_exact(train, model, engine, steps * train.epochs)
    if train.patience is not None and "val" not in data.parts:
        raise UsageError(
            "early stopping needs a validation split",
            where="train.patience",
            fix="set some of train aside: dataset.val_fraction=0.1",
        )
    faults = {
        "augment": augmentation_fault(train.augment, data.target),
        "cutmix": mixing_fault(train, data.target),
    }
    for key, fault in faults.items():
        if fault is not None:
            raise UsageError(fault, where=f"train.{key}", fix="leave it out, or choose another")
    if learning.task.batchwise and (train.mixup or train.cutmix):
        raise UsageError(
            "this task's loss is over pairs within a batch, which cannot be mixed",
            where="train.mixup" if train.mixup else "train.cutmix",
            fix="leave it out",
        )
    if train.augment and data.preprocessing.permute_pixels is not None:
        raise UsageError(
            "augmentation would change images whose pixels are permuted already",
            where="train.augment",
            fix="leave one of them out",
        )


def check_pieces(train: TrainConfig, model: nn.Module, learning: Learning, data: Data, engine: Engine) -> None:
    """Raises UsageError where the loss of a batch is not that of its pieces, and where the network cannot be trained on
    the smallest of these."""
    part = data.part("train")
    if train.micro_batches > 1 and len(part) > 1:
        if learning.task.batchwise:
            raise UsageError(
                "this task's loss is over pairs within a batch, which cannot be taken in pieces",
                where="train.micro_batches",
                fix="leave it at 1",
            )
        batch = next(part.batches(7))
        fault = additivity_fault(learning.task, learning.reader, _some_outputs(model, learning, batch, engine), batch)
        if fault is not None:
            raise UsageError(
                f"this task's loss cannot be taken in pieces: {fault}", where="train.micro_batches", fix="leave it at 1"
            )
    if (
        min(
            smallest
            for batch in set(sizes(len(part), train.batch_size))
            for smallest in sizes(batch, micro_batch(train))
        )
        == 1
    ):
        check_single(model, learning, data, engine)


def _some_outputs(model: nn.Module, learning: Learning, batch: Batch, engine: Engine) -> dict[str, Tensor]:
    """Outputs of the shapes that the network gives for a batch, at random."""
    network = copy.deepcopy(model).to(engine.device).eval()
    with torch.no_grad(), same_generators(engine.device), learning.reader.reading(network, network) as read:
        outputs = read(batch.inputs)
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(each.shape, generator=generator).to(each.device) for name, each in outputs.items()}


def check_single(model: nn.Module, learning: Learning, data: Data, engine: Engine) -> None:
    """Raises UsageError where a network cannot be trained on one sample at a time, as batch norm over single values
    cannot."""
    network = copy.deepcopy(model).to(engine.device)
    learning.adaptations.set_train_mode(network)
    try:
        with torch.no_grad(), same_generators(engine.device):
            network(torch.zeros(1, *data.preprocessing.shape, device=engine.device))
    except ValueError as error:
        raise UsageError(
            f"this network cannot be trained on one sample at a time: {error}",
            where="train.batch_size",
            fix="use a larger --batch-size, or fewer pieces",
        ) from error


def steps_per_epoch(train: TrainConfig, samples: int) -> int:
    """Raises UsageError where there would be none."""
    steps = (
        samples // train.batch_size
        if train.drop_last
        else -(-samples // train.batch_size) - one_left_over(samples, train.batch_size)
    )
    if steps == 0:
        raise UsageError(
            f"a batch of {train.batch_size} is larger than the {samples} training samples, and train.drop_last leaves "
            "no step",
            fix="use a smaller --batch-size, or train.drop_last=false",
        )
    return steps


def micro_batch(train: TrainConfig) -> int:
    """Samples that are taken at once."""
    return -(-train.batch_size // train.micro_batches)


def batch_notes(train: TrainConfig, samples: int) -> list[str]:
    """What is worth knowing, before training, of how ``samples`` samples are cut into batches."""
    if train.drop_last or not one_left_over(samples, train.batch_size):
        return []
    return [f"the last batch of each epoch has {train.batch_size + 1} samples: the one that is left over joins it"]


def check_finite(state: TrainState, loss: float) -> None:
    if not math.isfinite(loss):
        kept = state.run.root.last
        raise DivergedError(
            f"the loss is {loss} at step {state.progress.step + 1}, epoch {state.progress.epoch + 1}; "
            + (f"the last good checkpoint is {kept.name}" if kept else "no checkpoint was written yet"),
            where=state.run.path,
            fix="lower --lr, or set train.clip_norm=1",
        )
