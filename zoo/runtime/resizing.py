"""Bring an image of any size to the model's."""

from __future__ import annotations

from typing import Any

from PIL import Image

from zoo.runtime.decoding import MAX_PIXELS, check_pixels

COVER, SQUASH, CROP = "cover, crop the centre", "squash to the size", "crop the centre, pad with black"
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fit(image: Image.Image, spec: dict[str, Any]) -> Image.Image:
    """An image of any size at the model's: by its ``height``, ``width``, ``resize``, ``scale``, ``interpolation`` and
    ``max_pixels``."""
    height, width, scale, resample = spec["height"], spec["width"], spec.get("scale"), RESAMPLING[spec["interpolation"]]
    max_pixels = spec.get("max_pixels", MAX_PIXELS)
    if spec["resize"] == SQUASH:
        return resize(image, (width, height), resample, max_pixels)
    if spec["resize"] == CROP:
        return crop(image, height, width)
    if scale is None:
        return cover(image, height, width, resample, max_pixels)
    return scale_and_crop(image, height, width, scale, resample, max_pixels)


def fit_whole(image: Image.Image, spec: dict[str, Any]) -> Image.Image:
    """An image scaled as by `fit`, with nothing cut off, and no smaller than ``height`` × ``width``: what `fit` crops
    is its centre."""
    height, width, scale, resample = spec["height"], spec["width"], spec.get("scale"), RESAMPLING[spec["interpolation"]]
    if spec["resize"] == SQUASH:
        return fit(image, spec)
    if spec["resize"] == CROP:
        return crop(image, max(height, image.height), max(width, image.width))
    if scale is None:
        factor = max(width / image.width, height / image.height)
        size = (max(width, round(image.width * factor)), max(height, round(image.height * factor)))
    else:
        other = int(scale * max(image.size) / min(image.size))
        size = (scale, other) if image.width <= image.height else (other, scale)
    return resize(image, size, resample, spec.get("max_pixels", MAX_PIXELS))


def resize(
    image: Image.Image, size: tuple[int, int], resample: Image.Resampling, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The one way to scale an image: along its width, then along its height, rounded to whole values in between.

    Pillow 11 and 12 do so of themselves; 13 may begin with the height, which gives other pixels. Raises
    OutsideLimitError before a step would make more than ``max_pixels``.
    """
    steps = ((size[0], image.height), size)
    for step in steps:
        check_pixels(step, max_pixels, f"{image.width}×{image.height}, which would be scaled to ")
    for step in steps:
        image = image if image.size == step else image.resize(step, resample)
    return image


def cover(
    image: Image.Image,
    height: int,
    width: int,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Scale until ``height`` × ``width`` is covered, aspect kept, and crop at the centre."""
    if image.size == (width, height):
        return image
    scale = max(width / image.width, height / image.height)
    image = resize(
        image, (max(width, round(image.width * scale)), max(height, round(image.height * scale))), resample, max_pixels
    )
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """``height`` × ``width`` at the centre, with black where the image ends before; rounded as torchvision's
    CenterCrop rounds."""
    left, top = (
        round((side - wanted) / 2) if side >= wanted else -((wanted - side) // 2)
        for side, wanted in ((image.width, width), (image.height, height))
    )
    return image.crop((left, top, left + width, top + height))


def scale_and_crop(
    image: Image.Image, height: int, width: int, scale: int, resample: Image.Resampling, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """The shorter side to ``scale``, then ``height`` × ``width`` at the centre; rounded as torchvision's Resize and
    CenterCrop round."""
    short, long = min(image.size), max(image.size)
    other = int(scale * long / short)
    return crop(
        resize(image, (scale, other) if image.width <= image.height else (other, scale), resample, max_pixels),
        height,
        width,
    )
