"""torchvision's weights as `WeightsSpec`s, from their metadata: URL, classes, preprocessing and metrics."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from torchvision.models import WeightsEnum

from zoo.api import WeightsSpec

LICENCE = "not stated (torchvision itself: BSD-3-Clause)"
METRICS = {"acc@1": "accuracy", "acc@5": "top5_accuracy", "miou": "mean_iou", "pixel_acc": "pixel_accuracy"}
IMAGENET = "ImageNet-1K"
VOC_CLASSES = "COCO-val2017-VOC-labels"
"""What torchvision measures its networks for segmentation on."""


def weights_of(known: Iterable[WeightsEnum], architecture_options: Mapping[str, Any]) -> dict[str, WeightsSpec]:
    """By torchvision's own names, in lower case (``imagenet1k_v1``)."""
    return {weights.name.lower(): _weights(weights, architecture_options) for weights in known}


def _weights(weights: WeightsEnum, architecture_options: Mapping[str, Any]) -> WeightsSpec:
    meta, transform = weights.meta, _transform(weights)
    digits = re.search(r"-([0-9a-f]{8,64})\.pth$", weights.url)
    reached = meta["_metrics"].get(IMAGENET) or meta["_metrics"].get(VOC_CLASSES) or {}
    return WeightsSpec.model_validate(
        {
            "summary": _plain(meta.get("_docs", "")) or f"torchvision's {weights}",
            "url": weights.url,
            "sha256": digits[1] if digits else None,
            "size": round(meta["_file_size"] * 2**20) if "_file_size" in meta else None,  # stated in MiB
            "format": "torch",
            "licence": meta.get("license", LICENCE),
            "dataset": IMAGENET.lower() if IMAGENET in meta["_metrics"] else weights.name.lower(),
            "classes": tuple(meta.get("categories") or ()),
            "input": input_of(weights),
            "mean": tuple(transform.mean),
            "std": tuple(transform.std),
            "resize": transform.resize_size[0],
            "interpolation": transform.interpolation.value,
            "architecture_options": dict(architecture_options),
            "metrics": {
                METRICS[name]: round(value / 100, 6)
                for name, value in reached.items()
                if name in METRICS and math.isfinite(value)
            },
        }
    )


def _plain(text: str) -> str:
    """Without line breaks and links."""
    return re.sub(r"`(.+?) <\S+?>`_*", r"\1", " ".join(text.split()))


def input_of(weights: WeightsEnum) -> tuple[int, int, int]:
    """Networks for segmentation crop nothing; theirs is a square of the shorter side that they resize to."""
    transform = _transform(weights)
    side = getattr(transform, "crop_size", transform.resize_size)[0]
    return (3, side, side)


def smallest_of(weights: WeightsEnum) -> int:
    """The side of the smallest image that torchvision says the network takes."""
    return min(int(side) for side in weights.meta.get("min_size", (1, 1)))


def _transform(weights: WeightsEnum) -> Any:
    """Its `ImageClassification` or `SemanticSegmentation`: resize, interpolation, mean and std, and the crop."""
    return weights.transforms()
