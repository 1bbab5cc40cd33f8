"""The arithmetic of layers that look through a window (convolutions, pools): how many positions there are, and how far
each sees.

The formulas are those of V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016), and of
A. Araujo, W. Norris and J. Sim, "Computing receptive fields of convolutional neural networks" (2019). Nothing here
imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Window:
    """A window along one axis.

    ``ceil`` also counts a last position that hangs over the far edge (torch's ``ceil_mode``).
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil: bool = False

    @property
    def span(self) -> int:
        """From its first tap to its last, both counted."""
        return self.dilation * (self.kernel - 1) + 1

    def positions(self, side: int) -> int:
        """floor((side + 2·padding − span) / stride) + 1; less than 1 where the window does not fit."""
        free = side + 2 * self.padding - self.span
        if not self.ceil:
            return free // self.stride + 1
        count = -(-free // self.stride) + 1
        # A position that begins in the padding behind the image would see none of it.
        return count - 1 if (count - 1) * self.stride >= side + self.padding else count

    def positions_formula(self, side: int) -> str:
        """The formula with its terms filled in; terms that change nothing are left out."""
        padding = f" + 2·{self.padding}" if self.padding else ""
        span = str(self.kernel) if self.dilation == 1 else f"({self.dilation}·({self.kernel} − 1) + 1)"
        if self.stride == 1:
            return f"{side}{padding} − {span} + 1 = {self.positions(side)}"
        free = side + 2 * self.padding - self.span
        left, right = ("⌈", "⌉") if self.ceil else ("⌊", "⌋")
        quotient = f"({side}{padding} − {span})/{self.stride}"
        rounded = quotient if free % self.stride == 0 else f"{left}{quotient}{right}"
        return f"{rounded} + 1 = {self.positions(side)}"


@dataclass(frozen=True)
class Axis:
    """One axis of a layer's output, measured in pixels of the network's input.

    ``side`` positions, ``stride`` pixels apart, each seeing ``field`` pixels, the first of which lies ``padding``
    pixels before the image. ``whole`` says that the output depends on all of the image along this axis, whatever
    its window sees.
    """

    side: int
    field: int = 1
    stride: int = 1
    padding: int = 0
    whole: bool = False

    def through(self, window: Window) -> Axis:
        """After a layer with that window: field + (span − 1)·stride, stride·s, padding + p·stride."""
        return replace(
            self,
            side=window.positions(self.side),
            field=self.field + (window.span - 1) * self.stride,
            stride=self.stride * window.stride,
            padding=self.padding + window.padding * self.stride,
        )

    def field_formula(self, window: Window) -> str:
        """How the field after that window comes about."""
        step = f"·{self.stride}" if self.stride != 1 else ""
        return f"{self.field} + ({window.span} − 1){step} = {self.through(window).field}"

    def gathered(self) -> Axis:
        """After something that takes all positions together (a global pool, a linear layer): one position that sees
        what all of them saw."""
        return replace(self, side=1, field=self.field + (self.side - 1) * self.stride, whole=True)

    def spread(self) -> Axis:
        """After something that lets every position hear of all others (attention, a norm over the image)."""
        return replace(self, whole=True)
