"""Load a trained model from a run directory or from the weights that a plugin ships.

This needs neither data nor network access.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from zoo.api import Classes, Decision, Output, Raw, Softmax, Target
from zoo.config.run_config import RunConfig, Section
from zoo.contract.targets import class_names
from zoo.data.preprocessing import Preprocessing, preprocessing_of
from zoo.errors import CheckpointError, ConfigError, UsageError, report_to
from zoo.models.building import build_model, load_state
from zoo.models.tensor_files import read_tensors
from zoo.registry.lookup import Registry, options_model, registry
from zoo.runs import checkpoints
from zoo.runs.build_components import build_adaptations, build_network, build_solver, build_task, output_reader
from zoo.runs.initial_weights import FileWeights, NamedWeights, RandomWeights, parse_weights, unknown
from zoo.runs.plan import RunPlan
from zoo.runs.plugin_check import announce_versions, require_plugins
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import Record, RunDir, find, run_id, usable_runs
from zoo.runs.task_plan import plan_task


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

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; empty for other targets."""
        return class_names(self.target)


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
    plan = plan_of(catalogue, config, record.preprocessing)
    try:
        model, decision, output = _rebuilt(catalogue, plan, record)
    except ConfigError as error:  # the installed plugin lacks an option of the run
        raise ConfigError(error.problems, where=run.path) from error
    load_state(model, checkpoints.weights(checkpoint), checkpoint)
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
    )


def plan_of(catalogue: Registry, config: RunConfig, preprocessing: Preprocessing) -> RunPlan:
    """Return the plan of a recorded configuration for building its network; its initial weights need not exist any
    more."""
    architecture = None if config.architecture is None else catalogue.architecture(config.architecture.name)
    dataset = catalogue.dataset(config.dataset.name)
    task = plan_task(catalogue, catalogue.task(config.task.name), dataset, [section.name for section in config.adapt])
    return RunPlan(config, architecture, dataset, task, RandomWeights(), preprocessing, ())


def _rebuilt(catalogue: Registry, plan: RunPlan, record: Record) -> tuple[nn.Module, Decision, Output]:
    """Return the network of a run with its adaptations, its decision, and its main output."""
    if plan.task.learned is None:
        return build_solver(plan).rebuild(record.solution or {}), Raw(), Output()
    task = build_task(plan, record.target, record.statistics)
    model = build_network(catalogue, plan, record.preprocessing, task.num_outputs())
    for adaptation, made in zip(build_adaptations(plan), record.adaptations, strict=True):
        model = adaptation.rebuild(model, made)
    return model, record.decision or task.decision(None), output_reader(plan).main


def load_shipped(catalogue: Registry, name: str) -> LoadedModel:
    """Return the model of a recipe with its shipped weights. Raises CheckpointError if it ships none."""
    item = catalogue.runnable(name)
    shipped = getattr(item.spec, "weights", None)
    if item.kind != "recipe" or not isinstance(shipped, str):
        raise CheckpointError(
            f"'{name}' has no finished run and ships no weights", fix=f"train it first: zoo run {name}"
        )
    plan = resolve(catalogue, name)
    config, architecture = plan.config, plan.architecture
    if architecture is None or shipped not in architecture.spec.weights:
        raise CheckpointError(
            f"recipe '{item.canonical}' ships the weights '{shipped}', but its architecture does not have them",
            fix=report_to(item.plugin.distribution),
        )
    weights = architecture.spec.weights[shipped]
    preprocessing = preprocessing_of(weights, config.dataset.permute_pixels)
    section = Section(
        name=architecture.canonical,
        **{**(config.architecture.options if config.architecture else {}), **weights.architecture_options},
    )
    channels, height, width = preprocessing.shape
    model = build_model(
        catalogue, section, in_channels=channels, num_outputs=len(weights.classes), image_size=(height, width)
    )
    path = NamedWeights(architecture, shipped).file()
    load_state(model, read_tensors(path), path.name)
    origin = {
        "kind": "shipped weights",
        "weights": f"{architecture.canonical}:{shipped}",
        "sha256": weights.sha256,
        "licence": weights.licence,
        "dataset": weights.dataset,
        "metrics": weights.metrics,
    }
    target, decision = Classes(names=weights.classes), Softmax(classes=weights.classes)
    return LoadedModel(model.eval(), item.spec.name, target, decision, preprocessing, config, origin)


def require_network(run: RunDir) -> None:
    """Raise UsageError for a run whose task has no network; its results are in its folder."""
    config = run.config
    if config.architecture is None:
        raise UsageError(
            f"a run of task {config.task.name} has no network",
            where=run.path,
            fix="see its report.html for the results",
        )


class Pretrained(NamedTuple):
    """A network in eval mode with trained weights, its classes and preprocessing; ``origin`` describes the weights."""

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    origin: str


def load_pretrained(catalogue: Registry, name: str, weights: str, key: str | None = None) -> Pretrained:
    """Return an architecture with its pretrained weights, by name, or with those of a safetensors file that has as many
    classes as some of them; ``key`` selects one of several networks in the file.

    Raises UsageError if their classes and preprocessing are unknown, CheckpointError if they are missing or do not fit.
    """
    item = catalogue.architecture(name)
    chosen = parse_weights(weights, item, key)
    if not isinstance(chosen, NamedWeights | FileWeights):
        raise unknown(item, weights)
    spec = chosen.spec if isinstance(chosen, NamedWeights) else chosen.known
    if not spec.classes:
        raise UsageError(
            f"the weights '{weights}' of {item.canonical} have no classifier",
            where="weights",
            fix="choose other weights, or train a classifier first: zoo run --weights",
        )
    preprocessing = preprocessing_of(spec)
    section = Section(name=item.canonical, **{**options_model(item)().model_dump(), **spec.architecture_options})
    channels, height, width = preprocessing.shape
    model = build_model(
        catalogue, section, in_channels=channels, num_outputs=len(spec.classes), image_size=(height, width)
    )
    state = chosen.read(model.state_dict())
    load_state(model, state.tensors, weights)
    read = f", read {', '.join(state.notes)}" if state.notes else ""
    label = chosen.text if isinstance(chosen, NamedWeights) else chosen.path.name
    return Pretrained(model.eval(), spec.classes, preprocessing, f"{item.canonical} with {label}{read}")


def newest_run(config: RunConfig) -> RunDir | None:
    """Return the newest finished run with the architecture, dataset and task of ``config``, options included."""
    wanted = sections_of(config)
    return next(
        (run for run, record in usable_runs() if record.status == "finished" and sections_of(run.config) == wanted),
        None,
    )


def sections_of(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", include={"architecture", "dataset", "task", "adapt"})
