"""What is learned (`Task`), how a network is changed first (`Adaptation`), and what is solved without training
(`Solver`).

Every optional method is real and does nothing, so that a type checker sees a wrong override and zoo never asks an
object what it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    runtime_checkable,
)

from zoo.contract.base import JSON, Options
from zoo.contract.data import Batch, DataView, PartView
from zoo.contract.decisions import Decision
from zoo.contract.targets import Outputs, Target, target_names

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

O = TypeVar("O", bound=Options)  # noqa: E741  # as the sketch and the docs call it


class Monitor(NamedTuple):
    """The metric that picks the best checkpoint, and whether more of it is better."""

    metric: str
    mode: Literal["max", "min"]


class Loss(NamedTuple):
    """The loss of each sample of a batch, float32 (B,), and its weight (B,); None: each counts one.

    The trainer takes Σ values·weights / Σ weights over the whole batch, also where that is computed in pieces
    (``train.micro_batches``). No gradient flows through weights.
    """

    values: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class EvaluationResult:
    """What was found on a part. ``metrics`` are floats by name, best-known first; none where there are no targets.

    ``per_sample`` are columns (N,) in the part's order, for tables and paired tests. ``details`` is anything else worth
    keeping, as JSON (a confusion matrix, for one). ``outputs`` is the main output, float32 (N, …), which zoo adds where
    it fits into memory.
    """

    metrics: Mapping[str, float]
    per_sample: Mapping[str, np.ndarray] = field(default_factory=dict)
    details: JSON = field(default_factory=dict)
    outputs: np.ndarray | None = None


class Evaluator(ABC):
    """Figures of a part, batch by batch: no part need fit into memory.

    Batches have targets, come in the part's order, and outputs are those of a network in eval mode, under no_grad.
    """

    @abstractmethod
    def update(self, outputs: Outputs, batch: Batch) -> None: ...

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add what another evaluator of this kind has seen: the samples that follow its own."""

    @abstractmethod
    def compute(self) -> EvaluationResult: ...


@runtime_checkable
class Metric(Protocol):
    """A running metric, as the classes of torchmetrics are; a new one is built for each evaluation.

    ``preds`` are what the decision makes of the outputs (`zoo.plugin.decide`): probabilities of classes or labels,
    float32 (N, K); values in their units, float32 (N, D); the class of each pixel, int64 (N, H, W). ``target`` has the
    dtype and shape of the dataset's targets.
    """

    def update(self, preds: Tensor, target: Tensor) -> None: ...

    def compute(self) -> Tensor | float:
        """One number over all batches so far."""
        ...


@dataclass(frozen=True)
class ReportItem:
    """Something of a run to look at: ``file``, a .png or .csv under the run's folder, shown on its page under
    ``title``, with a sentence.

    A table that has a column ``image``, whose cells name .png files under that folder, is shown as images with
    their facts.
    """

    title: str
    file: str
    caption: str = ""


Evaluate = Callable[["nn.Module", PartView], EvaluationResult]
"""The task's evaluation of a network on a part."""


class Task(ABC, Generic[O]):
    """What is learned. One shared trainer serves every task; a task has no loop of its own.

    ``statistics`` is computed of the train split once and stored with the run, so that resume, export and evaluation
    need no training data. ``batchwise``: the loss is over pairs within a batch, so that taking a batch in pieces is
    refused.
    """

    monitor: ClassVar[Monitor]
    batchwise: ClassVar[bool] = False

    def __init__(self, options: O, target: Target, statistics: JSON) -> None:
        self.options, self.target, self.stats = options, target, statistics
        self._constants: dict[tuple[object, ...], Tensor] = {}

    @classmethod
    def statistics(cls, options: O, target: Target, train: PartView) -> JSON:  # noqa: ARG003  # of those who override it
        """What the task needs to know of the train split, as JSON: class weights, mean and standard deviation of
        values.

        Raises UsageError or DataError where the options do not fit the data.
        """
        return {}

    def constants(self, like: Tensor, *keys: str) -> tuple[Tensor, ...]:
        """Numbers of the statistics as float32 tensors on the device of ``like``, copied there once."""
        import torch

        found = []
        for key in keys:
            place = (key, like.device)
            if place not in self._constants:
                self._constants[place] = torch.tensor(self.stats[key], dtype=torch.float32, device=like.device)
            found.append(self._constants[place])
        return tuple(found)

    def num_outputs(self) -> int:
        """Channels of the network's main output; by default one for each name of the target."""
        return len(target_names(self.target))

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """The loss of each sample. It reads nothing back from the device.

        Of an auxiliary output, it is asked with that in the main output's place.
        """

    @abstractmethod
    def decision(self, val: EvaluationResult | None) -> Decision:
        """How outputs become an answer, fitted on ``val`` where that is given: the result, with its outputs where they
        fit, of the trained network on the validation split."""

    @abstractmethod
    def evaluator(self, decision: Decision) -> Evaluator: ...

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> Sequence[ReportItem]:
        """Write what people would rather look at (images, tables) into ``directory``, and name what the run's page is
        to show of it."""
        return ()


@dataclass(frozen=True)
class AdaptContext:
    """What an adaptation may use: the data; the name of the module that gives the main output, where it is known; the
    task's evaluation; and a way to print one line."""

    data: DataView
    head: str | None
    evaluate: Evaluate
    print: Callable[[str], None]


@dataclass(frozen=True)
class Teacher:
    """A network whose outputs are taught beside the targets (G. Hinton et al.: Distilling the knowledge in a neural
    network, 2015).

    The loss is (1 - share) · task's + share · T² · distance to the teacher's answers at the temperature T.
    """

    model: nn.Module
    share: float = 0.9
    temperature: float = 2.0


class Adaptation(ABC, Generic[O]):
    """A change to a network before it is trained, under any task: freezing, another form of its layers, added weights.

    `adapt` makes the change and returns what it did, as JSON; `rebuild` makes the same change from that JSON alone, so
    that a run's network is rebuilt with no data: build → rebuild → load weights.
    """

    def __init__(self, options: O) -> None:
        self.options = options

    @property
    def trains(self) -> bool:
        """Whether the network is trained after the change; where no adaptation of a run says so, it is not."""
        return True

    @abstractmethod
    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]: ...

    @abstractmethod
    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module: ...

    def resume(self, model: nn.Module, context: AdaptContext, adaptation: JSON) -> tuple[nn.Module, dict[str, Any]]:
        """As `adapt`, of a run that goes on; what it returns must equal ``adaptation``. One that measures, and might
        choose otherwise another time, makes the same choices here."""
        return self.adapt(model, context)

    def teacher(self) -> Teacher | None:
        """What the training after `adapt` is taught by."""
        return None

    def lr_multipliers(self, model: nn.Module) -> Mapping[str, float]:
        """The share of the learning rate that parameters have which do not learn at all of it, by name."""
        return {}

    def configure_train_mode(self, model: nn.Module) -> None:
        """Called whenever the model has been put into training mode, to keep a part of it (a frozen batch norm) out of
        that."""

    def on_epoch_start(self, model: nn.Module, epoch: int) -> None:
        """Called before each epoch (counted from 0). It may set ``requires_grad`` of what learns by the last epoch, but
        of nothing that `adapt` froze."""

    def report(
        self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path
    ) -> Sequence[ReportItem]:
        """As `Task.report`, of the change; ``result`` is that of the network after training."""
        return ()


class Solver(ABC, Generic[O]):
    """What is solved without training, of the data alone (the SVD of an image)."""

    def __init__(self, options: O) -> None:
        self.options = options

    @abstractmethod
    def plan(self, data: DataView) -> dict[str, Any]:
        """What will be solved, as JSON: all that `rebuild` needs."""

    @abstractmethod
    def rebuild(self, solution: JSON) -> nn.Module:
        """A module with a place for everything that `solve` finds."""

    @abstractmethod
    def solve(self, model: nn.Module, data: DataView, print: Callable[[str], None]) -> None:  # noqa: A002
        """Fill the module that `rebuild` made; ``print`` prints one line."""

    @abstractmethod
    def evaluate(self, model: nn.Module, part: PartView) -> EvaluationResult: ...

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> Sequence[ReportItem]:
        """As `Task.report`."""
        return ()
