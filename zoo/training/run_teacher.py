"""A run's network as a teacher: convert the student's inputs and compare targets and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import Affine, Decision, Target, Teacher, target_names
from zoo.config.run_config import TrainConfig
from zoo.data.data_loader import Data
from zoo.data.preprocessing import Preprocessing
from zoo.errors import UsageError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.runs.load_model import load_run, require_network
from zoo.runs.run_directory import find
from zoo.training.distillation import Distillation, on_device, weights_digest


def run_teacher(train: TrainConfig, data: Data, decision: Decision, device: torch.device) -> Distillation:
    """Return the distillation with the run of ``train.teacher``, for a network with ``decision``.

    Raises UsageError if the run has other targets, or if its inputs cannot be computed from the network's.
    """
    where = find(str(train.teacher))
    require_network(where)
    loaded = load_run(where)
    if loaded.target != data.target:
        raise UsageError(
            _difference(loaded.target, data.target),
            where="train.teacher",
            fix="choose a run of the same targets, in the same order",
        )
    teacher = Teacher(loaded.model, train.distillation, train.temperature)
    change = input_change(data.preprocessing, loaded.preprocessing, device)
    digest = weights_digest(loaded.model)
    on_device(teacher, device)
    architecture = loaded.config.architecture
    outputs = (loaded.output,) if architecture is None else registry().architecture(architecture.name).spec.outputs
    convert = output_change(loaded.decision, decision, device)
    return Distillation(teacher, data.target, OutputReader(outputs), change, convert, digest=digest)


def output_change(theirs: Decision, own: Decision, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return the function that converts a teacher's outputs into equivalent outputs of the network.

    Numbers standardised by another train split are scaled and shifted. Raises UsageError for other kinds of decisions.
    """
    if not isinstance(theirs, Affine) or not isinstance(own, Affine):
        same = theirs.kind == own.kind
        convertible = same
    else:
        convertible = theirs.link == own.link == "identity"
        same = (theirs.scale, theirs.offset, theirs.link) == (own.scale, own.offset, own.link)
    if not (same or convertible):
        raise UsageError(
            f"the teacher has the decision {theirs.kind}, but the network has {own.kind}",
            where="train.teacher",
            fix="choose a run of the same task",
        )
    if same or not isinstance(theirs, Affine) or not isinstance(own, Affine):
        return lambda outputs: outputs
    scales, offsets = (
        [torch.tensor(values, dtype=torch.float32, device=device) for values in pair]
        for pair in ((theirs.scale, own.scale), (theirs.offset, own.offset))
    )
    return lambda outputs: (outputs * scales[0] + offsets[0] - offsets[1]) / scales[1]


def _difference(theirs: Target, own: Target) -> str:
    """Return how a teacher's target differs from the data's."""
    names, mine = target_names(theirs), target_names(own)
    if theirs.kind != own.kind:
        return f"the teacher's targets are {theirs.kind}, but the data's are {own.kind}"
    if sorted(names) != sorted(mine):
        return f"the teacher predicts {_listed(names, mine)}, but the data has {_listed(mine, names)}"
    if names != mine:
        first = next(place for place, (one, other) in enumerate(zip(names, mine, strict=True)) if one != other)
        return (
            f"the teacher has the same names in another order: number {first + 1} is '{names[first]}' there, but "
            f"'{mine[first]}' in the data"
        )
    return f"the teacher's targets are {theirs}, but the data's are {own}"


def _listed(names: Sequence[str], others: Sequence[str]) -> str:
    """Return the first five names; those that are not among the others come first."""
    first = sorted(names, key=lambda name: name in others)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(first[:5]) + more


def input_change(own: Preprocessing, theirs: Preprocessing, device: torch.device) -> partial[Tensor]:
    """Return the function that converts inputs of one preprocessing into those of another: normalisation, grayscale to
    RGB, size (bilinear, antialiased).

    Raises UsageError if the pixel permutation or the value range differs, or if the teacher takes only grayscale images
    and the inputs are RGB.
    """
    what = None
    if own.permute_pixels != theirs.permute_pixels:
        what = "another order of pixels than these inputs have"
    elif own.value_range != theirs.value_range:
        what = "another range of pixel values than these inputs have"
    elif (own.channels == 1) < (theirs.channels == 1):
        what = "grayscale images, but these inputs are RGB"
    if what is not None:
        raise UsageError(
            f"the teacher was trained on {what}",
            where="train.teacher",
            fix="choose a teacher of the same kind of images",
        )
    if own.permute_pixels is not None and own.shape[1:] != theirs.shape[1:]:
        raise UsageError(
            "images with permuted pixels cannot be resized to the teacher's size",
            where="train.teacher",
            fix="choose a teacher of the same size",
        )
    mean, std = _columns(own, theirs.channels, device)
    their_mean, their_std = _columns(theirs, theirs.channels, device)
    scale, shift = std / their_std, (mean - their_mean) / their_std
    return partial(_change, scale=scale, shift=shift, channels=theirs.channels, size=(theirs.height, theirs.width))


def _columns(how: Preprocessing, channels: int, device: torch.device) -> list[Tensor]:
    return [
        torch.tensor(values, dtype=torch.float32, device=device).expand(channels).view(-1, 1, 1)
        for values in (how.mean, how.std)
    ]


def _change(inputs: Tensor, scale: Tensor, shift: Tensor, channels: int, size: tuple[int, int]) -> Tensor:
    if inputs.shape[1] != channels:
        inputs = inputs.expand(-1, channels, -1, -1)
    inputs = inputs * scale + shift
    if tuple(inputs.shape[2:]) != size:
        inputs = F.interpolate(inputs, size, mode="bilinear", antialias=True, align_corners=False)
    return inputs
