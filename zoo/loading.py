"""Bringing a trained model back: from a run directory, or from the weights a plugin ships. Neither data nor network is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from zoo import checkpoints
from zoo.api import ArchitectureSpec, Task, WeightsSpec
from zoo.combinations import Inputs
from zoo.config import NO_WEIGHTS, RunConfig, Section
from zoo.errors import CheckpointError, UsageError
from zoo.models import build_model, load_state
from zoo.preprocessing import Learned, LearnedInRun, Preprocessing, preprocessing_of
from zoo.pretrained import no_such_weights, weights_file, weights_named
from zoo.registry import Item, Registry, calls_of, load_object, options_model, registry
from zoo.resolve import resolve, run_of_weights
from zoo.rundir import RunDir, find, run_id, usable_runs
from zoo.statedicts import StateDict, fit_to, head_shape
from zoo.tensorfiles import read_tensors, shapes_of


@dataclass
class LoadedModel:
    """A model in eval mode, and all that is needed to use it. ``origin`` says, as JSON, where its weights come from."""

    model: nn.Module
    name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    config: RunConfig
    origin: dict[str, Any]
    run: RunDir | None = None


def build_task(catalogue: Registry, config: RunConfig) -> Task:
    """A task that has a method ``introduce`` is told the architecture it will work on."""
    item = catalogue.task(config.task.name)
    build = load_object(item.spec.target, item)
    architecture = None if config.architecture is None else catalogue.architecture(config.architecture.name).spec
    with calls_of([item], "its construction"):
        task: Task = build(**config.task.options)
        if architecture is not None and hasattr(task, "introduce"):
            task.introduce(architecture)
    return task


def build_for(catalogue: Registry, config: RunConfig, preprocessing: Preprocessing, num_classes: int) -> nn.Module:
    """The network of a configuration, before the task has changed anything in it."""
    if config.architecture is None:
        raise UsageError("no architecture is named", fix="add --arch NAME (see `zoo list architectures`)")
    return build_model(
        catalogue,
        config.architecture,
        in_channels=preprocessing.channels,
        num_classes=num_classes,
        image_size=(preprocessing.height, preprocessing.width),
    )


def load(run: str | Path) -> nn.Module:
    """The trained network of a run (its best checkpoint), in eval mode on the CPU; ``zoo.load`` in the Python API."""
    return load_run(find(run)).model


def load_run(run: RunDir, device: torch.device | str = "cpu") -> LoadedModel:
    """Raises CheckpointError where the checkpoint is damaged or does not fit."""
    catalogue, config, record = registry(), run.config, run.record
    checkpoint = checkpoints.chosen(run)
    model = build_for(catalogue, config, record.preprocessing, len(record.classes)) if config.architecture else nn.Module()
    model = build_task(catalogue, config).restructure(model, record.structure)
    load_state(model, checkpoints.weights(checkpoint), checkpoint)
    origin = {
        "kind": "run",
        "run": run_id(run.path),
        "checkpoint": checkpoint.name,
        "created": record.created,
        "dataset": record.dataset,
        "fingerprint": record.fingerprint,
        "metrics": record.results.get("report", {}),
    }
    return LoadedModel(model.to(device).eval(), record.label, tuple(record.classes), record.preprocessing, config, origin, run)


def load_shipped(catalogue: Registry, name: str) -> LoadedModel:
    """The model of a recipe with the weights it ships. Raises CheckpointError where it ships none."""
    item = catalogue.runnable(name)
    shipped = getattr(item.spec, "weights", None)
    if item.kind != "recipe" or not isinstance(shipped, str):
        raise CheckpointError(f"'{name}' has no finished run and ships no weights", fix=f"train it first: zoo run {name}")
    config = resolve(catalogue, name)
    architecture = catalogue.architecture(config.architecture.name) if config.architecture else None
    if architecture is None or shipped not in architecture.spec.weights:
        raise CheckpointError(
            f"recipe '{item.canonical}' ships the weights '{shipped}', which its architecture does not name",
            fix="report it to the authors of its plugin",
        )
    weights = architecture.spec.weights[shipped]
    preprocessing = preprocessing_of(weights, config.dataset.permute_pixels)
    section = Section(name=architecture.canonical, **{**(config.architecture.options if config.architecture else {}), **weights.architecture_options})
    channels, height, width = preprocessing.shape
    model = build_model(catalogue, section, in_channels=channels, num_classes=len(weights.classes), image_size=(height, width))
    path = weights_file(architecture, shipped)
    load_state(model, read_tensors(path), path.name)
    origin = {
        "kind": "shipped weights",
        "weights": f"{architecture.canonical}:{shipped}",
        "sha256": weights.sha256,
        "licence": weights.licence,
        "dataset": weights.dataset,
        "metrics": weights.metrics,
    }
    return LoadedModel(model.eval(), item.spec.name, weights.classes, preprocessing, config, origin)


def require_network(run: RunDir) -> None:
    """Raises UsageError for a run whose task has no network: what it made lies in its folder."""
    config = run.config
    if config.architecture is None:
        raise UsageError(f"a run of task {config.task.name} has no network", where=run.path, fix="see its report.html for what it made")


class Pretrained(NamedTuple):
    """A network in eval mode with trained weights, and what is known of these. ``origin`` says in words which they are."""

    model: nn.Module
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    origin: str


def load_pretrained(catalogue: Registry, name: str, weights: str, key: str | None = None) -> Pretrained:
    """An architecture with weights of its own, by their name, or from a safetensors file that has the form of some of its own; ``key`` chooses among
    several networks in that file.

    Raises UsageError where nothing is known of their classes and pictures, CheckpointError where they cannot be had or do not fit.
    """
    item = catalogue.architecture(name)
    file = Path(weights).expanduser()
    known = None if file.is_file() else weights_named(item, weights)
    if known is None and not file.is_file():
        raise no_such_weights(item, weights)
    spec = item.spec.weights[known] if known is not None else _like(item, file, key)
    if not spec.classes:
        raise UsageError(
            f"the weights '{weights}' of {item.canonical} have no classifier", where="weights", fix="choose others, or train one on them"
        )
    preprocessing = preprocessing_of(spec)
    section = Section(name=item.canonical, **{**options_model(item)().model_dump(), **spec.architecture_options})
    channels, height, width = preprocessing.shape
    model = build_model(catalogue, section, in_channels=channels, num_classes=len(spec.classes), image_size=(height, width))
    state = fit_to(model.state_dict(), read_tensors(weights_file(item, known) if known is not None else file), key, weights)
    load_state(model, state.tensors, weights)
    read = f", read {', '.join(state.notes)}" if state.notes else ""
    return Pretrained(model.eval(), spec.classes, preprocessing, f"{item.canonical} with {known or file.name}{read}")


def _like(item: Item[ArchitectureSpec], file: Path, key: str | None) -> WeightsSpec:
    """The first of an architecture's weights that have as many classes as a file: what is known of these holds for it."""
    shape = None if item.spec.head is None else head_shape(shapes_of(file), item.spec.head, key)
    classes = None if shape is None else shape[0]
    found = next((spec for spec in item.spec.weights.values() if classes is not None and len(spec.classes) == classes), None)
    if found is None:
        known = "it has no head that is known" if classes is None else f"none of the architecture's own weights has its {classes} classes"
        raise UsageError(f"what the classes of these weights are is not known: {known}", where=file, fix="predict by a run or a bundle")
    return found


class Start(NamedTuple):
    """What a network starts from: a sentence, and for each of its tensors its shape, that in the weights, and what became of it."""

    told: str | None
    tensors: tuple[tuple[str, str, str, str], ...] = ()


LOADED, ANEW = "loaded", "drawn anew"


def load_initial(catalogue: Registry, config: RunConfig, model: nn.Module, classes: Sequence[str]) -> Start:
    """Start from the weights the configuration names: a safetensors file, an earlier run, or a name its architecture knows.

    A task that needs weights has ``classes`` of its own: a head for others, or of another size, stays as it was drawn. Raises CheckpointError where
    anything else differs.
    """
    if config.weights is None or config.architecture is None:
        return Start(None)
    if config.weights == NO_WEIGHTS:
        return Start("starting from no weights: all of the network is drawn at random")
    item = catalogue.architecture(config.architecture.name)
    own = model.state_dict()
    tensors, changes = _tensors_to_start_from(item, config.weights, config, own)
    theirs = _classes_of_weights(item, config.weights, config.weights_key)
    task = catalogue.task(config.task.name).spec
    renewed = task.needs_weights and not task.same_inputs
    kept = _other_heads(item.spec.head, tensors, own, same=not theirs or theirs == tuple(classes)) if renewed else []
    try:
        load_state(model, {**tensors, **{name: own[name] for name in kept}}, config.weights)
    except CheckpointError as error:
        raise _of_a_changed_network(error, run_of_weights(item, config.weights)) from error
    anew = ", ".join(f"{name} {_size(own[name])}" for name in kept)
    read = f", read {', '.join(changes)}" if changes else ""
    told = f"starting from the weights {config.weights}: {len(own) - len(kept)} of {len(own)} tensors{read}" + (
        f"; drawn anew: {anew}" if anew else ""
    )
    rows = ((name, _size(value), _size(tensors.get(name)), ANEW if name in kept else LOADED) for name, value in own.items())
    return Start(told, tuple(rows))


def _of_a_changed_network(error: CheckpointError, run: RunDir | None) -> CheckpointError:
    """``error``, with what to do where the weights are those of a run whose task made another network of the one it started from."""
    if run is None or run.config.weights in (None, NO_WEIGHTS):
        return error
    fix = f"task {run.config.task.name} of that run changed the network; start from what the run started from, {run.config.weights}"
    return CheckpointError(error.what, where=error.where, fix=fix)


def _tensors_to_start_from(item: Item[ArchitectureSpec], weights: str, config: RunConfig, own: Mapping[str, torch.Tensor]) -> StateDict:
    run = run_of_weights(item, weights)
    if run is not None:
        return StateDict(checkpoints.weights(checkpoints.chosen(run)))
    file = weights_file(item, weights, config.task.name) if weights in item.spec.weights else Path(weights).expanduser()
    return fit_to(own, read_tensors(file), config.weights_key, weights)


def _classes_of_weights(item: Item[ArchitectureSpec], weights: str, key: str | None) -> tuple[str, ...]:
    """The classes that the head of these weights tells apart; none where that is not known."""
    run = run_of_weights(item, weights)
    if run is not None:
        return tuple(run.record.classes)
    if weights in item.spec.weights:
        return item.spec.weights[weights].classes
    try:
        return _like(item, Path(weights).expanduser(), key).classes
    except UsageError:
        return ()


def _size(tensor: torch.Tensor | None) -> str:
    return "–" if tensor is None else "×".join(map(str, tensor.shape)) or "a number"


def _other_heads(head: str | None, tensors: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor], *, same: bool) -> list[str]:
    """Tensors of classifiers for other classes. Of another number: they differ in their first dimension alone, or the weights have no head at all; of
    as many, where they are not the ``same``: the head's."""
    shared = [(name, value.shape, tensors[name].shape) for name, value in own.items() if name in tensors]
    kept = [name for name, mine, theirs in shared if mine != theirs and mine[1:] == theirs[1:]]
    of_head = [name for name in own if head is not None and name.startswith(f"{head}.")]
    return list(dict.fromkeys([*kept, *(name for name in of_head if name not in tensors or not same)]))


def learned_weights(catalogue: Registry, config: RunConfig) -> Learned | None:
    """How the weights that a configuration starts from saw their pictures: of a file, what is known of the architecture's own of the same form."""
    if config.weights in (None, NO_WEIGHTS) or config.architecture is None:
        return None
    item = catalogue.architecture(config.architecture.name)
    if config.weights in item.spec.weights:
        return item.spec.weights[config.weights]
    run = run_of_weights(item, config.weights)
    if run is not None:
        return LearnedInRun.of(run.record.preprocessing)
    file = Path(config.weights).expanduser()
    try:
        return _like(item, file, config.weights_key)
    except UsageError:
        return None


def trained_inputs(catalogue: Registry, config: RunConfig) -> Inputs | None:
    """The classes and the preprocessing that the weights of a configuration were trained on; None where these are not known."""
    if config.weights in (None, NO_WEIGHTS) or config.architecture is None:
        return None
    item = catalogue.architecture(config.architecture.name)
    run = run_of_weights(item, config.weights)
    if run is not None:
        return Inputs(f"the run {run_id(run.path)}", tuple(run.record.classes), run.record.preprocessing)
    learned = learned_weights(catalogue, config)
    if not isinstance(learned, WeightsSpec):
        return None
    return Inputs(f"the weights {config.weights}", learned.classes, preprocessing_of(learned, config.dataset.permute_pixels))


def newest_run(config: RunConfig) -> RunDir | None:
    """The newest finished run whose architecture, dataset and task, with their options, are those of ``config``."""
    wanted = sections_of(config)
    return next((run for run, record in usable_runs() if record.status == "finished" and sections_of(run.config) == wanted), None)


def sections_of(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json", include={"architecture", "dataset", "task"})
