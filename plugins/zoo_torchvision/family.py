"""torchvision's architectures, described by the docstrings of its builders and the metadata of its weights.

Names are read from torchvision's sources (functions with ``@register_model()``). torchvision, and torch with it, is
imported when an architecture is described.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from zoo.api import ArchitectureSpec, Output
from zoo.plugin import decorated_functions

SMALLEST = 32
"""Most of these networks halve the image five times: of anything smaller nothing is left.

Where torchvision says a larger one, that counts.
"""
HEADS = {
    "alexnet": "classifier.6",
    "convnext": "classifier.2",
    "densenet": "classifier",
    "efficientnet": "classifier.1",
    "googlenet": "fc",
    "inception": "fc",
    "maxvit": "classifier.5",
    "mnasnet": "classifier.1",
    "mobilenetv2": "classifier.1",
    "mobilenetv3": "classifier.3",
    "regnet": "fc",
    "resnet": "fc",
    "shufflenetv2": "fc",
    "squeezenet": "classifier.1",
    "swin_transformer": "head",
    "vgg": "classifier.6",
    "vision_transformer": "heads.head",
}
"""The layer that gives the logits, by the module of torchvision that defines a network."""
AUXILIARY = {"googlenet": {"aux_logits1": 0.3, "aux_logits2": 0.3}, "inception": {"aux_logits": 0.4}}
"""The auxiliary outputs of training, with the weight of their loss, by the module that defines a network: GoogLeNet's
paper (section 5), and torchvision's own training of Inception v3. Other modules have none."""
CITATION = re.compile(
    r"(?:Constructs an? )?(?P<what>.+?)"
    r"(?:,? (?:as described in|from)(?: the)?|\.(?: \.\. betastatus:: .+?)? Reference:) "
    r"`(?P<title>.+?) <(?P<url>\S+?)>`"
)


class Torchvision:
    """A `zoo.api.Family`."""

    @property
    def version(self) -> str:
        return metadata.version("torchvision")

    def names(self) -> Sequence[str]:
        folders = ("models", "models/segmentation")
        return [name for each in folders for name in decorated_functions("torchvision", each, "register_model")]

    def spec(self, name: str) -> ArchitectureSpec:
        import torchvision.models
        from torchvision.models import get_model_builder, get_model_weights, list_models

        from zoo_torchvision import segmentation
        from zoo_torchvision.weights import input_of, smallest_of, weights_of

        pixelwise = list_models(torchvision.models.segmentation)
        if name not in [*list_models(torchvision.models), *pixelwise]:
            raise KeyError(name)
        builder, known = get_model_builder(name), list(get_model_weights(name))
        if name in pixelwise:
            return segmentation.spec_of(name, builder, {**_citation(name, builder), "weights": weights_of(known, {})})
        module = builder.__module__.rpartition(".")[2]
        auxiliary = AUXILIARY.get(module, {})
        return ArchitectureSpec(
            name=name,
            **_citation(name, builder),
            target="zoo_torchvision.building:build" + ("_with_auxiliary" if auxiliary else ""),
            options="zoo_torchvision.building:AuxiliaryOptions" if auxiliary else None,
            builder_options={"name": name},
            input=input_of(known[0]),
            **_sizes(module, name, max(SMALLEST, smallest_of(known[0]))),
            channels=(3,),
            num_outputs=1000,
            outputs=(Output(), *(Output(name=each, auxiliary=share) for each, share in auxiliary.items())),
            head=HEADS.get(module),
            weights=weights_of(known, {"transform_input": True} if auxiliary else {}),
        )


def _sizes(module: str, name: str, smallest: int) -> dict[str, Any]:
    """The positions of a vision transformer are parameters, for one size; MaxViT's windows and grids divide its one
    size."""
    match module:
        case "vision_transformer":
            patch = int(name.rpartition("_")[2])  # vit_b_16
            return {"sizing": "chosen", "smallest": patch, "multiple": patch}
        case "maxvit":
            return {"sizing": "fixed"}
        case "inception":  # in evaluation 75 are enough; the auxiliary classifier's windows are not padded
            return {"sizing": "min", "smallest": 299}
        case _:
            return {"sizing": "min", "smallest": smallest}


def _citation(name: str, builder: Any) -> dict[str, Any]:
    """What a network is and the paper it is from, as its builder's docstring says; only a name where that says
    neither."""
    said = CITATION.match(" ".join((builder.__doc__ or "").split()))
    if said is None:
        return {"summary": f"{name}, as torchvision builds it"}
    return {"summary": said["what"], "source": said["title"], "paper": said["url"].replace("http://", "https://")}


FAMILY = Torchvision()
