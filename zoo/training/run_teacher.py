"""A run's network as a teacher: its own preprocessing is brought about from the inputs of the network that it
teaches."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import Teacher
from zoo.config.run_config import TrainConfig
from zoo.data.data_loader import Data
from zoo.data.preprocessing import Preprocessing
from zoo.errors import UsageError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.runs.load_model import load_run, require_network
from zoo.runs.run_directory import find
from zoo.training.distillation import Distillation, on_device, weights_digest


def run_teacher(train: TrainConfig, data: Data, device: torch.device) -> Distillation:
    """The distillation that ``train.teacher`` names.

    Raises UsageError where the run has other targets, or its images cannot be had from the inputs.
    """
    where = find(str(train.teacher))
    require_network(where)
    loaded = load_run(where)
    if loaded.target != data.target:
        raise UsageError(
            f"the teacher answers for {_told(loaded.target)}, and the data has {_told(data.target)}",
            where="train.teacher",
            fix="choose a run of the same targets, in the same order",
        )
    teacher = Teacher(loaded.model, train.distillation, train.temperature)
    change = input_change(data.preprocessing, loaded.preprocessing, device)
    digest = weights_digest(loaded.model)
    on_device(teacher, device)
    architecture = loaded.config.architecture
    outputs = (loaded.output,) if architecture is None else registry().architecture(architecture.name).spec.outputs
    return Distillation(teacher, data.target, OutputReader(outputs), change, digest=digest)


def _told(target: object) -> str:
    names = getattr(target, "names", ())
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else str(getattr(target, "kind", target))


def input_change(own: Preprocessing, theirs: Preprocessing, device: torch.device) -> partial[Tensor]:
    """From inputs of one preprocessing to those of another: normalised otherwise, grey as three channels, another size
    (bilinear, antialiased).

    Raises UsageError where the pixels are permuted otherwise, have another range of values, or are colours that the
    teacher does not know.
    """
    what = None
    if own.permute_pixels != theirs.permute_pixels:
        what = "pixels in another order"
    elif own.value_range != theirs.value_range:
        what = "another range of pixel values"
    elif (own.channels == 1) < (theirs.channels == 1):
        what = "grey images"
    if what is not None:
        raise UsageError(
            f"the teacher was trained on {what}, which these inputs are not",
            where="train.teacher",
            fix="choose a teacher of the same kind of images",
        )
    if own.permute_pixels is not None and own.shape[1:] != theirs.shape[1:]:
        raise UsageError(
            "images whose pixels are permuted cannot be brought to the teacher's size",
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
