"""Random changes of training images by plugins: what changes values (`Augmentation.pixels`) apart from what moves
pixels (`Augmentation.geometry`), so that masks follow their images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from torch import Tensor

O = TypeVar("O", bound=BaseModel)  # noqa: E741


class Augmentation(Generic[O]):
    """One random change of a batch of training images, on the device.

    ``images`` are uint8 or float32 (N, C, H, W) with values 0–255. ``draws`` are float32 (N, `draws`), uniform in
    [0, 1), a row for each sample, from its seed, epoch and index alone: an augmentation has no other randomness. An
    image is first changed by `pixels`, then moved by `geometry`; a mask is only moved. Subclasses override what they
    need; the rest does nothing. No method may change its arguments.
    """

    draws: int = 0
    """Random numbers that each sample consumes."""

    def __init__(self, options: O) -> None:
        self.options = options

    def fit(self, images: Tensor, mean: Sequence[float]) -> None:
        """Learn what the augmentation needs to know of the training split. Called once, before training.

        ``images``: uint8 (n, C, H, W), 5,000 to 10,000 of the training images, or all where there are fewer.
        ``mean``: their mean colour as the run normalises it, 0–1 for each channel.
        """

    def pixels(self, images: Tensor, draws: Tensor) -> Tensor:
        """Change values and leave every pixel in its place: (N, C, H, W), 0–255."""
        return images

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor | None:
        """Where each pixel of the result comes from: float32 (N, 2, 3), or None where nothing moves.

        A matrix takes a point (x, y) of the output to the point of the input, both in pixels from the centre of the
        image, x to the right and y down. ``sizes``: float32 (N, 2), height and width of each image.

        Images are sampled bilinearly and black outside; masks take the nearest pixel, and outside the target's
        ``ignore`` value. Whether an augmentation has a geometry depends on its options alone, not on the draws.
        """
        return None

    def resample(self, images: Tensor, draws: Tensor) -> Tensor | None:
        """The images moved as `geometry` says, by a faster or more exact way than bilinear sampling; None where there
        is no such way, and zoo does it.

        What comes in from outside may be filled otherwise than with black (reflected, for example): in a mask it is
        ignored all the same. Override it only together with `geometry`, which still moves the masks.
        """
        return None
