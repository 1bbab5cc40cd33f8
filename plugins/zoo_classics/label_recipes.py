"""Recipes with several labels, or with a number, for each image. Their metrics are from
`benchmarks/labels_values.py`, three seeds each."""

from __future__ import annotations

from typing import Any

from zoo.api import Expected, RecipeSpec
from zoo_classics.recipes import CPU

ADAM: dict[str, Any] = {"batch_size": 32, "optimizer": "adam", "lr": 0.003, "schedule": "cosine"}

LABEL_RECIPES = [
    RecipeSpec(
        name="lenet_digit_sets",
        summary="Multi-label: LeNet finds which of scikit-learn's digits are on a canvas; no download",
        architecture="classics/lenet",
        dataset="datasets/digit_sets",
        task="tasks/multi_label",
        parameters={"train": {**ADAM, "epochs": 20}, "dataset": {"resize": 32}},
        expected=Expected(metric="map", mean=0.9550, sd=0.0056, seeds=3, seconds=15, device=CPU),
    ),
    RecipeSpec(
        name="lenet_digits_rotated",
        summary="Regression: LeNet finds by how many degrees a digit of scikit-learn is rotated; no download",
        architecture="classics/lenet",
        dataset="datasets/digits_rotated",
        task="tasks/regression",
        parameters={"train": {**ADAM, "epochs": 30}},
        expected=Expected(metric="r2", mean=0.9889, sd=0.0007, seeds=3, seconds=60, device=CPU),
    ),
    RecipeSpec(
        name="lenet_mnist_sets",
        summary="Multi-label: LeNet finds which of MNIST's digits are on a canvas",
        architecture="classics/lenet",
        dataset="datasets/mnist_sets",
        task="tasks/multi_label",
        parameters={"train": {**ADAM, "batch_size": 64, "epochs": 5}},
        expected=Expected(metric="map", mean=0.9748, sd=0.0064, seeds=3, seconds=30, device=CPU),
    ),
    RecipeSpec(
        name="lenet_mnist_rotated",
        summary="Regression: LeNet finds by how many degrees a digit of MNIST is rotated",
        architecture="classics/lenet",
        dataset="datasets/mnist_rotated",
        task="tasks/regression",
        parameters={"train": {**ADAM, "batch_size": 64, "epochs": 5}},
        expected=Expected(metric="r2", mean=0.7941, sd=0.0088, seeds=3, seconds=8, device=CPU),
    ),
]
