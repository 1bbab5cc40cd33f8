"""Follows an image's axes through a network's operations, to tell what each output sees of the image.

Each tensor that comes from the image carries a `Geometry`. Operations that no rule knows end the trail: their outputs
have no geometry, and what is made of them has none either. No guess is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from zoo.analysis.receptive_field import Call, Geometry, Unfollowed, flat, of_image
from zoo.analysis.receptive_field_rules import rule_for
from zoo.analysis.window_arithmetic import Axis, Window


@dataclass(frozen=True)
class Step:
    """A window that an operation applied: what it is called, the axes before and after, and the window along each."""

    operation: str
    windows: dict[str, Window]
    before: dict[str, Axis]
    after: dict[str, Axis]


class Trail:
    """The geometries of a forward's tensors."""

    def __init__(self) -> None:
        self._known: Any = WeakIdKeyDictionary()

    def begin(self, image: Tensor) -> None:
        self._known[image] = of_image(image)

    def of(self, tensor: object) -> Geometry | None:
        return self._known.get(tensor) if isinstance(tensor, Tensor) else None

    def follow(self, operation: Any, arguments: Sequence[Any], out: Any) -> Step | None:
        """Find the geometry of what an operation gave; returns the window it applied to the image's axes, if any."""
        found = [geometry for each in flat(arguments) if (geometry := self.of(each)) is not None]
        outputs = [each for each in flat([out]) if isinstance(each, Tensor)]
        if not found or not outputs:
            return None
        name = operation._schema.name.removeprefix("aten::")
        rule = rule_for(name, pointwise=torch.Tag.pointwise in operation.tags)
        try:
            if rule is None or any(geometry.dims is None for geometry in found):
                raise Unfollowed
            result, windows = _settled(rule(Call(self.of, arguments, outputs)), len(outputs))
        except Unfollowed:
            lost = Geometry(None, found[0].axes) if any(geometry.whole for geometry in found) else Geometry(None, {})
            result, windows = [lost] * len(outputs), {}
        for tensor, geometry in zip(outputs, result, strict=True):
            self._known[tensor] = geometry
        return Step(name, windows, found[0].axes, result[0].axes) if windows else None


def _settled(answer: Any, count: int) -> tuple[list[Geometry], dict[str, Window]]:
    geometry, windows = answer if isinstance(answer, tuple) else (answer, {})
    return geometry if isinstance(geometry, list) else [geometry] * count, windows
