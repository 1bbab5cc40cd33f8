"""The four MNIST recipes over ten seeds, beside a plain DataLoader loop of the same networks in the same script.

    ZOO_DATA=… python benchmarks/mnist_accuracy.py [--seeds 10] [--out benchmarks/results/mnist_accuracy.json]

The plain loop is written independently of the zoo: torchvision's dataset, nn.Sequential, NLL of a log-softmax, SGD 0.01
with momentum 0.5, batch 64, one epoch, tested in batches of 1000. A recipe holds where its mean is no more than two
standard errors (of the difference of the two means) below the loop's.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from _record import mnist_root, write_result
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import zoo
from zoo.reporting.console import Console

RECIPES = ("fnn_mnist", "cnn_mnist", "fnn_mnist_permuted", "cnn_mnist_permuted")
PERMUTATION = torch.from_numpy(np.random.RandomState(0).permutation(784))


def plain_network(recipe: str) -> nn.Module:
    if recipe.startswith("fnn"):
        return nn.Sequential(
            nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 10), nn.LogSoftmax(1)
        )  # fmt: skip
    convolutions = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 5), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(96, 50), nn.ReLU(), nn.Linear(50, 10), nn.LogSoftmax(1))


def plain_run(recipe: str, seed: int, root: Path) -> tuple[float, float]:
    """Test accuracy, and the seconds of training."""
    torch.manual_seed(seed)
    steps: list[Any] = [torchvision.transforms.ToTensor(), torchvision.transforms.Normalize([0.1307], [0.3081])]
    if recipe.endswith("permuted"):
        steps.append(lambda image: image.view(784)[PERMUTATION].view(1, 28, 28))
    transform = torchvision.transforms.Compose(steps)
    train = DataLoader(
        torchvision.datasets.MNIST(root, train=True, transform=transform), 64, shuffle=True, num_workers=2
    )
    test = DataLoader(torchvision.datasets.MNIST(root, train=False, transform=transform), 1000)
    model = plain_network(recipe)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    started = time.perf_counter()
    model.train()
    for images, labels in train:
        optimizer.zero_grad()
        F.nll_loss(model(images), labels).backward()
        optimizer.step()
    seconds = time.perf_counter() - started
    model.eval()
    with torch.no_grad():
        right = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in test)
    return right / 10_000, seconds


def zoo_run(recipe: str, seed: int) -> tuple[float, float]:
    """Test accuracy, and the seconds of the whole run: training, evaluation, images."""
    with tempfile.TemporaryDirectory() as folder:
        result = zoo.run(
            recipe, overrides={"seed": seed, "device": "cpu"}, out=Path(folder) / "run", console=Console(quiet=True)
        )
        return result.metrics["accuracy"], result.record.seconds or 0.0


def summary(values: list[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "sd": statistics.stdev(values)}


def measure(recipe: str, seeds: int, root: Path) -> dict[str, Any]:
    ours, plain = [], []
    for seed in range(seeds):
        ours.append(zoo_run(recipe, seed))
        plain.append(plain_run(recipe, seed, root))
        print(f"{recipe} seed {seed}: zoo {ours[-1][0]:.2%}, plain loop {plain[-1][0]:.2%}", flush=True)
    figures = {"zoo": summary([each[0] for each in ours]), "plain": summary([each[0] for each in plain])}
    error = math.sqrt((figures["zoo"]["sd"] ** 2 + figures["plain"]["sd"] ** 2) / seeds)
    return {
        **figures,
        "standard_error_of_difference": error,
        "holds": figures["zoo"]["mean"] >= figures["plain"]["mean"] - 2 * error,
        "median_seconds": {
            "zoo": statistics.median(each[1] for each in ours),
            "plain": statistics.median(each[1] for each in plain),
        },
        "accuracies": {"zoo": [each[0] for each in ours], "plain": [each[0] for each in plain]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mnist_accuracy.json")
    asked = parser.parse_args()
    os.environ.setdefault("ZOO_OFFLINE", "1")
    root = mnist_root()
    found = {recipe: measure(recipe, asked.seeds, root) for recipe in RECIPES}
    write_result(asked.out, {"seeds": asked.seeds, "recipes": found})
    for recipe, each in found.items():
        zoo_, plain = each["zoo"], each["plain"]
        verdict = "holds" if each["holds"] else "FALLS SHORT"
        print(
            f"{recipe:20} zoo {zoo_['mean']:.2%} ± {zoo_['sd']:.2%}   plain {plain['mean']:.2%} ± {plain['sd']:.2%}   "
            f"{verdict}"
        )


if __name__ == "__main__":
    main()
