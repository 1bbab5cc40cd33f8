"""Recipes with several labels, or with a number, for each image. `benchmarks/labels_values.py` measures them."""

from __future__ import annotations

from typing import Any

from zoo.api import Expected, RecipeSpec

CORE = "one CPU core"
ADAM: dict[str, Any] = {"batch_size": 32, "optimizer": "adam", "lr": 0.003, "schedule": "cosine"}

LABEL_RECIPES = [
    RecipeSpec(
        name="lenet_digit_sets",
        summary="Multi-label: LeNet finds which of scikit-learn's digits are on a canvas; no download",
        architecture="classics/lenet",
        dataset="datasets/digit_sets",
        task="tasks/multi_label",
        parameters={"train": {**ADAM, "epochs": 20}, "dataset": {"resize": 32}},
        expected=Expected(metric="map", mean=0.9564, sd=0.0069, seeds=5, seconds=91, device=CORE),
    ),
    RecipeSpec(
        name="lenet_digits_rotated",
        summary="Regression: LeNet predicts the rotation, in degrees, of scikit-learn's digits; no download",
        architecture="classics/lenet",
        dataset="datasets/digits_rotated",
        task="tasks/regression",
        parameters={
            # Erasing, the absolute error and 120 epochs were chosen on the validation split: 1.3° in place of 2.0°.
            "train": {**ADAM, "epochs": 120, "augment": [{"erase": {"p": 0.9, "scale": [0.02, 0.2]}}]},
            "task": {"loss": "l1"},
        },
        expected=Expected(metric="mae", mean=1.3792, sd=0.0624, seeds=3, seconds=476, device=CORE),
    ),
    RecipeSpec(
        name="lenet_mnist_sets",
        summary="Multi-label: LeNet finds which of MNIST's digits are on a canvas",
        architecture="classics/lenet",
        dataset="datasets/mnist_sets",
        task="tasks/multi_label",
        parameters={"train": {**ADAM, "batch_size": 64, "epochs": 5}},
        expected=Expected(metric="map", mean=0.9747, sd=0.0060, seeds=3, seconds=276, device=CORE),
    ),
    RecipeSpec(
        name="lenet_mnist_rotated",
        summary="Regression: LeNet predicts the rotation, in degrees, of MNIST's digits",
        architecture="classics/lenet",
        dataset="datasets/mnist_rotated",
        task="tasks/regression",
        parameters={"train": {**ADAM, "batch_size": 64, "epochs": 5}},
        expected=Expected(metric="mae", mean=8.8794, sd=0.1052, seeds=5, seconds=88, device=CORE),
    ),
]
