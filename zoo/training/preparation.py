"""Everything before the first step: the data of a plan is opened, its network built and adapted by its task.

Nothing is written.

`zoo run`, its dry run, ``--resume`` and `zoo gradients` all start here, so that they agree about what would be trained.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from torch import nn

from zoo.api import Task
from zoo.config.run_config import RunConfig
from zoo.data.data_folder import MissingFilesError
from zoo.data.data_loader import Data, open_data
from zoo.errors import CheckpointError
from zoo.models.pretrained_weights import also_missing
from zoo.registry.lookup import calls_of, registry
from zoo.runs.component_compatibility import check_classes, check_same_inputs
from zoo.runs.initial_weights import Inputs, NamedWeights
from zoo.runs.load_initial_weights import initialise
from zoo.runs.load_model import build_for, build_task
from zoo.runs.plan import RunPlan
from zoo.support import counter_random
from zoo.training.closed_form import in_closed_form
from zoo.training.devices import Engine, set_up
from zoo.training.train_state import batch_notes, check_pieces, check_trainable


@dataclass
class Prepared:
    """A plan whose data is open and whose network is built: ready to be trained, and nothing has been written yet."""

    plan: RunPlan
    task: Task
    data: Data
    model: Any
    structure: dict[str, Any]
    engine: Engine
    notes: list[str]
    start: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def config(self) -> RunConfig:
        return self.plan.config


def prepare(plan: RunPlan, structure: dict[str, Any] | None = None, *, compute: bool = True) -> Prepared:
    """All that comes before training; ``structure`` is that of a run that is resumed.

    Without ``compute``, what the task computes first is left out.

    Raises ZooError where the combination makes no sense, data is missing or wrong, or a plugin is at fault.
    """
    config = plan.config
    engine = set_up(config)
    data = _open_data(plan, engine)
    counter_random.seed_everything(config.seed)
    model = build_for(registry(), config, data.preprocessing, len(data.classes)) if config.architecture else nn.Module()
    start = initialise(model, plan, data.classes)
    notes = [*data.notes, start.told]
    task = build_task(registry(), config)
    computes = None if compute else plan.task.spec.computes
    if computes is None:
        with calls_of([plan.task], "preparing the model"):
            model, structure = (
                task.prepare(model, data) if structure is None else prepare_again(task, model, data, structure)
            )
    else:
        notes.append(f"computed when the run starts: {computes}")
    if not in_closed_form(task):
        check_trainable(config, model, task, data, engine)
        if computes is None:
            check_pieces(config.train, model, task, data, engine)
        notes += batch_notes(config.train, len(data.part("train")))
    return Prepared(plan, task, data, model, structure or {}, engine, [note for note in notes if note], start.tensors)


def _open_data(plan: RunPlan, engine: Engine) -> Data:
    """With all that can be known of a plan once its data is open checked."""
    try:
        data = open_data(
            registry(), plan.config.dataset, engine.device, prepare=plan.prepare_images, seed=plan.config.seed
        )
    except MissingFilesError as error:
        if isinstance(plan.weights, NamedWeights):
            raise also_missing(error, plan.weights.item, plan.weights.text, plan.task.canonical) from error
        raise
    check_classes(plan.dataset, plan.task, data.classes)
    check_same_inputs(plan.task.spec, plan.weights, Inputs(data.name, data.classes, data.preprocessing))
    return data


def prepare_again(
    task: Task, model: nn.Module, data: Data, structure: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """The model as the task changed it when the run began.

    Raises CheckpointError where it changes it otherwise today.
    """
    if hasattr(task, "resume"):
        return task.resume(model, data, structure), structure
    model, again = task.prepare(model, data)
    if json.loads(json.dumps(again)) != structure:
        raise CheckpointError(
            "the task changes the network otherwise than when this run began",
            fix="bring back what changed, or start a new run",
        )
    return model, structure
