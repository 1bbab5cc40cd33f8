"""Base class of augmentations.

Changes of values (`Augmentation.pixels`) are separate from changes of position (`Augmentation.geometry`), so that masks
can be transformed with their images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from torch import Tensor

O = TypeVar("O", bound=BaseModel)  # noqa: E741


class Augmentation(Generic[O]):
    """A random transform of a batch of training images, on the device.

    ``images`` are uint8 or float32 (N, C, H, W) with values from 0 to 255. ``draws`` are float32 (N, `draws`), uniform
    in [0, 1). The row of a sample depends only on the run's seed, the epoch and the sample's index, and is the only
    source of randomness an augmentation may use. `pixels` is applied first, then `geometry`; masks are transformed by
    `geometry` alone. Override the methods you need; the others change nothing. No method may modify its arguments.
    """

    draws: int = 0
    """The number of random numbers per sample."""
    draws_on_host: bool = False
    """Whether ``draws`` and ``sizes`` are in host memory, also for images on another device. For an augmentation that
    chooses its operation by the draws: on the device, such a branch would have to wait for it in every batch."""

    def __init__(self, options: O) -> None:
        self.options = options

    def fit(self, images: Tensor, mean: Sequence[float]) -> None:
        """Compute statistics of the training split. Called once, before training.

        ``images``: uint8 (n, C, H, W), 5,000 to 10,000 of the training images, or all of them if there are fewer.
        ``mean``: the mean of each channel that the run uses for normalisation, from 0 to 1.
        """

    def pixels(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return images with changed values and unchanged positions: (N, C, H, W), from 0 to 255."""
        return images

    def geometry(self, draws: Tensor, sizes: Tensor) -> Tensor | None:
        """Return affine matrices, float32 (N, 2, 3), or None if positions do not change.

        A matrix maps a point (x, y) of the output to a point of the input. Both are in pixels from the centre of the
        image, x to the right and y down. ``sizes``: float32 (N, 2), height and width of each image.

        Images are sampled bilinearly and filled with black; masks are sampled with the nearest pixel and filled with
        the target's ``ignore`` value. Whether the result is None may depend on the options, but not on the draws.
        """
        return None

    def resample(self, images: Tensor, draws: Tensor) -> Tensor | None:
        """Return the images transformed as by `geometry`, in a faster or more exact way than bilinear sampling.

        None, the default, leaves the sampling to zoo. Pixels from outside the image may be filled in any way
        (reflection, for example); in a mask they are ignored. Override it only together with `geometry`, which still
        transforms the masks.
        """
        return None

    def boxes(self, draws: Tensor, sizes: Tensor) -> Tensor | None:
        """Return the box of each image that is scaled to the whole image, float32 (N, 4): left, top, width and height
        in pixels; or None, the default, if the augmentation is not such a crop.

        ``sizes`` as in `geometry`. With ``dataset.cache`` source or none, the boxes of the first augmentation are cut
        from the images at their own sizes, in place of `geometry` and `resample`. Override it only together with
        `geometry`. Whether the result is None may depend on the options, but not on the draws.
        """
        return None
