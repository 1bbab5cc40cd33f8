"""A compressed image as a network: from the weight of each component to the image, to be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import ExportJob
from zoo.plugin import build_exporter, registry, storage_errors, temporary_folder, verify_against_pytorch
from zoo_svd.compressed import Compressed


class Decoder(nn.Module):
    """Images (N, C, H, W), float32, 0 to 255, from weights (N, k): Σ_i w_i · left_i · right_i, clipped.

    The first r weights 1 and the others 0 give the image of rank r.
    """

    def __init__(self, image: Compressed) -> None:
        super().__init__()
        self.channels = image.channels
        self.left: Tensor
        self.right: Tensor
        self.register_buffer("left", torch.from_numpy(image.left * image.left_step))
        self.register_buffer("right", torch.from_numpy(image.right * image.right_step[:, None]))

    def forward(self, weights: Tensor) -> Tensor:
        matrix = (self.left * weights[:, None, :]) @ self.right  # (N, H, k) · (k, W·C) → (N, H, W·C)
        count, height, width = matrix.shape
        # → (N, C, H, W)
        images = matrix.reshape(count, height, width // self.channels, self.channels).permute(0, 3, 1, 2)
        return images.clamp(0, 255)


def export(image: Compressed, file: Path, exporter_name: str) -> dict[str, Any]:
    """Write the decoder with an exporter and verify it, at batch sizes 1, 2 and 7, against the module; returns the
    result.

    Files that the exporter writes beside the model, such as weights, are moved to the folder of ``file`` with it.
    Raises ExportError, with nothing left behind, where it differs.
    """
    item = registry().exporter(exporter_name)
    exporter = build_exporter(item)
    model, rank = Decoder(image).eval(), image.rank
    said = f"weights (N, {rank}) of the components → images (N, {image.channels}, H, W), 0 to 255"
    job = ExportJob(model, torch.rand(2, rank), metadata={"zoo-svd": said})
    exporter.require(job, "cpu")
    with temporary_folder(file.parent, file.name) as folder:
        temporary = folder / f"{file.stem}{item.spec.suffix}"  # its own name: other files may refer to it
        exporter.write(job, temporary)
        facts = verify_against_pytorch(model, exporter, temporary, job, _batches(rank))
        with storage_errors(file):
            for beside in sorted(set(folder.iterdir()) - {temporary}):
                beside.replace(file.parent / beside.name)
            temporary.replace(file)
    return facts


def _batches(rank: int) -> list[Tensor]:
    """Weights between 0 and 1, and those that mean a rank."""
    numbers = np.random.default_rng(0)
    random = [torch.from_numpy(numbers.random((batch, rank), dtype=np.float32)) for batch in (1, 2, 7)]
    steps = torch.tril(torch.ones(rank, rank))[torch.linspace(0, rank - 1, min(rank, 7)).long()]
    return [*random, steps]
