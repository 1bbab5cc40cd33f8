"""timm: all architectures of PyTorch Image Models, with timm's names."""

from __future__ import annotations

from zoo.api import FamilySpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_families() -> list[FamilySpec]:
    return [
        FamilySpec(
            name="timm",
            summary="PyTorch Image Models: convolutional networks, transformers and their hybrids",
            source="R. Wightman: PyTorch Image Models, https://github.com/huggingface/pytorch-image-models",
            target="zoo_timm.family:FAMILY",
            examples=("mobilenetv3_small_050", "resnet10t", "test_vit"),
        )
    ]
