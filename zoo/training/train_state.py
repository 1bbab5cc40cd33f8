"""The state of a training: configuration, task, model, data, device, and everything that training changes."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo.api import Batch, Decision, EvaluationResult, Metric, Part, PartView, Task
from zoo.config.run_config import RunConfig, TrainConfig
from zoo.data.augmentation import augmentation_fault, check_crop_is_first
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
from zoo.training.frozen_features import FrozenFeatures
from zoo.training.losses import additivity_fault
from zoo.training.optimizer_step import Stepper
from zoo.training.optimizers import build_optimizer, build_schedule
from zoo.training.profiling import Profiler
from zoo.training.random_states import same_generators
from zoo.training.resume_check import check_exact
from zoo.training.run_logs import RunLogs
from zoo.training.step_graph import step_graph
from zoo.training.step_losses import StepLosses, first_not_finite


@dataclass
class Progress:
    """The progress of a training, stored in every checkpoint. ``batch`` is the number of complete batches of
    ``epoch``."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seen: int = 0
    best: dict[str, Any] | None = None


class Callback(Protocol):
    """Receives the progress of a training, and must not change it."""

    def begin(self, progress: Progress, steps_per_epoch: int, epochs: int, monitored: str) -> None:
        """``monitored`` is the metric that selects the best epoch."""

    def step(self, progress: Progress, batch_samples: int) -> None: ...
    def loss(self, progress: Progress, loss: float, rate: float, lr: float) -> None: ...
    def epoch(self, progress: Progress, row: dict[str, float]) -> None: ...
    def checkpoint(self, progress: Progress, name: str) -> None: ...
    def print(self, text: str) -> None: ...


@dataclass
class Learning:
    """The task, the reader of the network's outputs, the adaptations with their descriptions, and the teacher."""

    task: Task[Any]
    reader: OutputReader
    adaptations: Adaptations = field(default_factory=Adaptations)
    statistics: dict[str, Any] = field(default_factory=dict)
    made: Made = field(default_factory=list)
    distillation: Distillation | None = None
    metrics: Callable[[], Mapping[str, Metric]] = dict
    """Builds the additional metrics for an evaluation."""
    frozen: FrozenFeatures | None = None
    """The features that adaptations asked for."""

    def evaluate(
        self,
        model: nn.Module,
        part: PartView,
        batch_size: int,
        decision: Decision | None = None,
        *,
        features: Features | None = None,
        intervals: bool = False,
    ) -> EvaluationResult:
        """Return the task's evaluation of a network; the default is the unfitted decision.

        Where the training or an adaptation keeps features of the split, only what follows them in the network is
        computed.
        """
        decision = decision or self.task.decision(None)
        metrics = self.metrics()
        short = self._shortcut(model, part, features)
        view, network = (part, None) if short is None else short
        return evaluate_part(
            model, self.task, decision, view, batch_size, self.reader, network, metrics, intervals=intervals
        )

    def _shortcut(
        self, model: nn.Module, part: PartView, features: Features | None
    ) -> tuple[FeaturePart, nn.Module] | None:
        """Return a split as features, and the rest of the network; None if they are not kept."""
        kept = None if features is None else features.of(part)
        if features is not None and kept is not None:
            return kept, features.head_of(model).eval()
        return None if self.frozen is None or self.reader.reads_head else self.frozen.shortcut(model, part)


EarlyStop = Callable[[Sequence[Mapping[str, float]]], str | None]
"""Receives the rows of metrics.csv after an epoch; returns why the training should stop, or None."""


@dataclass
class TrainState:
    """Everything that a training needs. `zoo.training.resume.resume` restores it from a checkpoint;
    `zoo.training.trainer.fit` trains it."""

    config: RunConfig
    learning: Learning
    model: nn.Module
    data: Data
    engine: Engine
    run: RunDir
    watch: Callback
    features: Features | None = None
    """The cached features of frozen layers, on which the head is trained, or None."""
    early_stop: EarlyStop | None = None
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
        stepper = self.stepper
        self.graph = step_graph(train, self.engine, stepper.optimizer, stepper.changed, self.watch.print)
        self.loss_sum, self.weight_sum = (
            torch.zeros((), dtype=torch.float64, device=self.engine.device) for _ in range(2)
        )
        # the CPU computes a loss before the next line runs, so that reading each costs nothing
        self.losses = StepLosses(self.engine.device, 1 if self.engine.device.type == "cpu" else train.log_steps)
        self.logs = RunLogs(self.run, log_samples=train.log_samples)
        profile = self.run.path / "profile" if train.profile else None
        self.profiler = Profiler(profile, self.engine.device, self.watch.print)
        self.saved_at, self.saved_step = time.monotonic(), -1

    @property
    def task(self) -> Task[Any]:
        return self.learning.task

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Within the context, ``read`` returns the outputs of the trained network by name."""
        with self.learning.reader.reading(self.model, self.network) as self.read:
            yield

    def begin_epoch(self, epoch: int) -> None:
        """Set training mode, except for modules that adaptations keep in eval mode, and call `on_epoch_start`."""
        self.learning.adaptations.on_epoch_start(self.model, epoch)
        self.learning.adaptations.set_train_mode(self.model)
        if self.features is not None:
            self.trained.train()
        if self.graph is not None:
            self.graph.begin_epoch(self.model)

    def evaluate(self, part: Part) -> EvaluationResult:
        """Return the task's evaluation of the current model on a split other than the test split."""
        batch_size, decision = self.config.train.eval_batch_size, self.task.decision(None)
        return self.learning.evaluate(self.result, self.data.part(part), batch_size, decision, features=self.features)

    @property
    def result(self) -> nn.Module:
        """The model to evaluate and save: the moving average if there is one, otherwise the model."""
        return self.stepper.result


def check_trainable(config: RunConfig, model: nn.Module, learning: Learning, data: Data, engine: Engine) -> None:
    """Raise UsageError for a training that cannot start or cannot be resumed exactly. Called before anything is
    written."""
    train = config.train
    steps = steps_per_epoch(train, len(data.part("train")))
    build_schedule(build_optimizer(model, train, learning.adaptations.lr_multipliers(model)), train, steps)
    check_exact(train, model, engine, steps * train.epochs)
    if train.patience is not None and "val" not in data.parts:
        raise UsageError(
            "early stopping needs a validation split",
            where="train.patience",
            fix="use a part of train: --set dataset.val_fraction=0.1",
        )
    if train.evaluate_start and "val" not in data.parts:
        raise UsageError(
            "the network before training is compared with the epochs on the validation split, and there is none",
            where="train.evaluate_start",
            fix="use a part of train: --set dataset.val_fraction=0.1",
        )
    faults = {
        "augment": augmentation_fault(train.augment, data.target),
        "cutmix": mixing_fault(train, data.target),
    }
    for key, fault in faults.items():
        if fault is not None:
            raise UsageError(fault, where=f"train.{key}", fix="leave it out, or choose another")
    if config.dataset.cache != "sized":
        check_crop_is_first(train.augment)
    if learning.task.batchwise and (train.mixup or train.cutmix):
        raise UsageError(
            "this task's loss depends on pairs within a batch, which cannot be mixed",
            where="train.mixup" if train.mixup else "train.cutmix",
            fix="leave it out",
        )
    if train.augment and data.preprocessing.permute_pixels is not None:
        raise UsageError(
            "augmentation cannot be combined with permuted pixels",
            where="train.augment",
            fix="leave one of them out",
        )


def check_pieces(train: TrainConfig, model: nn.Module, learning: Learning, data: Data, engine: Engine) -> None:
    """Raise UsageError if micro-batches change the loss, or if the network cannot be trained on the smallest one."""
    part = data.part("train")
    if train.micro_batches > 1 and len(part) > 1:
        if learning.task.batchwise:
            raise UsageError(
                "this task's loss depends on pairs within a batch, which micro-batches would split",
                where="train.micro_batches",
                fix="set it to 1",
            )
        batch = next(part.batches(7))
        fault = additivity_fault(learning.task, learning.reader, _some_outputs(model, learning, batch, engine), batch)
        if fault is not None:
            raise UsageError(
                f"this task's loss cannot be computed in micro-batches: {fault}",
                where="train.micro_batches",
                fix="set it to 1",
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
    """Return random outputs in the shapes of the network's."""
    network = copy.deepcopy(model).to(engine.device).eval()
    with torch.no_grad(), same_generators(engine.device), learning.reader.reading(network, network) as read:
        outputs = read(batch.inputs)
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(each.shape, generator=generator).to(each.device) for name, each in outputs.items()}


def check_single(model: nn.Module, learning: Learning, data: Data, engine: Engine) -> None:
    """Raise UsageError if a network cannot be trained on a single sample (batch norm over single values)."""
    network = copy.deepcopy(model).to(engine.device)
    learning.adaptations.set_train_mode(network)
    try:
        with torch.no_grad(), same_generators(engine.device):
            network(torch.zeros(1, *data.preprocessing.shape, device=engine.device))
    except ValueError as error:
        raise UsageError(
            f"this network cannot be trained on one sample at a time: {error}",
            where="train.batch_size",
            fix="use a larger --batch-size, or fewer micro-batches",
        ) from error


def steps_per_epoch(train: TrainConfig, samples: int) -> int:
    """Return the number of steps per epoch. Raises UsageError if there are none."""
    steps = (
        samples // train.batch_size
        if train.drop_last
        else -(-samples // train.batch_size) - one_left_over(samples, train.batch_size)
    )
    if steps == 0:
        raise UsageError(
            f"the batch size {train.batch_size} exceeds the {samples} training samples, so train.drop_last drops the "
            "only batch",
            fix="use a smaller --batch-size, or train.drop_last=false",
        )
    return steps


def micro_batch(train: TrainConfig) -> int:
    """Return the number of samples per micro-batch."""
    return -(-train.batch_size // train.micro_batches)


def batch_notes(train: TrainConfig, samples: int) -> list[str]:
    """Return notes about the division of ``samples`` samples into batches."""
    if train.drop_last or not one_left_over(samples, train.batch_size):
        return []
    return [f"the last batch of each epoch has {train.batch_size + 1} samples, to avoid a batch of one sample"]


def read_losses(state: TrainState) -> float | None:
    """Read the losses of the last steps, and return the newest; None if there are none since the last reading.

    This waits for the device. Raises DivergedError with the first step whose loss is not finite.
    """
    losses = state.losses.read()
    bad = first_not_finite(losses)
    if bad is not None:
        kept = state.run.root.last
        raise DivergedError(
            f"the loss is {losses[bad]} at step {state.progress.step - len(losses) + bad + 1}, epoch "
            f"{state.progress.epoch + 1}; "
            + (f"the last good checkpoint is {kept.name}" if kept else "no checkpoint was written yet"),
            where=state.run.path,
            fix="lower --lr, or set train.clip_norm=1",
        )
    return losses[-1] if losses else None
