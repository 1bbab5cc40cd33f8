"""What ``--set task.…`` may say of ``svd_image``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from zoo.api import Options

Rank = Annotated[int, Field(ge=1)]


class ImageOptions(Options):
    ranks: list[Rank] = Field(
        [60, 120], min_length=1, description="how many singular values an image is rebuilt from, each in turn"
    )
    noise: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="standard deviation of noise that is added, of 255: then it is removed again",
    )
    noise_seed: int = Field(0, ge=0, description="of that noise")

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
            "share of the layers' bytes (or of what `of` says) that is left to them; 0.25 where nothing else is asked"
        ),
    )
    of: Literal["bytes", "macs", "ms"] = Field(
        "bytes",
        description=(
            "what the budget is of; ms: milliseconds of each layer as an exported file, measured on this machine"
        ),
    )
    latency_batch: int = Field(1, ge=1, description="images at a time for which milliseconds count")
    forms: list[Form] = Field(
        list(CONVOLUTIONS),
        min_length=1,
        description="what a convolution may become: k×k then 1×1, k×1 then 1×k, or 1×1, k×k, 1×1",
    )
    energy: Share | None = Field(None, description="in place of a budget: the share of each layer's energy to keep")
    max_drop: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description=(
            "in place of a budget: points of accuracy to lose at most on training images; the smallest budget that does"
        ),
    )
    ranks: dict[str, Rank | Annotated[list[Rank], Field(min_length=2, max_length=2)]] | None = Field(
        None,
        description="in place of a budget: the rank of layers by name, two for tucker; all others stay as they are",
    )
    method: Literal["responses", "plain"] = Field(
        "responses", description="by what layers answer to calibration images, or by their weights alone"
    )
    even: bool = Field(False, description="the same share of every layer, in place of more where it matters more")
    calibration: int = Field(256, ge=2, description="training images to calibrate by")
    calibration_seed: int = Field(0, ge=0, description="which ones")
    finetune: bool = Field(
        False, description="train the compressed network on (train.epochs, train.lr), taught by the original"
    )
    distillation: float = Field(
        0.9, ge=0, le=1, description="share of the original's answers in that loss; the rest is of the labels"
    )
    temperature: float = Field(2.0, gt=0, allow_inf_nan=False, description="of these answers")
    curve: list[Share] = Field(
        [0.5, 0.25, 0.125, 0.0625],
        description="budgets to draw accuracy over, by this method and by plain SVD; none: []",
    )

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if sum(aim is not None for aim in (self.budget, self.energy, self.max_drop, self.ranks)) > 1:
            raise ValueError("budget, energy, max_drop and ranks each say how small: give one of them")
        return self
