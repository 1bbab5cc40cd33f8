"""Combinations of these networks that are known to work, with the figure each one reaches.

The MNIST four are the reference's: SGD with learning rate 0.01 and momentum 0.5, batch 64, one epoch, tested in batches of 1000.
"""

from __future__ import annotations

from typing import Any

from zoo.api import Expected, RecipeSpec

REFERENCE: dict[str, Any] = {"epochs": 1, "batch_size": 64, "eval_batch_size": 1000, "optimizer": "sgd", "lr": 0.01, "momentum": 0.5}
PERMUTED = {"permute_pixels": 0}


def _mnist(name: str, summary: str, architecture: str, dataset: dict[str, Any], expected: Expected | None, weights: str | None = None) -> RecipeSpec:
    return RecipeSpec(
        name=name,
        summary=summary,
        source="the course report this project began from: fully-connected and convolutional networks on MNIST, plain and permuted",
        architecture=architecture,
        dataset="datasets/mnist",
        task="tasks/classification",
        parameters={"train": REFERENCE, "dataset": dataset},
        expected=expected,
        weights=weights,
    )


RECIPES = [
    RecipeSpec(
        name="cnn_digits",
        summary="The small CNN on scikit-learn's handwritten digits: no download, some ten seconds",
        architecture="classics/cnn",
        dataset="datasets/digits",
        task="tasks/classification",
        parameters={"train": {"epochs": 20, "batch_size": 64, "optimizer": "adam", "lr": 3e-3}, "dataset": {"resize": 28}},
    ),
    _mnist("fnn_mnist", "The fully-connected net on MNIST, one epoch", "classics/fnn", {}, None, weights="mnist"),
    _mnist("cnn_mnist", "The small CNN on MNIST, one epoch", "classics/cnn", {}, None, weights="mnist"),
    _mnist("fnn_mnist_permuted", "The fully-connected net on MNIST with permuted pixels", "classics/fnn", PERMUTED, None),
    _mnist("cnn_mnist_permuted", "The small CNN on MNIST with permuted pixels", "classics/cnn", PERMUTED, None),
]
