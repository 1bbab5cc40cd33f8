"""The options of these architectures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoo.api import Options


class FNNOptions(Options):
    hidden: int = Field(8, ge=1, description="units in each of the two hidden layers")


class CNNOptions(Options):
    n_features: int = Field(6, ge=1, description="feature maps of each convolution")


class CNNBatchNormOptions(Options):
    width: int = Field(16, ge=1, description="feature maps of the first convolution; the others have 2 and 4 times it")


DROPOUT = Field(0.5, ge=0, lt=1, description="dropout probability before the linear layers")
AUXILIARY = Field(True, description="use auxiliary classifiers in training; evaluation and export never have them")


class AlexNetOptions(Options):
    variant: Literal["paper", "torchvision"] = Field(
        "paper", description="the paper's widths, or torchvision's narrower network and its weights"
    )
    groups: Literal[1, 2] = Field(1, description="2 for the connections of the paper's two towers")
    dropout: float = DROPOUT


class ZFNetOptions(Options):
    wide: bool = Field(False, description="512, 1024 and 512 filters in layers 3 to 5")
    dropout: float = DROPOUT


class VGGOptions(Options):
    batch_norm: bool = Field(False, description="batch norm after every convolution")
    dropout: float = DROPOUT


class GoogLeNetOptions(Options):
    variant: Literal["paper", "torchvision"] = Field(
        "paper", description="the paper's network, or torchvision's and its weights"
    )
    module: Literal["reduced", "naive"] = Field(
        "reduced", description="inception modules with 1×1 reductions, or without"
    )
    auxiliary: bool = AUXILIARY


class InceptionV3Options(Options):
    auxiliary: bool = AUXILIARY
    dropout: float = DROPOUT


class ResNetOptions(Options):
    residual: bool = Field(True, description="false for the plain network, without the shortcuts")
    variant: Literal["paper", "torchvision"] = Field(
        "torchvision", description="which convolution of a bottleneck has the stride: 1×1, or 3×3"
    )


class UNetOptions(Options):
    width: int = Field(64, ge=1, description="channels of the first level; each next level has twice as many")
    depth: int = Field(4, ge=1, le=6, description="number of times that the image is halved")
