"""timm: all architectures of PyTorch Image Models, with timm's names, a U-Net on any of its encoders, and a recipe for
fine-tuning."""

from __future__ import annotations

from zoo.api import ArchitectureSpec, FamilySpec, Output, RecipeSpec, hookimpl
from zoo_timm.recipes import RECIPES

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


@hookimpl
def zoo_register_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="unet_timm",
            summary="U-Net with an encoder from timm (architecture.encoder=NAME) and a small decoder, for segmentation",
            source="O. Ronneberger et al.: U-Net (2015), and the encoder's own source",
            target="zoo_timm.unet:build",
            options="zoo_timm.unet:UNetOptions",
            input=(3, 224, 224),
            smallest=32,
            outputs=(Output(kind="map"),),
            num_outputs=21,
            head="head",
        )
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return RECIPES
