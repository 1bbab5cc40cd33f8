"""The options of the tasks and adaptations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from zoo.api import Options

Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ClassificationOptions(Options):
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="label smoothing in training (as in torch.nn.CrossEntropyLoss)"
    )
    class_weights: Literal["balanced"] | list[Weight] | None = Field(
        None,
        description=(
            "weights of the classes in the training loss: a list of numbers, or balanced: N / (classes · samples of "
            "the class) in train"
        ),
    )


class TransferOptions(Options):
    train: str = Field(
        "head",
        pattern=r"^(head|all|last:[1-9][0-9]*)$",
        description="trainable layers: head, last:N (the last N layers with parameters), or all",
    )
    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description=(
            "learning rate of each layer, relative to that of the layer after it; the head has train.lr "
            "(discriminative learning rates)"
        ),
    )
    unfreeze_every: int | None = Field(
        None,
        ge=1,
        description=(
            "number of epochs after which one more layer is unfrozen, from the head towards the input (gradual "
            "unfreezing); default: all layers from the start"
        ),
    )


class LinearProbeOptions(Options):
    fine_tune: str | None = Field(
        None,
        pattern=r"^(all|last:[1-9][0-9]*)$",
        description="layers to train after the probe: last:N (the last N layers with parameters, including the linear "
        "layer), or all; default: none",
    )


class LoraOptions(Options):
    rank: int = Field(4, ge=1, description="rank of the update of each layer")
    alpha: float = Field(8.0, gt=0, allow_inf_nan=False, description="the update is scaled by alpha / rank")


class RetrievalOptions(Options):
    dimensions: int = Field(
        64,
        ge=1,
        description="length of the vector of an image, the output of the head (not with the adaptation features)",
    )
    temperature: float = Field(
        0.1, gt=0, allow_inf_nan=False, description="the cosine similarities are divided by it in the loss"
    )
    gallery: bool = Field(
        True,
        description="keep the vectors and names of the train split with the run, for predictions of its closest images",
    )
