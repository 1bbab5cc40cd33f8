"""One CIFAR-10 epoch of LeNet at batch 64: the zoo's trainer against a plain DataLoader loop, and against a bare loop
over tensors.

    ZOO_DATA=… python benchmarks/cifar10_epoch.py [--rounds 5]

What is measured, and how, stands in `_epoch.py`. The plain loop's images do what torchvision's CIFAR10 does for each
sample (an array becomes a PIL image, then a tensor); the class itself reads only the pickled form of the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from _epoch import measure
from _record import parser_of, result_file, write_result
from PIL import Image

from zoo.data.open_dataset import open_dataset
from zoo.registry.lookup import registry


class Cifar10Images(torch.utils.data.Dataset[Any]):
    def __init__(self, transform: Any) -> None:
        train = open_dataset(registry().dataset("cifar10"), {}).load("train")
        self.data, self.targets, self.transform = (
            train.images.transpose(0, 2, 3, 1),
            np.asarray(train.targets).tolist(),
            transform,
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.data[index])), self.targets[index]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    rounds = 1 if asked.tiny else asked.rounds
    comparison, settings = measure("lenet_cifar10", Cifar10Images, rounds, tiny=asked.tiny)
    write_result(
        result_file(asked, "cifar10_epoch"),
        {"comparisons": {"lenet": comparison}, "plain_loop": {"lenet": settings}},
    )


if __name__ == "__main__":
    main()
