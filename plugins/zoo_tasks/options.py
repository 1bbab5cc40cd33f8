"""What ``--set task.…`` may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoo.api import Options

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ClassificationOptions(Options):
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of every label that is spread over all classes, in training alone"
    )
    class_weights: Literal["balanced"] | list[Weight] | None = Field(
        None,
        description=(
            "weight of each class in the training loss: a number each, or balanced: N / (classes · samples of the "
            "class) in train"
        ),
    )


class TransferOptions(Options):
    train: str = Field(
        "head",
        pattern=r"^(head|all|last:[1-9][0-9]*)$",
        description="what learns: head, last:N (the last N layers with parameters), or all",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "learning rate of each layer, as a share of that of the layer after it: the head has train.lr "
            "(discriminative rates)"
        ),
    )
    unfreeze_every: int | None = Field(
        None,
        ge=1,
        description=(
            "epochs after which one layer more learns, from the head backwards (gradual unfreezing); by default all at "
            "once"
        ),
    )


class LoraOptions(Options):
    rank: int = Field(4, ge=1, description="of the correction of each layer")
    alpha: float = Field(8.0, gt=0, allow_inf_nan=False, description="the correction is multiplied by alpha / rank")
