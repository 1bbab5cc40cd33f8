"""Transfer learning on photographs, from torchvision's weights for ImageNet.

`vgg16_transfer` freezes everything but a new last layer, which Adam trains at 1e-3 in batches of 64 for one epoch.
"""

from __future__ import annotations

from typing import Any

from zoo.api import Expected, RecipeSpec

ADAM: dict[str, Any] = {
    "optimizer": "adam",
    "lr": 1e-3,
    "batch_size": 64,
    "eval_batch_size": 100,
    "channels_last": True,
}


PROBES = {"squeezenet1_1": "SqueezeNet 1.1", "resnet18": "ResNet-18", "resnet50": "ResNet-50"}
LAST_BLOCKS = {
    "squeezenet1_1": ("last:7", "its last two blocks"),
    "resnet18": ("last:5", "its last block"),
    "resnet50": ("last:7", "its last block"),
}
"""The layers of the last block or blocks and the last layer."""
FINE_TUNING = {**ADAM, "lr": 1e-4, "batch_size": 32, "epochs": 5, "schedule": "cosine", "evaluate_start": True}
PROBE_PAPER = "G. Alain, Y. Bengio: Understanding intermediate layers using linear classifier probes (2016)"
FINE_TUNING_PAPER = (
    "A. Kumar et al.: Fine-tuning can distort pretrained features and underperform out-of-distribution (2022)"
)
OWN = {"near_duplicates": "together"}
"""What is added to the dataset for a user's own images."""


def _transfer(
    name: str,
    network: str,
    title: str,
    epochs: int,
    source: str | None = None,
    expected: Expected | None = None,
    train: dict[str, Any] | None = None,
) -> RecipeSpec:
    return RecipeSpec(
        name=name,
        summary=(
            f"{title}, pretrained on ImageNet, on photographs of cats and dogs: only the last layer is trained, "
            f"{epochs} epoch{'s' if epochs > 1 else ''}"
        ),
        source=source,
        architecture=f"torchvision/{network}",
        dataset="datasets/catdog",
        task="tasks/transfer",
        parameters={"weights": "imagenet1k_v1", "train": {**ADAM, "epochs": epochs, **(train or {})}},
        expected=expected,
    )


def _probe(network: str, title: str) -> RecipeSpec:
    return RecipeSpec(
        name=f"{network}_probe",
        summary=f"Linear probe and nearest neighbours on features of {title}, pretrained on ImageNet",
        source=PROBE_PAPER,
        architecture=f"torchvision/{network}",
        dataset="datasets/catdog",
        task="tasks/classification",
        parameters={
            "weights": "imagenet1k_v1",
            "adapt": [{"name": "tasks/linear_probe"}],
            "train": {"eval_batch_size": 100, "channels_last": True},
        },
        own_data={"dataset": OWN},
    )


def _fine_tuning(network: str, title: str) -> RecipeSpec:
    """Linear probing, then fine-tuning, which is kept if it is better on the validation split."""
    layers, blocks = LAST_BLOCKS[network]
    return RecipeSpec(
        name=f"{network}_finetune",
        summary=f"Linear probe on features of {title}, pretrained on ImageNet, then fine-tuning of {blocks}",
        source=FINE_TUNING_PAPER,
        architecture=f"torchvision/{network}",
        dataset="datasets/catdog",
        task="tasks/classification",
        parameters={
            "weights": "imagenet1k_v1",
            "adapt": [{"name": "tasks/linear_probe", "fine_tune": layers}],
            "dataset": {"val_fraction": 0.2},
            "train": FINE_TUNING,
        },
        own_data={"dataset": OWN},
        quality=True,
    )


OTHER_TARGETS = (
    ("labels", "several labels", "datasets/digit_sets", "tasks/multi_label"),
    ("numbers", "numbers as targets", "datasets/digits_rotated", "tasks/regression"),
)


def _on_own(network: str, title: str, name: str, what: str, dataset: str, task: str) -> RecipeSpec:
    """A probe for other targets than classes; multi-label thresholds are tuned on a validation split."""
    own: dict[str, Any] = {"dataset": {"val_fraction": 0.2}} if name == "labels" else {}
    return RecipeSpec(
        name=f"{network}_probe_{name}",
        summary=f"Linear probe and nearest neighbours on features of {title}, for images with {what}",
        source=PROBE_PAPER,
        architecture=f"torchvision/{network}",
        dataset=dataset,
        task=task,
        parameters={
            "weights": "imagenet1k_v1",
            "adapt": [{"name": "tasks/linear_probe"}],
            "train": {"eval_batch_size": 100, "channels_last": True},
        },
        own_data=own,
    )


def _fine_tuning_on_own(network: str, title: str, name: str, what: str, dataset: str, task: str) -> RecipeSpec:
    """The probe for other targets than classes, then fine-tuning, which is kept if it is better on the validation
    split. The datasets here have one; a user's own images need one."""
    layers, blocks = LAST_BLOCKS[network]
    return RecipeSpec(
        name=f"{network}_finetune_{name}",
        summary=f"Linear probe on features of {title}, for images with {what}, then fine-tuning of {blocks}",
        source=FINE_TUNING_PAPER,
        architecture=f"torchvision/{network}",
        dataset=dataset,
        task=task,
        parameters={
            "weights": "imagenet1k_v1",
            "adapt": [{"name": "tasks/linear_probe", "fine_tune": layers}],
            "train": FINE_TUNING,
        },
        own_data={"dataset": {"val_fraction": 0.2}},
        quality=True,
    )


RECIPES = [
    _transfer("vgg16_transfer", "vgg16", "VGG-16", 1),
    _transfer(
        "squeezenet_transfer",
        "squeezenet1_1",
        "SqueezeNet 1.1",
        3,
        train={"lr": 3e-3, "schedule": "cosine"},  # chosen by cross-validation on the 1,600 training images
        source=(
            "measured on 2,000 of Kaggle's photographs, 1,600 of them for training; the first run, which also computes "
            "the features of the frozen layers, takes 26 s"
        ),
        expected=Expected(mean=0.9665, sd=0.0058, seeds=5, seconds=5, device="two CPU cores"),
    ),
    RecipeSpec(
        name="squeezenet_retrieval",
        summary="Rank photographs of cats and dogs by features of SqueezeNet 1.1, pretrained on ImageNet; no training",
        architecture="torchvision/squeezenet1_1",
        dataset="datasets/catdog",
        task="tasks/retrieval",
        parameters={
            "weights": "imagenet1k_v1",
            "adapt": [{"name": "tasks/features"}],
            "train": {"eval_batch_size": 100, "channels_last": True},
        },
    ),
    *(_probe(network, title) for network, title in PROBES.items()),
    *(_fine_tuning(network, title) for network, title in PROBES.items()),
    *(_on_own(network, title, *each) for network, title in PROBES.items() for each in OTHER_TARGETS),
    *(_fine_tuning_on_own(network, title, *each) for network, title in PROBES.items() for each in OTHER_TARGETS),
    _transfer("resnet18_transfer", "resnet18", "ResNet-18", 5),
]
