"""Load a trained model from a run directory or from the weights that a plugin ships.

This needs neither data nor network access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.api import Decision, Embedding, Mask, Output, PixelArgmax, Raw, Softmax, Target
from zoo.config.run_config import RunConfig
from zoo.contract.targets import class_names
from zoo.data.preprocessing import Preprocessing
from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.models.building import build_model, load_state
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import Registry, registry
from zoo.runs import checkpoints
from zoo.runs.build_components import build_adaptations, build_network, build_solver, build_task, output_reader
from zoo.runs.file_weights import target_of
from zoo.runs.initial_weights import NamedWeights, RandomWeights
from zoo.runs.plan import RunPlan
from zoo.runs.plugin_check import announce_versions, require_plugins
from zoo.runs.provided_objects import fix_of_mismatch
from zoo.runs.published_weights import Published, find_published, origin_of
from zoo.runs.run_directory import Record, RunDir, find, run_id, usable_runs
from zoo.runs.task_plan import TaskPlan, plan_task_for
from zoo.support.atomic_files import sha256


@dataclass
class LoadedModel:
    """A model in eval mode, and all that is needed to use it. ``origin`` is the source of its weights, as JSON."""

    model: nn.Module
    name: str
    target: Target
    decision: Decision
    preprocessing: Preprocessing
    config: RunConfig
    origin: dict[str, Any]
    output: Output = field(default_factory=Output)
    """The network's main output."""
    run: RunDir | None = None
    statistics: Mapping[str, Any] = field(default_factory=dict)
    """The statistics of the task, computed on the train split."""
    ancestry: list[dict[str, Any]] = field(default_factory=list)
    """What the network descends from (see `zoo.runs.ancestry`)."""
    label: str = ""
    """The model in messages: the id of a run, an architecture with its weights, or the path of an exported file."""
    engine: str = f"torch {torch.__version__}"
    """What computes the outputs."""
    notes: tuple[str, ...] = ()
    """What could not be checked, or was assumed."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; empty for other targets."""
        return class_names(self.target)

    @property
    def gallery(self) -> Path | None:
        """The file of the vectors that a run's embeddings are compared with, if it has one. Raises CheckpointError if
        it is missing."""
        if self.run is None or not isinstance(self.decision, Embedding) or self.decision.gallery is None:
            return None
        file = self.run.path / self.decision.gallery
        if not file.is_file():
            raise CheckpointError("the gallery of the run is missing", where=file, fix="train again")
        return file


def load(run: str | Path) -> nn.Module:
    """Return the trained network of a run (its best checkpoint), in eval mode on the CPU.

    ``run`` is a path, a ``label/name``, or a label for its newest run. Raises UsageError if there is no such run, and
    CheckpointError if its checkpoint is damaged.
    """
    return load_run(find(run)).model


def load_run(run: RunDir, device: torch.device | str = "cpu") -> LoadedModel:
    """Return the model of a run. If a plugin has another version than in the run, a note is printed on stderr.

    Raises CheckpointError if the checkpoint is damaged or does not fit, PluginError if a plugin of the run is missing.
    """
    catalogue, config, record = registry(), run.config, run.record
    require_plugins(record, catalogue, "architecture", "dataset", "task")
    announce_versions(record, catalogue)
    checkpoint = checkpoints.chosen(run)
    plan = plan_of(catalogue, config, record.preprocessing, record.target)
    try:
        model, decision, output = _rebuilt(catalogue, plan, record)
    except ConfigError as error:  # the installed plugin lacks an option of the run
        raise ConfigError(error.problems, where=run.path) from error
    load_state(model, checkpoints.weights(checkpoint), checkpoint, fix_of_mismatch(record))
    origin = {
        "kind": "run",
        "run": run_id(run.path),
        "checkpoint": checkpoint.name,
        "sha256": next(entry.digest for entry in run.root.checkpoints if entry.name == checkpoint.name),
        "created": record.created,
        "dataset": record.dataset,
        "fingerprint": record.fingerprint,
        "metrics": record.results.get("test", {}),
    }
    return LoadedModel(
        model.to(device).eval(),
        record.label,
        record.target,
        decision,
        record.preprocessing,
        config,
        origin,
        output,
        run,
        record.statistics,
        record.ancestry,
        run_id(run.path),
    )


def plan_of(catalogue: Registry, config: RunConfig, preprocessing: Preprocessing, target: Target) -> RunPlan:
    """Return the plan of a recorded configuration for building its network; its initial weights need not exist any
    more."""
    architecture = None if config.architecture is None else catalogue.architecture(config.architecture.name)
    dataset = catalogue.dataset(config.dataset.name)
    task = task_of(catalogue, config, target)
    return RunPlan(config, architecture, dataset, task, RandomWeights(), preprocessing, ())


def _rebuilt(catalogue: Registry, plan: RunPlan, record: Record) -> tuple[nn.Module, Decision, Output]:
    """Return the network of a run with its adaptations, its decision, and its main output."""
    if plan.task.learned is None:
        return build_solver(plan.task, plan.config).rebuild(record.solution or {}), Raw(), Output()
    task = build_task(plan, record.target, record.statistics)
    model = build_network(catalogue, plan, record.preprocessing, task.num_outputs())
    for adaptation, made in zip(build_adaptations(plan), record.adaptations, strict=True):
        model = adaptation.rebuild(model, made)
    return model, record.decision or task.decision(None), output_reader(plan).main


def task_of(catalogue: Registry, config: RunConfig, target: Target) -> TaskPlan:
    """Return the task of a trained model. Its dataset need not be installed: the kind of ``target`` is known."""
    adapt = [section.name for section in config.adapt]
    return plan_task_for(catalogue, catalogue.task(config.task.name), (target.kind,), config.dataset.name, adapt)


def load_shipped(catalogue: Registry, name: str) -> LoadedModel:
    """Return the model of a recipe with its pretrained weights. Raises CheckpointError if it has none."""
    return load_published(catalogue, find_published(catalogue, name))


def load_pretrained(catalogue: Registry, name: str, weights: str, key: str | None = None) -> LoadedModel:
    """Return an architecture, or the one of a recipe, with pretrained weights: a name, a safetensors file that has as
    many classes as some of the architecture's own, or the address of one; ``key`` selects one of several networks in
    it.

    Raises UsageError if their classes and preprocessing are unknown, CheckpointError if they are missing or do not fit.
    """
    return load_published(catalogue, find_published(catalogue, name, weights, key))


def load_published(catalogue: Registry, found: Published, device: torch.device | str = "cpu") -> LoadedModel:
    """Return the model of an architecture with pretrained weights, downloaded if they are missing."""
    preprocessing, spec, weights = found.preprocessing, found.spec, found.weights
    path = weights.file() if isinstance(weights, NamedWeights) else weights.path
    channels, height, width = preprocessing.shape
    assert found.config.architecture is not None  # noqa: S101  # `find_published` names one
    model = build_model(
        catalogue,
        found.config.architecture,
        in_channels=channels,
        num_outputs=len(spec.classes),
        image_size=(height, width),
    )
    state = weights.read(model.state_dict())
    load_state(model, state.tensors, weights.text)
    read = f", read {', '.join(state.notes)}" if state.notes else ""
    target = target_of(found.architecture.spec, spec)
    assert target is not None  # noqa: S101  # `find_published` refuses weights without classes
    return LoadedModel(
        model.to(device).eval(),
        found.name,
        target,
        PixelArgmax(classes=spec.classes) if isinstance(target, Mask) else Softmax(classes=spec.classes),
        preprocessing,
        found.config,
        origin_of(found, path, sha256(path)),
        output=OutputReader(found.architecture.spec.outputs).main,
        label=f"{found.label}{read}",
    )


def require_network(run: RunDir) -> None:
    """Raise UsageError for a run whose task has no network; its results are in its folder."""
    config = run.config
    if config.architecture is None:
        raise UsageError(
            f"a run of task {config.task.name} has no network",
            where=run.path,
            fix="see its report.html for the results",
        )


def newest_run(config: RunConfig) -> RunDir | None:
    """Return the newest finished run with the architecture, dataset and task of ``config``, options included."""
    wanted = sections_of(config)
    return next(
        (run for run, record in usable_runs() if record.status == "finished" and sections_of(run.config) == wanted),
        None,
    )


def sections_of(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", include={"architecture", "dataset", "task", "adapt"})
