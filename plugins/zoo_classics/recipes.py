"""Recipes for these networks, with their expected metrics.

The metrics are from `benchmarks/results`: ten seeds each on digits and MNIST, three on CIFAR-10, one for vgg_cifar10.
The four MNIST recipes use SGD with learning rate 0.01 and momentum 0.5, batch size 64, and one epoch.
"""

from __future__ import annotations

from typing import Any

from zoo.api import Expected, RecipeSpec

REFERENCE: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 64,
    "eval_batch_size": 1000,
    "optimizer": "sgd",
    "lr": 0.01,
    "momentum": 0.5,
}
CPU = "two CPU cores"
PERMUTED = {"permute_pixels": 0}


def _mnist(
    name: str, summary: str, architecture: str, dataset: dict[str, Any], expected: Expected, weights: str | None = None
) -> RecipeSpec:
    return RecipeSpec(
        name=name,
        summary=summary,
        architecture=architecture,
        dataset="datasets/mnist",
        task="tasks/classification",
        parameters={"train": REFERENCE, "dataset": dataset},
        expected=expected,
        weights=weights,
    )


FAST_MNIST: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 128,
    "eval_batch_size": 1000,
    "optimizer": "sgd",
    "lr": 0.3,
    "momentum": 0.9,
    "optimizer_options": {"nesterov": True},
    "weight_decay": 5e-4,
    "schedule": "poly",
    "schedule_options": {"decay_rate": 1.0},
    "warmup_epochs": 0.3,
    "channels_last": True,
}
"""Chosen on 10,000 of the training images."""

CIFAR: dict[str, Any] = {"epochs": 10, "optimizer": "adam", "lr": 1e-3}
HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
"""The reference brings pixels to -1 … 1, in place of CIFAR-10's own mean and std."""


def _cifar(
    name: str, summary: str, architecture: str, parameters: dict[str, Any], expected: Expected | None = None
) -> RecipeSpec:
    return RecipeSpec(
        name=name,
        summary=summary,
        architecture=architecture,
        dataset="datasets/cifar10",
        task="tasks/classification",
        parameters=parameters,
        expected=expected,
    )


DIGITS: dict[str, Any] = {"epochs": 20, "batch_size": 32, "optimizer": "adam", "lr": 0.01, "schedule": "cosine"}
NATIVE = {"fit": "crop"}
"""Images of other sizes are not scaled, so that `zoo predict --window` finds digits of the size of training."""
SMALL_UNET = {"width": 8, "depth": 3}
PIXELS: dict[str, Any] = {
    "batch_size": 16,
    "eval_batch_size": 100,
    "optimizer": "adam",
    "lr": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 0.5,
}
LOW, HIGH = ["0", "1", "2", "3", "4"], ["5", "6", "7", "8", "9"]

RECIPES = [
    RecipeSpec(
        name="cnn_digits",
        summary="The small CNN on scikit-learn's handwritten digits of 8×8 pixels; no download",
        architecture="classics/cnn",
        dataset="datasets/digits",
        task="tasks/classification",
        parameters={"train": DIGITS, "dataset": {"resize": 28}},
        expected=Expected(mean=0.9753, sd=0.0038, seeds=10, seconds=5, device=CPU),
    ),
    RecipeSpec(
        name="digits_pretrain",
        summary="The small CNN on the digits 0 to 4; digits_transfer starts from its weights",
        architecture="classics/cnn",
        dataset="datasets/digits",
        task="tasks/classification",
        parameters={"train": DIGITS, "dataset": {"resize": 28, "classes": LOW}},
        expected=Expected(mean=0.9923, sd=0.0047, seeds=10, seconds=2, device=CPU),
        weights="digits_0_to_4",
    ),
    RecipeSpec(
        name="digits_transfer",
        summary="The network of digits_pretrain, with only its last layer retrained on the digits 5 to 9; no download",
        architecture="classics/cnn",
        dataset="datasets/digits",
        task="tasks/transfer",
        parameters={"weights": "digits_0_to_4", "train": DIGITS, "dataset": {"resize": 28, "classes": HIGH}},
        expected=Expected(mean=0.9330, sd=0.0079, seeds=10, seconds=1, device=CPU),
    ),
    RecipeSpec(
        name="digits_retrieval",
        summary="The small CNN trained to give handwritten digits of the same class similar vectors; no download",
        architecture="classics/cnn",
        dataset="datasets/digits",
        task="tasks/retrieval",
        parameters={
            "train": {"epochs": 10, "batch_size": 128, "optimizer": "adam", "lr": 0.003, "schedule": "cosine"},
            "dataset": {"resize": 28},
        },
        expected=Expected(
            metric="mean_average_precision", mean=0.9599, sd=0.0048, seeds=10, seconds=26, device="one CPU core"
        ),
    ),
    RecipeSpec(
        name="mnist_retrieval",
        summary="The small CNN trained to give MNIST's digits of the same class similar vectors, one epoch",
        architecture="classics/cnn",
        dataset="datasets/mnist",
        task="tasks/retrieval",
        parameters={
            "train": {
                "epochs": 1,
                "batch_size": 128,
                "eval_batch_size": 1000,
                "optimizer": "adam",
                "lr": 0.003,
                "schedule": "cosine",
            },
        },
        expected=Expected(metric="mean_average_precision", mean=0.9722, sd=0.0028, seeds=10, seconds=17, device=CPU),
    ),
    RecipeSpec(
        name="unet_digits_on_photos",
        summary="A small U-Net that segments scikit-learn's digits 0 to 3 on darkened photographs; no download",
        architecture="classics/unet",
        dataset="datasets/digits_on_photos",
        task="tasks/segmentation",
        parameters={
            "architecture": SMALL_UNET,
            "dataset": NATIVE,
            "task": {"loss": "cross_entropy+dice"},  # most pixels are background, and the images are few
            "train": {**PIXELS, "batch_size": 8, "lr": 0.005, "epochs": 30},
        },
        expected=Expected(metric="mean_iou", mean=0.8470, sd=0.0760, seeds=3, seconds=389, device="one CPU core"),
        own_data={"dataset": {"resize": 128, "fit": "auto", "val_fraction": 0.2}, "train": {"augment": ["flip"]}},
    ),
    RecipeSpec(
        name="unet_mnist_on_photos",
        summary="A small U-Net that segments MNIST's digits 0 to 3 on darkened photographs, one epoch",
        architecture="classics/unet",
        dataset="datasets/mnist_on_photos",
        task="tasks/segmentation",
        parameters={"architecture": SMALL_UNET, "dataset": NATIVE, "train": {**PIXELS, "epochs": 1}},
    ),
    _mnist(
        "fnn_mnist",
        "The fully-connected net on MNIST, one epoch",
        "classics/fnn",
        {},
        Expected(mean=0.8611, sd=0.0202, seeds=10, seconds=4, device=CPU),
        weights="mnist",
    ),
    _mnist(
        "cnn_mnist",
        "The small CNN on MNIST, one epoch",
        "classics/cnn",
        {},
        Expected(mean=0.9459, sd=0.0092, seeds=10, seconds=19, device=CPU),
        weights="mnist",
    ),
    _mnist(
        "fnn_mnist_permuted",
        "The fully-connected net on MNIST, one epoch; the pixels of all images are permuted in the same random order",
        "classics/fnn",
        PERMUTED,
        Expected(mean=0.8664, sd=0.0129, seeds=10, seconds=7, device=CPU),
    ),
    _mnist(
        "cnn_mnist_permuted",
        "The small CNN on MNIST, one epoch; the pixels of all images are permuted in the same random order",
        "classics/cnn",
        PERMUTED,
        Expected(mean=0.8091, sd=0.0174, seeds=10, seconds=14, device=CPU),
    ),
    RecipeSpec(
        name="mnist_fast",
        summary="Three convolutions with batch norm on MNIST in one epoch: Nesterov momentum, warm-up, linear "
        "schedule, label smoothing",
        architecture="classics/cnn_bn",
        dataset="datasets/mnist",
        task="tasks/classification",
        parameters={"train": FAST_MNIST, "task": {"label_smoothing": 0.1}},
        expected=Expected(mean=0.9927, sd=0.0006, seeds=30, seconds=7, device=CPU),
    ),
    _cifar(
        "lenet_cifar10",
        "LeNet on CIFAR-10, ten epochs of Adam",
        "classics/lenet",
        {"train": {**CIFAR, "batch_size": 64, "channels_last": True}, "dataset": HALF},  # an eighth less time on a CPU
        Expected(mean=0.6325, sd=0.0141, seeds=3, seconds=25, device=CPU),
    ),
    _cifar(
        "lenet_cifar10_fast",
        "LeNet on CIFAR-10 in four epochs: batches of 32, Nesterov momentum, warm-up, cosine schedule, flips",
        "classics/lenet",
        {
            "train": {
                "epochs": 4,
                "batch_size": 32,
                "optimizer": "sgd",
                "lr": 0.02,
                "momentum": 0.9,
                "optimizer_options": {"nesterov": True},
                "schedule": "cosine",
                "warmup_epochs": 0.5,
                "augment": ["flip"],
            }
        },
        Expected(mean=0.6392, sd=0.0063, seeds=3, seconds=64, device="one CPU core"),
    ),
    _cifar(
        "vgg_cifar10",
        "VGG-11's convolutions with batch norm on CIFAR-10, ten epochs of Adam with a cosine schedule",
        "classics/vgg_cifar",
        {"train": {**CIFAR, "batch_size": 128, "schedule": "cosine", "augment": ["flip", {"crop": 4}]}},
        Expected(mean=0.868, sd=0, seeds=1, seconds=3750, device=CPU),  # channels last
    ),
    _cifar(
        "vgg_cifar10_fast",
        "VGG-11's convolutions with batch norm on CIFAR-10 in four epochs: bf16, Nesterov momentum, warm-up, "
        "linear schedule, label smoothing",
        "classics/vgg_cifar",
        {
            "train": {
                "epochs": 4,
                "batch_size": 64,
                "optimizer": "sgd",
                "lr": 0.05,
                "momentum": 0.9,
                "optimizer_options": {"nesterov": True},
                "weight_decay": 5e-4,
                "weight_decay_scope": "weights",
                "schedule": "poly",
                "schedule_options": {"decay_rate": 1.0},
                "warmup_epochs": 0.6,
                "precision": "bf16",
                "channels_last": True,
                "augment": ["flip", {"crop": 2}],
            },
            "task": {"label_smoothing": 0.1},
        },
        Expected(mean=0.8502, sd=0.0014, seeds=3, seconds=694, device="one CPU core"),
    ),
]
