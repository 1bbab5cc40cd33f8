"""timm's names, and what timm knows of each: its pretrained configurations (timm.models.PretrainedCfg), read as they are.

Names are read from timm's sources, where functions bear ``@register_model``; timm itself, and torch with it, is imported when one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from zoo.api import ArchitectureSpec
from zoo.sourcecode import decorated_functions

SMALLEST = 32
"""Most networks halve the picture five times. timm says the smallest input of few; what is said counts, and so does `SIZES`."""
SIZES: dict[str, dict[str, int]] = {
    "csatv2": {"smallest": 64, "multiple": 8},
    "deepseek_vit": {"multiple": 14},
    "dla": {"multiple": 32},
    "eva": {"multiple": 16},
    "gemma4_vit": {"multiple": 48},
    "ghostnet": {"smallest": 33},
    "hieradet_sam2": {"multiple": 32},
    "hrnet": {"multiple": 32},
    "inception_resnet_v2": {"smallest": 75},
    "inception_v3": {"smallest": 75},
    "inception_v4": {"smallest": 75},
    "naflexvit": {"multiple": 16},
    "qwen3_vit": {"multiple": 16},
}
"""By the module that defines a network: found by trying each of timm's networks."""


class Timm:
    """A `zoo.api.Family`."""

    @property
    def version(self) -> str:
        return metadata.version("timm")

    def names(self) -> Sequence[str]:
        return decorated_functions("timm", "models", "register_model")

    def spec(self, name: str) -> ArchitectureSpec:
        from timm.models import get_arch_pretrained_cfgs, get_pretrained_cfg, is_model, model_entrypoint

        from zoo_timm.weights import weights_of

        if not is_model(name) or "." in name:  # with a dot a name is one of weights
            raise KeyError(name)
        builder, known = model_entrypoint(name), get_pretrained_cfg(name)
        channels, height, width = known.input_size
        smallest = min(known.min_input_size[1:]) if known.min_input_size else SMALLEST
        return ArchitectureSpec(
            name=name,
            summary=_first_sentence(builder) or f"{name}, as timm builds it",
            source=known.paper_name or known.origin_url,
            paper=_paper(known.paper_ids),
            target="zoo_timm.building:build",
            options="zoo_timm.building:TimmOptions",
            arguments={"name": name},
            input=(channels, height, width),
            sizing="fixed" if known.fixed_input_size else "min",
            **{"smallest": smallest, **SIZES.get(builder.__module__.rpartition(".")[2], {})},
            head=known.classifier if isinstance(known.classifier, str) else None,  # distilled networks have two
            weights=weights_of(get_arch_pretrained_cfgs(name)),
            **({"classes": known.num_classes} if known.num_classes else {}),  # 0: published without a classifier
        )


def _first_sentence(builder: Any) -> str:
    """Of a function's docstring, in one line and no longer than a summary may be."""
    text = " ".join((builder.__doc__ or "").split())
    sentence = text.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= 200 else f"{sentence[:199]}…"


def _paper(identifiers: Any) -> str | None:
    first = identifiers[0] if isinstance(identifiers, (tuple, list)) and identifiers else identifiers
    return f"https://arxiv.org/abs/{first.removeprefix('arXiv:')}" if isinstance(first, str) and first.startswith("arXiv:") else None


FAMILY = Timm()
