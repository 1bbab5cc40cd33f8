"""What the answer of a sample is (`Target`), and what a network gives (`Output`).

The kinds stand in specs, so that `zoo list` and `zoo matrix` need neither torch nor data; an opened dataset says the
rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zoo.contract.base import Frozen

if TYPE_CHECKING:
    from torch import Tensor

Outputs = Mapping[str, "Tensor"]
"""The outputs of a network by name: its main output as ``"output"``, the others as `ArchitectureSpec.outputs` names
them, and ``"features"`` where the task needs them."""
MAIN_OUTPUT = "output"
"""The name under which tasks, evaluators and exported files have the main output, whatever the network calls it."""
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
    """Numbers: float32 (N, D). ``units`` has the unit of each, or is empty."""

    kind: Literal["values"] = "values"
    names: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...] = ()


class Mask(Frozen):
    """A class for each pixel: uint8 (N, H, W), or files; pixels of the value ``ignore`` count neither in the loss nor
    in metrics.
    """

    kind: Literal["mask"] = "mask"
    names: tuple[str, ...] = Field(min_length=1)
    ignore: int | None = Field(255, ge=0, le=255)


class Opaque(Frozen):
    """Anything else of a fixed dtype and shape (depth, keypoints): (N, *shape), None where a side is not known.

    It is carried and never interpreted: geometric augmentation and CutMix are refused for it.
    """

    kind: Literal["opaque"] = "opaque"
    dtype: str
    shape: tuple[int | None, ...]


class NoTarget(Frozen):
    """Samples without an answer."""

    kind: Literal["none"] = "none"


Target = Annotated[Classes | MultiLabel | Values | Mask | Opaque | NoTarget, Field(discriminator="kind")]


def target_names(target: Target) -> tuple[str, ...]:
    """The names of the classes, labels or values; empty for targets that have none."""
    return () if isinstance(target, Opaque | NoTarget) else target.names


def class_names(target: Target) -> tuple[str, ...]:
    """Those of single-label classification; empty for every other target."""
    return target.names if isinstance(target, Classes) else ()


class Output(Frozen):
    """One output of a network: ``vector`` (N, K), ``map`` (N, K, H, W) or ``features`` (N, D).

    ``auxiliary`` is the weight of its loss where it is an auxiliary one: such an output exists in training mode alone,
    and may be left out there too. A network without an output of the kind ``features`` gives them all the same where
    its spec names its ``head``: they are the head's input.
    """

    kind: OutputKind = "vector"
    name: str = MAIN_OUTPUT
    auxiliary: float | None = Field(None, gt=0, allow_inf_nan=False)
