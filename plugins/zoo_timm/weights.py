"""timm's pretrained configurations as `WeightsSpec`s: URL, licence, classes and preprocessing."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Any

from timm.data import ImageNetInfo, infer_imagenet_subset

from zoo.api import WeightsSpec

FIT = {"center": "cover", "squash": "squash"}
"""timm's crop modes.

A third, ``border``, pads images, which no runtime here does: its weights (six, of one model) are left out.
"""
HUB = "https://huggingface.co"


def weights_of(configurations: Mapping[str, Any]) -> dict[str, WeightsSpec]:
    """By tag, those that have a file which can be read without running code (.npz files of other frameworks are left
    out).

    ``configurations`` are by timm's full names, ``architecture.tag``.
    """
    found = {
        full_name.partition(".")[2]: _weights(full_name, known)
        for full_name, known in configurations.items()
        if known.has_weights
    }
    return {tag: weights for tag, weights in found.items() if weights is not None}


def _weights(full_name: str, known: Any) -> WeightsSpec | None:
    origin = _origin(full_name, known)
    if origin is None or known.crop_mode not in FIT:
        return None
    subset = infer_imagenet_subset(known.to_dict())
    return WeightsSpec.model_validate(
        {
            "summary": f"timm's {full_name}" + (f": {known.description}" if known.description else ""),
            **origin,
            "licence": known.license or "not stated",
            "dataset": subset or full_name.partition(".")[2],  # a tag says the data and the method
            "classes": _classes(subset) if subset else (),
            "input": known.input_size,
            "mean": known.mean,
            "std": known.std,
            "resize": math.floor(min(known.input_size[1:]) / known.crop_pct),
            "fit": FIT[known.crop_mode],
            "interpolation": known.interpolation,
        }
    )


def _origin(full_name: str, known: Any) -> dict[str, Any] | None:
    """Return the origin: the Hugging Face Hub's safetensors, whose server provides the sha256, otherwise a release
    file, whose name may end in the first digits of its sha256."""
    if known.hf_hub_id:
        repository = f"{known.hf_hub_id}{full_name}" if known.hf_hub_id.endswith("/") else known.hf_hub_id
        return {"url": f"{HUB}/{repository}/resolve/main/model.safetensors", "format": "safetensors"}
    if not str(known.url).startswith("https://") or not known.url.endswith((".pth", ".pt")):
        return None
    digits = re.search(r"-([0-9a-f]{8,64})\.\w+$", known.url)
    return {"url": known.url, "format": "torch", "sha256": digits[1] if digits else None}


@functools.cache
def _classes(subset: str) -> tuple[str, ...]:
    """Their names in words (WordNet's lemmas), in the order of the logits."""
    return tuple(ImageNetInfo(subset).label_descriptions())
