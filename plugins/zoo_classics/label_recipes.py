"""Recipes with several labels, or with a number, for each image. `benchmarks/labels_values.py` measures them."""

from __future__ import annotations

from typing import Any

from zoo.api import RecipeSpec

ADAM: dict[str, Any] = {"batch_size": 32, "optimizer": "adam", "lr": 0.003, "schedule": "cosine"}

LABEL_RECIPES = [
    RecipeSpec(
        name="lenet_digit_sets",
        summary="Multi-label: LeNet finds which of scikit-learn's digits are on a canvas; no download",
        architecture="classics/lenet",
        dataset="datasets/digit_sets",
        task="tasks/multi_label",
        parameters={"train": {**ADAM, "epochs": 20}, "dataset": {"resize": 32}},
    ),
    RecipeSpec(
        name="lenet_digits_rotated",
        summary="Regression: LeNet finds by how many degrees a digit of scikit-learn is rotated; no download",
        architecture="classics/lenet",
        dataset="datasets/digits_rotated",
        task="tasks/regression",
        parameters={"train": {**ADAM, "epochs": 30}},
    ),
    RecipeSpec(
        name="lenet_mnist_sets",
        summary="Multi-label: LeNet finds which of MNIST's digits are on a canvas",
        architecture="classics/lenet",
        dataset="datasets/mnist_sets",
        task="tasks/multi_label",
        parameters={"train": {**ADAM, "batch_size": 64, "epochs": 5}},
    ),
    RecipeSpec(
        name="lenet_mnist_rotated",
        summary="Regression: LeNet finds by how many degrees a digit of MNIST is rotated",
        architecture="classics/lenet",
        dataset="datasets/mnist_rotated",
        task="tasks/regression",
        parameters={"train": {**ADAM, "batch_size": 64, "epochs": 5}},
    ),
]
