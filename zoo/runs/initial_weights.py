"""The initial weights of a network.

`parse_weights` parses the configuration key ``weights``; no other module does. The object it returns has the target of
the weights, the preprocessing of their images, the options of their network, and the tensors.
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
"""The value of ``weights`` that starts from random weights even if the task needs trained ones."""


class Inputs(NamedTuple):
    """The inputs of a network: ``name`` of the data or weights, ``target`` (None if unknown) and preprocessing."""

    name: str
    target: Target | None
    preprocessing: Preprocessing


@dataclass(frozen=True)
class RandomWeights:
    """Random initialisation. ``text`` is `NONE` if the configuration asks for it explicitly."""

    text: str | None = None


@dataclass(frozen=True)
class NamedWeights:
    """Pretrained weights of an architecture: shipped by its plugin, in the data folder, or to be downloaded."""

    item: Item[ArchitectureSpec]
    text: str

    @property
    def spec(self) -> WeightsSpec:
        return self.item.spec.weights[self.text]

    @property
    def target(self) -> Target | None:
        """The target of the weights; None if they have no classifier, or its classes are unknown."""
        return _target_of(self.spec)

    @property
    def learned(self) -> Learned | None:
        """The preprocessing of the weights' training images; None if unknown."""
        return self.spec

    @property
    def builder_options(self) -> Mapping[str, Any]:
        """The options of the weights' network; with other options, the same weights compute something else."""
        return self.spec.architecture_options

    def inputs(self, permute_pixels: int | None) -> Inputs | None:
        """Return the inputs the weights were trained on; ``permute_pixels`` is that of the run, because published
        weights do not record theirs."""
        return _inputs(self.text, self.spec, permute_pixels)

    def file(self, task: str | None = None) -> Path:
        """Return the path of the safetensors file, downloaded if missing, after checking its digest.

        Raises CheckpointError, which mentions ``task`` in its fix.
        """
        from zoo.models.pretrained_weights import weights_file

        return weights_file(self.item, self.text, task)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        """Return the tensors under the network's names; ``own`` is its state dict. Raises CheckpointError."""
        return _fitted(own, self.file(task), None, self.text)


@dataclass(frozen=True)
class FileWeights:
    """A safetensors file. Classes and preprocessing are taken from the architecture's pretrained weights with as many
    classes.

    ``key`` selects one of several networks in the file.
    """

    item: Item[ArchitectureSpec]
    text: str
    key: str | None = None

    @property
    def path(self) -> Path:
        return user_path(self.text)

    @cached_property
    def spec(self) -> WeightsSpec | None:
        """The architecture's first pretrained weights with as many classes as the file, or None."""
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
        """As ``spec``, but raises UsageError instead of returning None."""
        if self.spec is None:
            count = self._head_classes
            why = (
                "the head's number of classes cannot be determined"
                if count is None
                else f"none of the architecture's pretrained weights has {count} classes"
            )
            raise UsageError(
                f"the class names of these weights are unknown: {why}",
                where=self.path,
                fix="predict with a run or a bundle",
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
        """The options on which all pretrained weights of the architecture agree, since a file does not record them."""
        return _agreed(spec.architecture_options for spec in self.item.spec.weights.values())

    def inputs(self, permute_pixels: int | None) -> Inputs | None:
        return None if self.spec is None else _inputs(self.text, self.spec, permute_pixels)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        return _fitted(own, self.path, self.key, self.text)


@dataclass(frozen=True)
class RunWeights:
    """The best checkpoint of an earlier run.

    ``text`` identifies this run even if there is a newer one of the same recipe.
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
        """Return ``error`` (the weights do not fit) with a fix if the run's task had changed the network."""
        started_from, task = self.run.config.weights, self.run.config.task.name
        if started_from in (None, NONE):
            return error
        fix = (
            f"task {task} of that run changed the network; use the initial weights of that run instead: {started_from}"
        )
        return CheckpointError(error.what, where=error.where, fix=fix)


PretrainedWeights = NamedWeights | FileWeights | RunWeights
Weights = RandomWeights | PretrainedWeights


def parse_weights(text: str | None, item: Item[ArchitectureSpec] | None, key: str | None = None) -> Weights:
    """Return the weights for ``text``: None or `NONE`, a file, pretrained weights of the architecture ``item`` (by name
    or its beginning), or a run.

    Raises UsageError for anything else, for a run of another architecture, and for a ``key`` without a file.
    """
    is_file = text not in (None, NONE) and user_path(str(text)).is_file()
    if key is not None and not is_file:
        raise UsageError(
            f"weights_key: '{key}' needs a weights file, but weights is not a file", fix="remove weights_key"
        )
    if text is None or text == NONE:
        return RandomWeights(text)
    if item is None:
        raise UsageError(
            f"weights: there is no architecture to load '{text}' into", fix="remove weights, or add --arch NAME"
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
            f"weights: the run {run_id(run.path)} has {label}, not {item.canonical}", fix="leave --arch out"
        )
    return RunWeights(run)


def run_of(text: object) -> RunDir | None:
    """Return the run that ``text`` names, or None. For configurations without an architecture, whose pretrained weights
    would take precedence."""
    if not isinstance(text, str) or text == NONE or user_path(text).is_file():
        return None
    return find(text) if is_run(text) else None


def named(item: Item[ArchitectureSpec], text: str) -> str | None:
    """Return the name of an architecture's weights for ``text``: an exact name, or the first whose name or dataset
    begins with it; None if there is none."""
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
        else "check the path" + (f", or choose one of: {', '.join(known[:10])}" if known else "")
    )
    return UsageError(f"'{text}' is not a file, a run, or weights of {item.canonical}", where="weights", fix=advice)


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
