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
        expected=Expected(mean=0.9625, sd=0.0075, seeds=3, seconds=19, device="two CPU cores"),
    ),
    RecipeSpec(
        name="squeezenet_retrieval",
        summary="Features of SqueezeNet 1.1, pretrained on ImageNet, rank photographs of cats and dogs; no training",
        architecture="torchvision/squeezenet1_1",
        dataset="datasets/catdog",
        task="tasks/retrieval",
        parameters={
            "weights": "imagenet1k_v1",
            "adapt": [{"name": "tasks/features"}],
            "train": {"eval_batch_size": 100, "channels_last": True},
        },
    ),
    *(
        RecipeSpec(
            name=f"{network}_probe",
            summary=f"Linear probe and nearest neighbours on features of {title}, pretrained on ImageNet",
            source="G. Alain, Y. Bengio: Understanding intermediate layers using linear classifier probes (2016)",
            architecture=f"torchvision/{network}",
            dataset="datasets/catdog",
            task="tasks/classification",
            parameters={
                "weights": "imagenet1k_v1",
                "adapt": [{"name": "tasks/linear_probe"}],
                "train": {"eval_batch_size": 100, "channels_last": True},
            },
            own_data={"dataset": {"near_duplicates": "together"}},
        )
        for network, title in PROBES.items()
    ),
    _transfer("resnet18_transfer", "resnet18", "ResNet-18", 5),
]
