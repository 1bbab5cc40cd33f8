"""One MNIST epoch: the zoo's trainer against a plain DataLoader loop, and against a bare loop over tensors, of the same
network.

    ZOO_DATA=… python benchmarks/mnist_epoch.py [--rounds 5]

What is measured, and how, stands in `_epoch.py`; the images of the plain loop are torchvision's MNIST.
"""

from __future__ import annotations

from typing import Any

import torchvision
from _epoch import measure
from _record import mnist_root, parser_of, result_file, write_result

NETWORKS = {"fnn": "fnn_mnist", "cnn": "cnn_mnist"}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    asked = parser.parse_args()
    root = mnist_root()

    def images(transform: Any) -> torchvision.datasets.MNIST:
        return torchvision.datasets.MNIST(root, train=True, transform=transform)

    rounds = 1 if asked.tiny else asked.rounds
    found = {name: measure(NETWORKS[name], images, rounds, tiny=asked.tiny) for name in asked.networks}
    write_result(
        result_file(asked, "mnist_epoch"),
        {
            "comparisons": {name: comparison for name, (comparison, _) in found.items()},
            "plain_loop": {name: settings for name, (_, settings) in found.items()},
        },
    )


if __name__ == "__main__":
    main()
