"""The options of segmentation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from zoo.api import Options
from zoo_tasks.options import Weight

TERMS = ("cross_entropy", "dice", "focal")


class SegmentationOptions(Options):
    loss: str = Field("cross_entropy", description="cross_entropy, dice or focal, or a sum such as cross_entropy+dice")
    dice_weight: Weight = Field(1.0, description="weight of the Dice loss in the sum")
    focal_gamma: float = Field(
        2.0, ge=0, allow_inf_nan=False, description="exponent γ of the focal loss; 0 is cross-entropy"
    )
    class_weights: Literal["balanced"] | list[Weight] | None = Field(
        None,
        description=(
            "weights of the classes in the cross-entropy and the focal loss: a list of numbers, or balanced: "
            "pixels / (classes · pixels of the class) in train"
        ),
    )
    boundary: float = Field(
        0.02,
        gt=0,
        le=1,
        description="width of the boundary region of boundary IoU, relative to the diagonal of the network's input",
    )

    @field_validator("loss")
    @classmethod
    def _is_a_sum(cls, value: str) -> str:
        terms = value.split("+")
        if not set(terms) <= set(TERMS) or len(set(terms)) < len(terms):
            raise ValueError(f"must be one of {', '.join(TERMS)}, or a sum of them such as cross_entropy+dice")
        return value

    @property
    def terms(self) -> tuple[str, ...]:
        return tuple(self.loss.split("+"))
