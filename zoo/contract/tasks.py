"""Base classes of tasks (`Task`), of changes to a network before training (`Adaptation`), and of closed-form solutions
(`Solver`).

Optional methods have a default implementation that does nothing, so that type checkers find wrong overrides.
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
    """The metric that selects the best checkpoint; ``mode`` ``"max"`` means that higher is better."""

    metric: str
    mode: Literal["max", "min"]


class Loss(NamedTuple):
    """The loss of each sample of a batch, float32 (B,), and its weight (B,); None weights every sample by 1.

    The trainer minimises Σ values·weights / Σ weights over the whole batch, also if ``train.micro_batches`` splits it.
    No gradient flows through the weights.
    """

    values: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation on a split.

    ``metrics`` are floats by name, the best known first; empty if the split has no targets. ``per_sample`` are columns
    (N,) in the split's order, for tables and paired tests. ``details`` is further JSON, such as a confusion matrix.
    ``outputs`` is the main output, float32 (N, …), and ``intervals`` the 95 % intervals of metrics by name; zoo adds
    them, the outputs if they fit into memory, the intervals in the final evaluation (`Evaluator.intervals`).
    """

    metrics: Mapping[str, float]
    per_sample: Mapping[str, np.ndarray] = field(default_factory=dict)
    details: JSON = field(default_factory=dict)
    outputs: np.ndarray | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Evaluator(ABC):
    """Computes metrics batch by batch, so that a split need not fit into memory.

    Batches have targets and come in the split's order. Outputs come from a network in eval mode, under
    ``torch.no_grad``.
    """

    @abstractmethod
    def update(self, outputs: Outputs, batch: Batch) -> None: ...

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Add the state of another evaluator of this class, which has seen the samples that follow."""

    @abstractmethod
    def compute(self) -> EvaluationResult: ...

    def intervals(self) -> Mapping[str, tuple[float, float]]:
        """Return the 95 % interval of metrics over the samples, by name. Called for the final evaluation only."""
        return {}


@runtime_checkable
class Metric(Protocol):
    """A running metric with the interface of torchmetrics. Zoo builds a new one for each evaluation.

    ``preds`` are the outputs after the decision (`zoo.plugin.decide`): probabilities of classes or labels, float32 (N,
    K); values in their units, float32 (N, D); the class of each pixel, int64 (N, H, W). ``target`` has the dtype and
    shape of the dataset's targets.
    """

    def update(self, preds: Tensor, target: Tensor) -> None: ...

    def compute(self) -> Tensor | float:
        """Return one number for all batches so far."""
        ...


@dataclass(frozen=True)
class ReportItem:
    """A figure or table of the report: ``file``, a .png or .csv under the run's folder, with a ``title`` and a
    ``caption``.

    A table with a column ``image`` of .png files under that folder is shown as a gallery: each image with its row.
    """

    title: str
    file: str
    caption: str = ""


Evaluate = Callable[["nn.Module", PartView], EvaluationResult]
"""Evaluates a network on a split, with the task's evaluator."""

ComputeFeatures = Callable[["nn.Module", PartView], PartView]
"""Returns a split with the outputs of a frozen module, float32 (B, …), in place of the images of its batches.

The module is run in eval mode, once for all splits, with progress; the outputs are kept in the cache on disk for later
runs with the same images and weights. A network in which this module alone reads the images is evaluated with them,
too.
"""


class Task(ABC, Generic[O]):
    """Base class of tasks: loss, evaluation and decision. The training loop is zoo's, the same for every task.

    ``statistics`` are computed once, on the train split, and stored with the run, so that resume, export and evaluation
    need no training data. Set ``batchwise`` if the loss of a sample depends on the others of its batch (contrastive
    losses); micro-batches are then refused.
    """

    monitor: ClassVar[Monitor]
    batchwise: ClassVar[bool] = False

    def __init__(self, options: O, target: Target, statistics: JSON) -> None:
        self.options, self.target, self.stats = options, target, statistics
        self._constants: dict[tuple[object, ...], Tensor] = {}

    @classmethod
    def statistics(cls, options: O, target: Target, train: PartView) -> JSON:  # noqa: ARG003  # of those who override it
        """Return the statistics of the train split that the task needs, as JSON: class weights, or mean and standard
        deviation of values.

        Raises UsageError or DataError if the options do not fit the data.
        """
        return {}

    def constants(self, like: Tensor, *keys: str) -> tuple[Tensor, ...]:
        """Return the statistics named ``keys`` as float32 tensors on the device of ``like``; they are copied once."""
        import torch

        found = []
        for key in keys:
            place = (key, like.device)
            if place not in self._constants:
                self._constants[place] = torch.tensor(self.stats[key], dtype=torch.float32, device=like.device)
            found.append(self._constants[place])
        return tuple(found)

    def num_outputs(self) -> int:
        """Return the number of channels of the network's main output; by default the number of target names."""
        return len(target_names(self.target))

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        """Return the loss of each sample. It must not copy values from the device (``.item()``).

        For an auxiliary output, zoo calls it with that output in place of the main output.
        """

    @abstractmethod
    def decision(self, val: EvaluationResult | None) -> Decision:
        """Return the decision rule, fitted on ``val`` if given.

        ``val`` is the result of the trained network on the validation split, with its outputs if they fit into memory.
        """

    @abstractmethod
    def evaluator(self, decision: Decision) -> Evaluator:
        """Return a new evaluator that applies ``decision``."""

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> Sequence[ReportItem]:
        """Write figures and tables into ``directory``, and return those that the run's report shows."""
        return ()


@dataclass(frozen=True)
class AdaptContext:
    """The arguments of `Adaptation.adapt`: the data; the name of the module that computes the main output, or None; the
    task's evaluation; a function that prints one line, until the end of the run; the features of a frozen module for a
    split; the task's decision before it is fitted, which says what the outputs mean."""

    data: DataView
    head: str | None
    evaluate: Evaluate
    print: Callable[[str], None]
    features: ComputeFeatures
    decision: Decision


@dataclass(frozen=True)
class Teacher:
    """The teacher of knowledge distillation (G. Hinton et al.: Distilling the knowledge in a neural network, 2015).

    The loss is (1 - share) · task loss + share · T² · distance to the teacher's outputs at the temperature T.
    """

    model: nn.Module
    share: float = 0.9
    temperature: float = 2.0


class Adaptation(ABC, Generic[O]):
    """Base class of changes to a network before training, under any task: frozen layers, factorised layers, adapters.

    `adapt` changes the network and returns a JSON description of the change. `rebuild` makes the same change from that
    JSON alone, so that a run's network can be rebuilt without data: build → rebuild → load weights.
    """

    def __init__(self, options: O) -> None:
        self.options = options

    @property
    def trains(self) -> bool:
        """Whether the network is trained after the change. A run trains if any of its adaptations returns True."""
        return True

    @abstractmethod
    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        """Return the changed network and the description of the change, as JSON."""

    @abstractmethod
    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        """Return the network with the change that ``adaptation``, from `adapt`, describes."""

    def resume(self, model: nn.Module, context: AdaptContext, adaptation: JSON) -> tuple[nn.Module, dict[str, Any]]:
        """Called in place of `adapt` when a run is resumed; the description must equal ``adaptation``.

        Override it if `adapt` depends on measurements, such as times, and might choose differently.
        """
        return self.adapt(model, context)

    def teacher(self) -> Teacher | None:
        """Return the teacher of the training that follows, or None for training without distillation."""
        return None

    def lr_multipliers(self, model: nn.Module) -> Mapping[str, float]:
        """Return the learning rate multiplier of parameters, by name; 1 for those not named."""
        return {}

    def configure_train_mode(self, model: nn.Module) -> None:
        """Called after each ``model.train()``, to set modules that must stay in eval mode (a frozen batch norm)."""

    def on_epoch_start(self, model: nn.Module, epoch: int) -> None:
        """Called before each epoch, counted from 0.

        It may freeze and unfreeze parameters that are trained by the last epoch, but not those that `adapt` froze.
        """

    def report(
        self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path
    ) -> Sequence[ReportItem]:
        """Return figures and tables about the change, as `Task.report`; ``result`` is that of the trained network."""
        return ()


class Solver(ABC, Generic[O]):
    """Base class of tasks that are solved from the data without training (the SVD of an image)."""

    def __init__(self, options: O) -> None:
        self.options = options

    @abstractmethod
    def plan(self, data: DataView) -> dict[str, Any]:
        """Return a description of the problem, as JSON, from which `rebuild` builds the module."""

    @abstractmethod
    def rebuild(self, solution: JSON) -> nn.Module:
        """Return a module with a parameter or buffer for everything that `solve` computes."""

    @abstractmethod
    def solve(self, model: nn.Module, data: DataView, print: Callable[[str], None]) -> None:  # noqa: A002
        """Compute the solution and store it in ``model``, the module from `rebuild`; ``print`` prints one line."""

    @abstractmethod
    def evaluate(self, model: nn.Module, part: PartView) -> EvaluationResult:
        """Return the evaluation of the solution on a split."""

    def report(self, result: EvaluationResult, part: PartView, directory: Path) -> Sequence[ReportItem]:
        """As `Task.report`."""
        return ()
