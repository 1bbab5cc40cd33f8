"""The gallery of a run: the vectors of its train split, with which the vector of an image is compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from zoo.api import MAIN_OUTPUT, PartView, Target
from zoo.contract.targets import class_names
from zoo.models.named_outputs import OutputReader
from zoo.support.atomic_files import write_bytes
from zoo.support.vector_files import gallery_bytes

__all__ = ["write_gallery"]


def write_gallery(
    file: Path, model: nn.Module, part: PartView, target: Target, batch_size: int, reader: OutputReader
) -> None:
    """Write the L2-normalised main outputs for a split, with the name and, of a classification, the class of each
    sample."""
    model.eval()
    with torch.no_grad(), reader.reading(model, model) as read:
        outputs = [read(batch.inputs)[MAIN_OUTPUT].float().cpu().numpy() for batch in part.batches(batch_size)]
    write_bytes(file, gallery_bytes(np.concatenate(outputs), part.names, _labels(part, target)))


def _labels(part: PartView, target: Target) -> Sequence[str]:
    classes, targets = class_names(target), part.targets
    if not classes or targets is None:
        return [""] * len(part)
    return [classes[int(index)] for index in targets]
