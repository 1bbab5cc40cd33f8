"""Operations on images against torchvision's, one image at a time."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as tv
from zoo_augment import pixel_ops


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(6, 3, 5, 5, generator=generator), (12, 16), mode="bilinear", align_corners=False
    )
    return (smooth * 255).round()


def each(images, function, strengths):
    """torchvision's result for floats 0–1, an image and a strength at a time."""
    return torch.stack(
        [function(image / 255, strength) * 255 for image, strength in zip(images, strengths, strict=True)]
    )


FACTORS = [0.0, 0.3, 0.9, 1.0, 1.5, 1.99]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (pixel_ops.brightness, tv.adjust_brightness),
        (pixel_ops.contrast, tv.adjust_contrast),
        (lambda x, f: pixel_ops.blend(x, pixel_ops.gray(x), f), tv.adjust_saturation),
        (pixel_ops.sharpness, tv.adjust_sharpness),
    ],
    ids=["brightness", "contrast", "saturation", "sharpness"],
)
def test_factors(images, ours, theirs) -> None:
    found = ours(images, torch.tensor(FACTORS).view(-1, 1, 1, 1))
    # its gray weights have four digits
    torch.testing.assert_close(found, each(images, theirs, FACTORS), atol=0.15, rtol=0)


def test_hue(images) -> None:
    turns = [-0.5, -0.2, 0.0, 0.1, 0.33, 0.5]
    found = pixel_ops.shift_hue(images, torch.tensor(turns).view(-1, 1, 1))
    torch.testing.assert_close(found, each(images, tv.adjust_hue, turns), atol=1e-2, rtol=0)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_posterize(images, bits) -> None:
    found = pixel_ops.posterize(images, torch.full((6, 1, 1, 1), float(bits)))
    assert torch.equal(found.to(torch.uint8), tv.posterize(images.to(torch.uint8), bits))


@pytest.mark.parametrize("threshold", [0, 100, 255])
def test_solarize(images, threshold) -> None:
    found = pixel_ops.solarize(images, torch.full((6, 1, 1, 1), float(threshold)))
    assert torch.equal(found.to(torch.uint8), tv.solarize(images.to(torch.uint8), threshold))


def test_autocontrast(images) -> None:
    images[0, 1] = 7.0  # a channel of one value
    found = pixel_ops.autocontrast(images)
    torch.testing.assert_close(found, tv.autocontrast(images / 255) * 255, atol=1e-2, rtol=0)


def test_equalize(images) -> None:
    images[0, 1] = 7.0
    assert torch.equal(pixel_ops.equalize(images).to(torch.uint8), tv.equalize(images.to(torch.uint8)))


def test_grey_images_have_no_colour_to_lose() -> None:
    image = torch.rand(2, 1, 4, 4) * 255
    assert pixel_ops.gray(image) is image
