"""The weights that a network starts from, as one value.

`parse_weights` reads the text of a configuration's ``weights`` once; everything else that concerns them (their target,
how their images were prepared, the options their network was built with, the tensors) is a property or a method of the
value it returns. No other module parses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.api import ArchitectureSpec, Classes, Target, WeightsSpec
from zoo.data.preprocessing import Learned, LearnedInRun, Preprocessing, preprocessing_of
from zoo.errors import CheckpointError, UsageError, nearest
from zoo.registry.lookup import Item
from zoo.runs.run_directory import RunDir, find, is_run, run_id
from zoo.support.paths import runs_root, user_path

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.models.state_dicts import StateDict

NONE = "none"
"""Asks a task that needs weights to begin with random ones all the same."""


class Inputs(NamedTuple):
    """What a network is trained on or given: ``name`` says which data or weights; no ``target``: it is not known."""

    name: str
    target: Target | None
    preprocessing: Preprocessing


@dataclass(frozen=True)
class RandomWeights:
    """The network as it is initialised. ``text`` is `NONE` where the configuration says so."""

    text: str | None = None


@dataclass(frozen=True)
class NamedWeights:
    """Weights that an architecture names: shipped by its plugin, in the data folder, or to be downloaded."""

    item: Item[ArchitectureSpec]
    text: str

    @property
    def spec(self) -> WeightsSpec:
        return self.item.spec.weights[self.text]

    @property
    def target(self) -> Target | None:
        """What their network answers; None where it has no classifier, or its classes are not known."""
        return _target_of(self.spec)

    @property
    def learned(self) -> Learned | None:
        """How their images were prepared; None where that is not known."""
        return self.spec

    @property
    def builder_options(self) -> Mapping[str, Any]:
        """Options that their network was built with: without them the weights are another function."""
        return self.spec.architecture_options

    def inputs(self, permute_pixels: int | None) -> Inputs | None:
        """What they were trained on; ``permute_pixels`` is that of the run, since published weights do not tell
        theirs."""
        return _inputs(self.text, self.spec, permute_pixels)

    def file(self, task: str | None = None) -> Path:
        """The safetensors file, checked, and downloaded where it is missing.

        Raises CheckpointError; ``task`` is for what that error proposes.
        """
        from zoo.models.pretrained_weights import weights_file

        return weights_file(self.item, self.text, task)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        """The tensors under the names that the network has, whose state is ``own``. Raises CheckpointError."""
        return _fitted(own, self.file(task), None, self.text)


@dataclass(frozen=True)
class FileWeights:
    """A safetensors file. What is known of it is what is known of the architecture's own weights of the same form.

    ``key`` chooses one of several networks in it.
    """

    item: Item[ArchitectureSpec]
    text: str
    key: str | None = None

    @property
    def path(self) -> Path:
        return user_path(self.text)

    @cached_property
    def spec(self) -> WeightsSpec | None:
        """The first of the architecture's weights with as many classes."""
        count = self._head_classes
        return (
            None
            if count is None
            else next((spec for spec in self.item.spec.weights.values() if len(spec.classes) == count), None)
        )

    @cached_property
    def _head_classes(self) -> int | None:
        from zoo.models.state_dicts import head_shape
        from zoo.models.tensor_files import shapes_of

        shape = None if self.item.spec.head is None else head_shape(shapes_of(self.path), self.item.spec.head, self.key)
        return None if shape is None else shape[0]

    @property
    def known(self) -> WeightsSpec:
        """As ``spec``. Raises UsageError where nothing is known of this file."""
        if self.spec is None:
            count = self._head_classes
            why = (
                "it has no head that is known"
                if count is None
                else f"none of the architecture's own weights has its {count} classes"
            )
            raise UsageError(
                f"what the classes of these weights are is not known: {why}",
                where=self.path,
                fix="predict by a run or a bundle",
            )
        return self.spec

    @property
    def target(self) -> Target | None:
        return None if self.spec is None else _target_of(self.spec)

    @property
    def learned(self) -> Learned | None:
        return self.spec

    @property
    def builder_options(self) -> Mapping[str, Any]:
        """A file does not tell them: those on which all of the architecture's own weights agree."""
        return _agreed(spec.architecture_options for spec in self.item.spec.weights.values())

    def inputs(self, permute_pixels: int | None) -> Inputs | None:
        return None if self.spec is None else _inputs(self.text, self.spec, permute_pixels)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        return _fitted(own, self.path, self.key, self.text)


@dataclass(frozen=True)
class RunWeights:
    """The best checkpoint of an earlier run.

    ``text`` is what finds the same run again when there is a newer one of its recipe.
    """

    run: RunDir

    @property
    def text(self) -> str:
        label = run_id(self.run.path)
        inside = self.run.path.resolve() == (runs_root() / label).resolve()
        return label if inside else str(self.run.path.resolve())

    @property
    def target(self) -> Target | None:
        return self.run.record.target

    @property
    def learned(self) -> Learned | None:
        return LearnedInRun.of(self.run.record.preprocessing)

    @property
    def builder_options(self) -> Mapping[str, Any]:
        architecture = self.run.config.architecture
        return {} if architecture is None else architecture.options

    def inputs(self, permute_pixels: int | None) -> Inputs | None:
        return Inputs(f"the run {run_id(self.run.path)}", self.target, self.run.record.preprocessing)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        from zoo.models.state_dicts import StateDict
        from zoo.runs import checkpoints

        return StateDict(checkpoints.weights(checkpoints.chosen(self.run)))

    def explain(self, error: CheckpointError) -> CheckpointError:
        """``error``, that they do not fit, with what to do where the run's task had made another network of the one it
        started from."""
        started_from, task = self.run.config.weights, self.run.config.task.name
        if started_from in (None, NONE):
            return error
        fix = f"task {task} of that run changed the network; start from what the run started from, {started_from}"
        return CheckpointError(error.what, where=error.where, fix=fix)


PretrainedWeights = NamedWeights | FileWeights | RunWeights
Weights = RandomWeights | PretrainedWeights


def parse_weights(text: str | None, item: Item[ArchitectureSpec] | None, key: str | None = None) -> Weights:
    """What ``text`` stands for: nothing or `NONE`, a file, weights that the architecture ``item`` names (or how their
    name begins), or a run.

    Raises UsageError for anything else, for a run of another architecture, and for a ``key`` where there is no file to
    choose in.
    """
    is_file = text not in (None, NONE) and user_path(str(text)).is_file()
    if key is not None and not is_file:
        raise UsageError(
            f"weights_key: '{key}' chooses in a file of weights, and weights names none", fix="leave it out"
        )
    if text is None or text == NONE:
        return RandomWeights(text)
    if item is None:
        raise UsageError(
            f"weights: there is no architecture to load '{text}' into", fix="leave it out, or add --arch NAME"
        )
    if is_file:
        return FileWeights(item, text, key)
    name = named(item, text)
    if name is not None:
        return NamedWeights(item, name)
    if not is_run(text):
        raise unknown(item, text)
    run = find(text)
    theirs = run.config.architecture
    if theirs is None or theirs.name != item.canonical:
        label = theirs.name if theirs else "no architecture"
        raise UsageError(
            f"weights: the run {run_id(run.path)} is of {label}, not of {item.canonical}", fix="leave --arch out"
        )
    return RunWeights(run)


def run_of(text: object) -> RunDir | None:
    """The run that ``text`` names, where no architecture is named that might have weights of that name; else None."""
    if not isinstance(text, str) or text == NONE or user_path(text).is_file():
        return None
    return find(text) if is_run(text) else None


def named(item: Item[ArchitectureSpec], text: str) -> str | None:
    """The name of an architecture's weights that ``text`` stands for: itself, or the first whose name or dataset begins
    with it."""
    known = item.spec.weights
    if text in known:
        return text
    return next(
        (name for name, spec in known.items() if text and (name.startswith(text) or spec.dataset.startswith(text))),
        None,
    )


def unknown(item: Item[ArchitectureSpec], text: str) -> UsageError:
    known = list(item.spec.weights)
    near = nearest(text, known, count=1)
    advice = (
        f"did you mean {near[0]}?"
        if near
        else "check the path" + (f", or name one of: {', '.join(known[:10])}" if known else "")
    )
    return UsageError(
        f"'{text}' is no file, no run, nor weights that {item.canonical} names", where="weights", fix=advice
    )


def _inputs(text: str, spec: WeightsSpec, permute_pixels: int | None) -> Inputs:
    return Inputs(f"the weights {text}", _target_of(spec), preprocessing_of(spec, permute_pixels))


def _target_of(spec: WeightsSpec) -> Target | None:
    return Classes(names=spec.classes) if spec.classes else None


def _agreed(options: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = [*options] or [{}]
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}


def _fitted(own: Mapping[str, Tensor], file: Path, key: str | None, where: str) -> StateDict:
    from zoo.models.state_dicts import fit_to
    from zoo.models.tensor_files import read_tensors

    return fit_to(own, read_tensors(file), key, where)
