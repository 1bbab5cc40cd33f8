"""The options of each item, set with `--set architecture.width=32`. `zoo info` lists them."""

from __future__ import annotations

from pydantic import Field

from zoo.api import Options


class SepNetOptions(Options):
    width: int = Field(16, ge=1, description="channels after the first convolution; they double in each block")
    blocks: int = Field(2, ge=1, le=4, description="depthwise-separable blocks")


class ShapesOptions(Options):
    noise: float = Field(0.1, ge=0, le=1, description="standard deviation of the noise, in units of full brightness")


class FocalOptions(Options):
    gamma: float = Field(
        2.0, ge=0, description="focusing parameter γ; larger values down-weight easy samples more; 0 is cross-entropy"
    )
