"""timm's architectures, described by its pretrained configurations (timm.models.PretrainedCfg).

Names are read from timm's sources (functions with ``@register_model``). timm, and torch with it, is imported when an
architecture is described.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from zoo.api import ArchitectureSpec
from zoo.plugin import decorated_functions

SMALLEST = 32
"""Most networks halve the image five times. timm says the smallest input of few; what is said counts, and so does
`SIZES`."""
SIZES: dict[str, dict[str, Any]] = {
    "*halo*": {"sizing": "fixed"},
    "*resnetaa*": {"multiple": 32},
    "*resnextaa*": {"multiple": 32},
    "bat_resnext26ts": {"sizing": "fixed"},
    "csatv2*": {"smallest": 64, "multiple": 8, "channels": (3,)},
    "deepseek_vit*": {"multiple": 14},
    "dla*": {"multiple": 32},
    "gemma4_vit*": {"multiple": 48},
    "ghostnetv*": {"smallest": 33},
    "hrnet*": {"multiple": 32},
    "inception_*": {"smallest": 75},
    "lambda_resnet*": {"multiple": 32},
    "naflexvit*": {"multiple": 16},
    "qwen3_vit*": {"multiple": 16},
    "resnet50_mlp": {"multiple": 32},
    "sam2_hiera*": {"multiple": 32},
    "tresnet*": {"multiple": 4},
    "vit_*_sapiens2": {"multiple": 16},
}
"""What timm does not say of the images that networks of these names take; found by trying its networks."""


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
            builder_options={"name": name},
            input=(channels, height, width),
            **{"sizing": "fixed" if known.fixed_input_size else "min", "smallest": smallest, **_found(name)},
            head=known.classifier if isinstance(known.classifier, str) else None,  # distilled networks have two
            weights=weights_of(get_arch_pretrained_cfgs(name)),
            **({"num_outputs": known.num_classes} if known.num_classes else {}),  # 0: published without a classifier
        )


def _found(name: str) -> dict[str, Any]:
    return next((sizes for pattern, sizes in SIZES.items() if fnmatch.fnmatchcase(name, pattern)), {})


def _first_sentence(builder: Any) -> str:
    """Of a function's docstring, in one line and no longer than a summary may be."""
    text = " ".join((builder.__doc__ or "").split())
    sentence = text.partition(". ")[0].rstrip(".")
    return sentence if len(sentence) <= 200 else f"{sentence[:199]}…"


def _paper(identifiers: Any) -> str | None:
    first = identifiers[0] if isinstance(identifiers, (tuple, list)) and identifiers else identifiers
    return (
        f"https://arxiv.org/abs/{first.removeprefix('arXiv:')}"
        if isinstance(first, str) and first.startswith("arXiv:")
        else None
    )


FAMILY = Timm()
