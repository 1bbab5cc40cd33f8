"""Images and masks by matrices: against torchvision, and to the bit where whole pixels move."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from zoo.data.warp import warp_images, warp_masks


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(
        torch.rand(6, 3, 5, 5, generator=generator), (12, 16), mode="bilinear", align_corners=False
    )
    return (smooth * 255).round()


@pytest.mark.parametrize("degrees", [-135.0, -30.0, 0.0, 45.0, 90.0])
def test_warp_turns_as_torchvision_does(images, degrees) -> None:
    angle = torch.tensor(degrees).deg2rad()
    turn = (
        torch.stack([angle.cos(), -angle.sin(), torch.zeros(()), angle.sin(), angle.cos(), torch.zeros(())])
        .view(1, 2, 3)
        .expand(6, 2, 3)
    )
    expected = tv.rotate(images, degrees, interpolation=InterpolationMode.BILINEAR)
    torch.testing.assert_close(warp_images(images, turn), expected, atol=0.05, rtol=0)


def matrix(*entries):
    return torch.tensor(entries, dtype=torch.float32).view(1, 2, 3)


@pytest.mark.parametrize("size", [(12, 16), (7, 5), (1, 1), (31, 224)])
def test_masks_move_by_whole_pixels_exactly(size) -> None:
    mask = torch.randint(0, 256, (1, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(warp_masks(mask, matrix(1, 0, 0, 0, 1, 0), 9), mask)
    assert torch.equal(warp_masks(mask, matrix(-1, 0, 0, 0, 1, 0), 9), mask.flip(2))
    assert torch.equal(warp_masks(mask, matrix(1, 0, 0, 0, -1, 0), 9), mask.flip(1))
    padded = torch.nn.functional.pad(mask, (3, 0, 0, 2), value=9)[:, 2 : 2 + size[0], : size[1]]
    assert torch.equal(warp_masks(mask, matrix(1, 0, -3, 0, 1, 2), 9), padded)


def test_masks_of_any_type_are_scaled_to_the_nearest_pixel() -> None:
    mask = torch.arange(16, dtype=torch.int64).view(1, 4, 4)
    found = warp_masks(mask, matrix(0.5, 0, 0, 0, 0.5, 0), -1)  # the centre, twice as large
    assert found.dtype == torch.int64
    assert torch.equal(found[0], mask[0, 1:3, 1:3].repeat_interleave(2, 0).repeat_interleave(2, 1))
