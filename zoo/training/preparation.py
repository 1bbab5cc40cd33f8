"""Preparation before the first step: open the data, build and adapt the network. Nothing is written.

`zoo run` (with ``--dry-run`` and ``--resume``) and `zoo gradients` all use it, so that they train the same network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from zoo.api import AdaptContext, EvaluationResult, PartView, Solver
from zoo.config.run_config import RunConfig
from zoo.data.data_folder import MissingFilesError
from zoo.data.data_loader import Data, open_data
from zoo.errors import UsageError
from zoo.models.pretrained_weights import also_missing
from zoo.registry.lookup import calls_of, registry
from zoo.runs.build_components import (
    build_adaptations,
    build_network,
    build_solver,
    build_task,
    output_reader,
    statistics_of,
)
from zoo.runs.component_compatibility import check_classes, check_same_inputs
from zoo.runs.file_weights import Inputs
from zoo.runs.initial_weights import NamedWeights
from zoo.runs.load_initial_weights import initialise
from zoo.runs.plan import RunPlan
from zoo.runs.plugin_metrics import build_metrics
from zoo.runs.run_json import Record
from zoo.support import counter_random
from zoo.training.adaptations import Adaptations
from zoo.training.batch_size import choose_batch_size
from zoo.training.devices import Engine, set_up
from zoo.training.distillation import Distillation, on_device
from zoo.training.feature_cache import Features
from zoo.training.frozen_features import FrozenFeatures
from zoo.training.run_teacher import run_teacher
from zoo.training.train_state import (
    EarlyStop,
    Learning,
    batch_notes,
    check_checkpointing,
    check_pieces,
    check_trainable,
)


@dataclass
class LaterLines:
    """Prints lines; those before there is somewhere to print to are kept until then."""

    _kept: list[str] = field(default_factory=list)
    _print: Callable[[str], None] | None = None

    def __call__(self, text: str) -> None:
        (self._print or self._kept.append)(text)

    def print_to(self, print: Callable[[str], None]) -> None:  # noqa: A002
        kept, self._kept, self._print = self._kept, [], print
        for text in kept:
            print(text)


@dataclass
class Prepared:
    """A plan with opened data and a built network, ready to be trained or solved.

    For a solver task, ``learning`` is None, and ``solver`` and ``solution`` are set.
    """

    plan: RunPlan
    data: Data
    model: nn.Module
    engine: Engine
    notes: list[str]
    learning: Learning | None = None
    solver: Solver[Any] | None = None
    solution: dict[str, Any] | None = None
    start: tuple[tuple[str, str, str, str], ...] = ()
    lines: LaterLines = field(default_factory=LaterLines)
    """Lines printed by the adaptations, for the run's console and log."""
    early_stop: EarlyStop | None = None
    """Of a trial, which is evaluated on the validation split in place of the test split."""
    features: Features | None = None
    """The cached features of frozen layers, from the start of the training."""

    @property
    def config(self) -> RunConfig:
        return self.plan.config

    @property
    def trains(self) -> bool:
        return self.learning is not None and self.learning.adaptations.trains


def prepare(plan: RunPlan, record: Record | None = None, *, compute: bool = True) -> Prepared:
    """Prepare a plan for training; ``record`` is that of a run to resume.

    ``compute=False`` skips slow computations of adaptations. Raises ZooError for incompatible components, missing or
    invalid data, or a broken plugin.
    """
    engine = set_up(plan.config)
    data = _open_data(plan, engine)
    if plan.task.learned is None:
        return _prepare_solver(plan, data, engine, record)
    return _prepare_learning(plan, data, engine, record, compute=compute)


def _prepare_solver(plan: RunPlan, data: Data, engine: Engine, record: Record | None) -> Prepared:
    counter_random.seed_everything(plan.config.seed)
    solver = build_solver(plan.task, plan.config)
    with calls_of([plan.task.task], "planning the solution"):
        solution = solver.plan(data) if record is None or record.solution is None else record.solution
        if record is not None:
            solver.plan(data)  # a solver may store facts about the data
        model = solver.rebuild(solution)
    return Prepared(plan, data, model, engine, list(data.notes), solver=solver, solution=solution)


def _prepare_learning(plan: RunPlan, data: Data, engine: Engine, record: Record | None, *, compute: bool) -> Prepared:
    config, train = plan.config, plan.config.train
    statistics = record.statistics if record is not None else statistics_of(plan, data.target, _train_part(data))
    task = build_task(plan, data.target, statistics)
    counter_random.seed_everything(config.seed)
    model = build_network(registry(), plan, data.preprocessing, task.num_outputs())
    start = initialise(model, plan, data.target)
    adaptations = Adaptations(plan.task.adaptations, build_adaptations(plan))
    metrics = partial(build_metrics, registry(), train.metrics, data.target)
    metrics()  # finds errors in metrics before the training
    lines = LaterLines()
    frozen = FrozenFeatures(data, engine, registry(), lines)
    learning = Learning(task, output_reader(plan), adaptations, statistics, metrics=metrics, frozen=frozen)
    computes = None if compute else plan.task.computes
    notes = [*data.notes, start.told or ""]
    if computes is None:
        model = _adapt(plan, learning, model, data, record, frozen)
        learning.distillation = _distillation(plan, learning, data, engine)
    else:
        notes.append(f"computed when the run starts: {computes}")
    if adaptations.trains:
        if train.batch_size == "auto":
            check_trainable(config.with_batch_size(1), model, learning, data, engine)
            choice = choose_batch_size(config, model, learning, data, engine)
            plan = replace(plan, config=config.with_batch_size(choice.size))
            notes.append(choice.told)
        config, train = plan.config, plan.config.train
        check_trainable(config, model, learning, data, engine)
        if computes is None:
            check_pieces(train, model, learning, data, engine)
            check_checkpointing(train, model, learning, data, engine)
        notes += batch_notes(train, len(data.part("train")))
    notes = [note for note in notes if note]
    return Prepared(plan, data, model, engine, notes, learning, start=start.tensors, lines=lines)


def _train_part(data: Data) -> Any:
    """Return the train split. Raises UsageError if there is none."""
    if "train" not in data.parts:
        raise UsageError(f"{data.name} has no train split, only {', '.join(data.parts)}", fix="choose another dataset")
    return data.part("train")


def _adapt(
    plan: RunPlan, learning: Learning, model: nn.Module, data: Data, record: Record | None, frozen: FrozenFeatures
) -> nn.Module:
    """Return the adapted network; for a resumed run, with the same changes as before."""
    head = None if plan.architecture is None else plan.architecture.spec.head
    batch_size = plan.config.train.eval_batch_size

    def evaluate(network: nn.Module, part: PartView) -> EvaluationResult:
        return learning.evaluate(network, part, batch_size)

    context = AdaptContext(data, head, evaluate, frozen.print, frozen, learning.task.decision(None))
    if record is None:
        model, learning.made = learning.adaptations.adapt(model, context)
    else:
        model, learning.made = learning.adaptations.resume(model, context, record.adaptations)
    return model


def _distillation(plan: RunPlan, learning: Learning, data: Data, engine: Engine) -> Distillation | None:
    """Return the distillation with the run of ``train.teacher``, otherwise with an adaptation's teacher, or None."""
    if plan.config.train.teacher is not None:
        return run_teacher(plan.config.train, data, learning.task.decision(None), engine.device)
    teacher = learning.adaptations.teacher
    if teacher is None or teacher.share == 0:
        return None
    on_device(teacher, engine.device)
    return Distillation(teacher, data.target, learning.reader)


def _open_data(plan: RunPlan, engine: Engine) -> Data:
    """Open the data, and make the checks of the plan that need it."""
    try:
        data = open_data(
            registry(), plan.config.dataset, engine.device, prepare=plan.prepare_images, seed=plan.config.seed
        )
    except MissingFilesError as error:
        if isinstance(plan.weights, NamedWeights):
            raise also_missing(error, plan.weights.item, plan.weights.text, plan.task.task.canonical) from error
        raise
    check_classes(plan.dataset, plan.task, data.classes)
    check_same_inputs(plan.task, plan.weights, Inputs(data.name, data.target, data.preprocessing))
    return data
