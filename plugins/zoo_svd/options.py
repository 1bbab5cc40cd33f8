"""The options of ``svd_image`` and ``svd_compress``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from zoo.api import Options

Rank = Annotated[int, Field(ge=1)]


class ImageOptions(Options):
    ranks: list[Rank] = Field(
        [60, 120], min_length=1, description="numbers of singular values to rebuild each image from"
    )
    noise: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="standard deviation, of 255, of noise to add to the image and remove again",
    )
    noise_seed: int = Field(0, ge=0, description="seed of the noise")

    @field_validator("ranks")
    @classmethod
    def _ascending(cls, value: list[int]) -> list[int]:
        return sorted(set(value))


Form = Literal["channels", "spatial", "tucker"]
CONVOLUTIONS: tuple[Form, ...] = ("channels", "spatial", "tucker")
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class NetworkOptions(Options):
    budget: Share | None = Field(
        None,
        description=(
            "size of the factorised layers relative to the original ones, measured as `of` says; default 0.25"
        ),
    )
    of: Literal["bytes", "macs", "ms"] = Field(
        "bytes",
        description=(
            "unit of the budget; ms: milliseconds of each layer as an exported file, measured on this machine"
        ),
    )
    latency_batch: int = Field(1, ge=1, description="batch size for of=ms")
    forms: list[Form] = Field(
        list(CONVOLUTIONS),
        min_length=1,
        description="factorisations of a convolution: channels (k×k, 1×1), spatial (k×1, 1×k), tucker (1×1, k×k, 1×1)",
    )
    energy: Share | None = Field(None, description="instead of budget: the share of each layer's energy to keep")
    max_drop: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description=(
            "instead of budget: use the smallest budget that loses at most this many points of accuracy on "
            "calibration images"
        ),
    )
    ranks: dict[str, Rank | Annotated[list[Rank], Field(min_length=2, max_length=2)]] | None = Field(
        None,
        description="instead of budget: ranks of layers by name (two for tucker); other layers stay unchanged",
    )
    method: Literal["responses", "plain"] = Field(
        "responses",
        description="responses: approximate the layers' outputs for calibration images; plain: SVD of the weights",
    )
    even: bool = Field(False, description="use the same share for every layer instead of allocating by measured loss")
    calibration: int = Field(256, ge=2, description="number of training images for calibration")
    calibration_seed: int = Field(0, ge=0, description="seed for choosing the calibration images")
    finetune: bool = Field(
        False,
        description="continue to train the compressed network (train.epochs, train.lr), with the original as teacher",
    )
    distillation: float = Field(
        0.9, ge=0, le=1, description="with finetune: weight of the distillation loss; the task loss has the rest"
    )
    temperature: float = Field(
        2.0, gt=0, allow_inf_nan=False, description="with finetune: temperature of the distillation loss"
    )
    curve: list[Share] = Field(
        [0.5, 0.25, 0.125, 0.0625],
        description="budgets for a plot of the accuracy, with this method and with plain SVD; none: []",
    )

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if sum(aim is not None for aim in (self.budget, self.energy, self.max_drop, self.ranks)) > 1:
            raise ValueError("budget, energy, max_drop and ranks exclude each other: give one of them")
        return self
