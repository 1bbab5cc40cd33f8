"""Which of a tensor's dimensions are the image's height and width, and what each position along them sees of the
image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zoo.analysis.window_arithmetic import Axis

Atom = tuple[str, int]
"""A factor of a dimension, and its size: ``"h"``, ``"w"``, ``"hw"`` (both, mingled), or ``""`` for what is no axis of
the image."""
Dims = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True)
class Geometry:
    """``dims`` are the tensor's dimensions as products of atoms, None where that is not known any more."""

    dims: Dims | None
    axes: dict[str, Axis]

    @property
    def whole(self) -> bool:
        """Whether all of the image reaches this output."""
        return all(axis.whole for axis in self.axes.values())

    def changed(self, names: str, change: Callable[[Axis], Axis]) -> dict[str, Axis]:
        return {name: change(axis) if name in names else axis for name, axis in self.axes.items()}


def of_image(image: Tensor) -> Geometry:
    """Of an input (1, C, H, W)."""
    batch, channels, height, width = image.shape
    return Geometry(
        (((("", batch)),), (("", channels),), (("h", height),), (("w", width),)), {"h": Axis(height), "w": Axis(width)}
    )


class Unfollowed(Exception):
    """An operation moves the image's axes in a way that is not followed."""


@dataclass(frozen=True)
class Call:
    """An operation's arguments and outputs; ``of`` knows the geometry of an argument that comes from the image."""

    of: Callable[[object], Geometry | None]
    arguments: Sequence[Any]
    outputs: list[Tensor]

    def argument(self, index: int, default: Any = None) -> Any:
        return self.arguments[index] if index < len(self.arguments) else default

    def geometry(self, index: int = 0) -> Geometry:
        found = self.of(self.argument(index))
        if found is None or found.dims is None:
            raise Unfollowed
        return found

    def dims(self, index: int) -> Dims:
        """Of an argument; one that does not come from the image has none of its axes."""
        found = self.of(self.argument(index))
        return plain(self.argument(index).shape) if found is None or found.dims is None else found.dims

    def inputs(self) -> list[tuple[Tensor, Geometry]]:
        return [(each, found) for each in flat(self.arguments) if (found := self.of(each)) is not None]


Rule = Callable[[Call], Any]
"""From a call to the `Geometry` of its outputs; one for each or one for all, with the windows it applied where there
are any."""


def flat(values: Iterable[Any]) -> list[Any]:
    return [inner for value in values for inner in (value if isinstance(value, list | tuple) else (value,))]


def plain(shape: Iterable[int]) -> Dims:
    return tuple((("", size),) for size in shape)


def names_of(atoms: Iterable[Atom]) -> str:
    """The axes that some atoms hold."""
    return "".join(name for name, _ in atoms)


def dims_of(geometry: Geometry) -> Dims:
    if geometry.dims is None:
        raise Unfollowed
    return geometry.dims
