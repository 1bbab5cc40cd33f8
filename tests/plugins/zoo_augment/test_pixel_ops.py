"""Operations on pictures against torchvision's, one picture at a time."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as tv
from zoo_augment import pixel_ops


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(6, 3, 5, 5, generator=generator), (12, 16), mode="bilinear", align_corners=False
    )
    return (smooth * 255).round()


def each(pictures, function, strengths):
    """torchvision's result for floats 0–1, a picture and a strength at a time."""
    return torch.stack(
        [function(image / 255, strength) * 255 for image, strength in zip(pictures, strengths, strict=True)]
    )


FACTORS = [0.0, 0.3, 0.9, 1.0, 1.5, 1.99]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (pixel_ops.brightness, tv.adjust_brightness),
        (pixel_ops.contrast, tv.adjust_contrast),
        (lambda x, f: pixel_ops.blend(x, pixel_ops.grey(x), f), tv.adjust_saturation),
        (pixel_ops.sharpness, tv.adjust_sharpness),
    ],
    ids=["brightness", "contrast", "saturation", "sharpness"],
)
def test_factors(pictures, ours, theirs) -> None:
    found = ours(pictures, torch.tensor(FACTORS).view(-1, 1, 1, 1))
    # its grey weights have four digits
    torch.testing.assert_close(found, each(pictures, theirs, FACTORS), atol=0.15, rtol=0)


def test_hue(pictures) -> None:
    turns = [-0.5, -0.2, 0.0, 0.1, 0.33, 0.5]
    found = pixel_ops.shift_hue(pictures, torch.tensor(turns).view(-1, 1, 1))
    torch.testing.assert_close(found, each(pictures, tv.adjust_hue, turns), atol=1e-2, rtol=0)


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_posterize(pictures, bits) -> None:
    found = pixel_ops.posterize(pictures, torch.full((6, 1, 1, 1), float(bits)))
    assert torch.equal(found.to(torch.uint8), tv.posterize(pictures.to(torch.uint8), bits))


@pytest.mark.parametrize("threshold", [0, 100, 255])
def test_solarize(pictures, threshold) -> None:
    found = pixel_ops.solarize(pictures, torch.full((6, 1, 1, 1), float(threshold)))
    assert torch.equal(found.to(torch.uint8), tv.solarize(pictures.to(torch.uint8), threshold))


def test_autocontrast(pictures) -> None:
    pictures[0, 1] = 7.0  # a channel of one value
    found = pixel_ops.autocontrast(pictures)
    torch.testing.assert_close(found, tv.autocontrast(pictures / 255) * 255, atol=1e-2, rtol=0)


def test_equalize(pictures) -> None:
    pictures[0, 1] = 7.0
    assert torch.equal(pixel_ops.equalize(pictures).to(torch.uint8), tv.equalize(pictures.to(torch.uint8)))


def test_grey_pictures_have_no_colour_to_lose() -> None:
    image = torch.rand(2, 1, 4, 4) * 255
    assert pixel_ops.grey(image) is image
