"""Fine-tuning of a network of timm on photographs.

Another network is named on the command line: ``--arch timm/NAME --weights TAG``.
"""

from __future__ import annotations

from typing import Any

from zoo.api import RecipeSpec

FINE_TUNING: dict[str, Any] = {
    "epochs": 5,
    "batch_size": 32,
    "eval_batch_size": 100,
    "optimizer": "adamw",
    "lr": 3e-4,
    "weight_decay": 0.05,
    "weight_decay_scope": "weights",
    "schedule": "cosine",
    "warmup_epochs": 0.5,
    "ema_decay": 0.99,
    "channels_last": True,
    "augment": [{"resized_crop": {"scale": [0.35, 1.0]}}, "flip"],  # the crop first: it is cut from the photograph
}

RECIPES = [
    RecipeSpec(
        name="imagefolder_finetune",
        summary=(
            "ResNet-18 of timm, pretrained on ImageNet, fine-tuned on photographs: random crops of the whole "
            "photograph, moving average of the weights"
        ),
        source="R. Wightman, H. Touvron, H. Jégou: ResNet strikes back: an improved training procedure in timm (2021)",
        architecture="timm/resnet18",
        dataset="datasets/catdog",
        task="tasks/classification",
        parameters={
            "weights": "a1_in1k",
            "dataset": {"cache": "source", "val_fraction": 0.1},
            "task": {"label_smoothing": 0.1},
            "train": FINE_TUNING,
        },
    )
]
