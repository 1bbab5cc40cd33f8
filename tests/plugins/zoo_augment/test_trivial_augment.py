"""TrivialAugment's operations against torchvision's TrivialAugmentWide, at the same strength."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import TrivialAugmentWide
from zoo_augment import trivial_augment
from zoo_augment.options import TrivialAugment

from zoo.data.augmentation import apply
from zoo.data.warp import warp_images

NAMES = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate",
    "brightness": "Brightness", "color": "Color", "contrast": "Contrast", "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize", "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip


def operated(name, images, strength, sign):
    if name in trivial_augment.MOVES:
        return warp_images(images, trivial_augment.MOVES[name](strength, sign, *images.shape[2:]))
    return trivial_augment.COLOURS[name](images, strength, sign) if name in trivial_augment.COLOURS else images


@pytest.mark.parametrize("name", trivial_augment.OPERATIONS)
@pytest.mark.parametrize("bin_", [0, 7, 30])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_operations_equal_torchvisions(name, bin_, sign) -> None:
    generator = torch.Generator().manual_seed(1)
    image = (
        (torch.nn.functional.interpolate(torch.rand(1, 3, 6, 6, generator=generator), (40, 48), mode="bilinear") * 255)
        .round()
        .clamp(0, 255)
    )
    theirs = TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR)
    magnitudes, signed = theirs._AUGMENTATION_SPACE[NAMES[name]]
    values = magnitudes(theirs.num_magnitude_bins, 40, 48)
    magnitude = 0.0 if values is None else float(values[bin_]) * (sign if signed else 1.0)
    expected = theirs._apply_image_or_video_transform(
        image.to(torch.uint8), NAMES[name], magnitude, theirs.interpolation, theirs._fill
    ).float()
    found = operated(name, image, torch.tensor([bin_ / 30]), torch.tensor([sign]))
    assert (
        found - expected
    ).abs().max() <= 2.01  # it works on uint8 here, and rounds or cuts gray or blurred images where we do not


def test_every_operation_and_strength_is_drawn_alike() -> None:
    draws = torch.rand(40_000, 3, generator=torch.Generator().manual_seed(0))
    chosen = (draws[:, 0] * len(trivial_augment.OPERATIONS)).long()
    assert torch.bincount(chosen, minlength=14).float().div(40_000).sub(1 / 14).abs().max() < 0.01


def test_an_image_gets_the_same_in_any_company() -> None:
    images, draws = torch.rand(50, 3, 16, 16) * 255, torch.rand(50, 3)
    augmentation = trivial_augment.TrivialAugment(TrivialAugment())

    def changed(rows):
        return apply(augmentation, images[rows], None, draws[rows], None)[0]

    together = changed(slice(None))
    alone = torch.cat([changed(slice(index, index + 1)) for index in range(50)])
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=0)
    assert not torch.equal(together, images)
