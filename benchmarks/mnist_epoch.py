"""One MNIST epoch: the zoo's trainer against a plain DataLoader loop, and against a bare loop over tensors, of the same
network.

    ZOO_DATA=… python benchmarks/mnist_epoch.py [--runs 5] [--out benchmarks/results/mnist_epoch.json]

What is measured, and how, stands in `_epoch.py`; the images of the plain loop are torchvision's MNIST.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torchvision
from _epoch import measure
from _record import mnist_root, write_result

NETWORKS = {"fnn": "fnn_mnist", "cnn": "cnn_mnist"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mnist_epoch.json")
    asked = parser.parse_args()
    root = mnist_root()
    results = {
        name: measure(
            NETWORKS[name],
            lambda transform: torchvision.datasets.MNIST(root, train=True, transform=transform),
            asked.runs,
        )
        for name in asked.networks
    }
    write_result(asked.out, {"runs": asked.runs, **results})


if __name__ == "__main__":
    main()
