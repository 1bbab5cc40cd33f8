"""The options of multi-label classification and regression."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from zoo.api import Options
from zoo_tasks.options import Weight

Finite = Annotated[float, Field(allow_inf_nan=False)]


class MultiLabelOptions(Options):
    loss: Literal["bce", "asymmetric"] = Field(
        "bce",
        description="bce: binary cross-entropy; asymmetric: the loss of Ridnik et al. (2021), for images with few of "
        "many labels",
    )
    gamma_positive: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="focusing of the asymmetric loss for labels that are present"
    )
    gamma_negative: float = Field(
        4.0, ge=0, allow_inf_nan=False, description="focusing of the asymmetric loss for labels that are absent"
    )
    margin: float = Field(
        0.05, ge=0, lt=1, description="probability below which an absent label adds nothing to the asymmetric loss"
    )
    positive_weights: Literal["balanced"] | list[Weight] | None = Field(
        None,
        description="weights of present labels in the training loss: a list of numbers, or balanced: images without "
        "the label / images with it, in train",
    )
    threshold: Literal["f1"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        "f1",
        description="probability from which a label is predicted: one number, or f1: for each label the one with the "
        "best F1 on the validation split (0.5 without one)",
    )


class RegressionOptions(Options):
    loss: Literal["l2", "l1", "huber", "quantile"] = Field(
        "l2",
        description="l2: squared error; l1: absolute error; huber: squared up to delta; quantile: pinball loss, whose "
        "predictions are the quantile of the option quantile",
    )
    delta: float = Field(
        1.0,
        gt=0,
        allow_inf_nan=False,
        description="error at which the Huber loss changes from squared to absolute, in units of the standardised "
        "targets",
    )
    quantile: float = Field(0.5, gt=0, lt=1, description="quantile that the quantile loss predicts; 0.5: the median")
    link: Literal["identity", "exp", "sigmoid"] = Field(
        "identity",
        description="function of the output before it is scaled to units; exp: predictions are positive; sigmoid: "
        "predictions are between the two numbers of clip",
    )
    clip: tuple[Finite, Finite] | None = Field(
        None, description="smallest and largest prediction, in the unit of the targets"
    )

    @model_validator(mode="after")
    def _clip_is_a_range(self) -> Self:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError("clip must be two rising numbers")
        if self.link == "sigmoid" and self.clip is None:
            raise ValueError("link=sigmoid needs clip, the range of the predictions")
        return self
