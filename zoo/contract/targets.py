"""The targets of samples (`Target`) and the outputs of networks (`Output`).

Specs contain only their kinds, so that `zoo list` and `zoo matrix` need neither torch nor data. An opened dataset
provides the rest, such as class names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from zoo.contract.base import Frozen

if TYPE_CHECKING:
    from torch import Tensor

Outputs = Mapping[str, "Tensor"]
"""The outputs of a network by name: the main output as ``"output"``, the others under their names in
`ArchitectureSpec.outputs`, and ``"features"`` if the task needs them."""
MAIN_OUTPUT = "output"
"""The name of the main output in tasks, evaluators and exported files, whatever its name in the network."""
FEATURES = "features"
TargetKind = Literal["classes", "multi_label", "values", "mask", "opaque", "none"]
OutputKind = Literal["vector", "map", "features"]


class Classes(Frozen):
    """One of ``names``: int64 (N,)."""

    kind: Literal["classes"] = "classes"
    names: tuple[str, ...] = Field(min_length=1)


class MultiLabel(Frozen):
    """Any subset of ``names``: uint8 (N, K), 0 or 1."""

    kind: Literal["multi_label"] = "multi_label"
    names: tuple[str, ...] = Field(min_length=1)


class Values(Frozen):
    """Numbers: float32 (N, D). ``units`` has the unit of each, or is empty. For regression."""

    kind: Literal["values"] = "values"
    names: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()


Byte = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Byte, Byte, Byte]
"""Red, green and blue."""


class Mask(Frozen):
    """A class for each pixel: uint8 (N, H, W), or image files. The loss and the metrics skip pixels of the value
    ``ignore``. For segmentation.

    The values in mask files are the indices of the classes. With ``colours``, one for each class, mask files are read
    by their colours instead, whatever their mode; a gray value v is the colour (v, v, v). Pixels of ``ignore_colour``
    become ``ignore``.
    """

    kind: Literal["mask"] = "mask"
    names: tuple[str, ...] = Field(min_length=1)
    ignore: int | None = Field(255, ge=0, le=255)
    colours: tuple[Colour, ...] = ()
    ignore_colour: Colour | None = None

    @model_validator(mode="after")
    def _has_a_colour_for_each_class(self) -> Self:
        if self.colours and len(self.colours) != len(self.names):
            raise ValueError(f"there are {len(self.colours)} colours for {len(self.names)} classes")
        every = [*self.colours, *([] if self.ignore_colour is None else [self.ignore_colour])]
        if len(set(every)) < len(every):
            raise ValueError("two classes have the same colour")
        if self.ignore_colour is not None and (not self.colours or self.ignore is None):
            raise ValueError("ignore_colour needs colours and ignore")
        return self


class Opaque(Frozen):
    """Any other target of a fixed dtype and shape (depth, keypoints): (N, *shape), with None for unknown sides.

    Zoo passes it to the task unchanged, and refuses geometric augmentation and CutMix for it.
    """

    kind: Literal["opaque"] = "opaque"
    dtype: str
    shape: tuple[int | None, ...]


class NoTarget(Frozen):
    """No targets: unlabelled samples."""

    kind: Literal["none"] = "none"


Target = Annotated[Classes | MultiLabel | Values | Mask | Opaque | NoTarget, Field(discriminator="kind")]


def target_names(target: Target) -> tuple[str, ...]:
    """Return the names of the classes, labels or values; empty for targets without names."""
    return () if isinstance(target, Opaque | NoTarget) else target.names


def class_names(target: Target) -> tuple[str, ...]:
    """Return the class names of single-label classification; empty for every other target."""
    return target.names if isinstance(target, Classes) else ()


class Output(Frozen):
    """One output of a network: ``vector`` (N, K), ``map`` (N, K, H, W) or ``features`` (N, D).

    ``auxiliary`` is the loss weight of an auxiliary output. Such an output exists only in training mode, where it is
    optional. A network without an output of the kind ``features`` still provides them if its spec names its ``head``:
    they are the head's input.
    """

    kind: OutputKind = "vector"
    name: str = MAIN_OUTPUT
    auxiliary: float | None = Field(None, gt=0, allow_inf_nan=False)
