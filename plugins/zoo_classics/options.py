"""What each of these networks can be asked for."""

from __future__ import annotations

from pydantic import Field

from zoo.api import Options


class FNNOptions(Options):
    hidden: int = Field(8, ge=1, description="units in each of the two hidden layers")


class CNNOptions(Options):
    n_features: int = Field(6, ge=1, description="feature maps of each convolution")
