"""The initial weights of a network.

`parse_weights` parses the configuration key ``weights``; no other module does. The object it returns has the target of
the weights, the preprocessing of their images, the options of their network, and the tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.api import ArchitectureSpec, Target, WeightsSpec
from zoo.data.preprocessing import Learned, LearnedInRun
from zoo.errors import CheckpointError, UsageError, nearest
from zoo.models.weights_address import is_address, parse_address
from zoo.registry.lookup import Item
from zoo.runs.file_weights import FileWeights, Inputs, fitted, inputs_of, target_of
from zoo.runs.run_directory import RunDir, find, is_run, run_id
from zoo.support.paths import runs_root, user_path

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.models.state_dicts import StateDict

NONE = "none"
"""The value of ``weights`` that starts from random weights even if the task needs trained ones."""


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
        return target_of(self.item.spec, self.spec)

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
        return inputs_of(self.text, self.item.spec, self.spec, permute_pixels)

    def file(self, task: str | None = None) -> Path:
        """Return the path of the safetensors file, downloaded if missing, after checking its digest.

        Raises CheckpointError, which mentions ``task`` in its fix.
        """
        from zoo.models.pretrained_weights import weights_file

        return weights_file(self.item, self.text, task)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        """Return the tensors under the network's names; ``own`` is its state dict. Raises CheckpointError."""
        return fitted(own, self.file(task), None, self.text)


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
    """Return the weights for ``text``: None or `NONE`, a file or its address, pretrained weights of the architecture
    ``item`` (by name or its beginning), or a run.

    Raises UsageError for anything else, for a run of another architecture, and for a ``key`` without a file.
    """
    address = parse_address(text) if text is not None and is_address(text) else None
    is_file = address is not None or (text not in (None, NONE) and user_path(str(text)).is_file())
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
        return FileWeights(item, text if address is None else address.text, key, address)
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
    if not isinstance(text, str) or text == NONE or is_address(text) or user_path(text).is_file():
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
