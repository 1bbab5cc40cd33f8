"""Each augmentation against a plain computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv
from zoo_augment import between_pixels, colours, options

from zoo.config.augmentation_options import canonical
from zoo.data.augmentation import Augmenter, apply
from zoo.support.counter_random import AUGMENT, uniforms

MEAN = (0.4, 0.5, 0.6)


def noise(count=40, channels=3, side=12):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, channels, side, side), dtype=np.uint8))


def augmented(images, specification):
    augmenter = Augmenter(canonical(specification), 0, images, MEAN[: images.shape[1]])
    return augmenter.of_epoch(0)(images, np.arange(len(images)))


@pytest.mark.parametrize("side", [12, 110])  # the CPU mirrors large images one by one
@pytest.mark.parametrize(("axis", "dim"), [("horizontal", 2), ("vertical", 1)])
def test_flip(axis, dim, side) -> None:
    images = noise(side=side)
    draws = uniforms(0, AUGMENT, 0, np.arange(40), 1)[:, 0]
    for image, found, draw in zip(images, augmented(images, [{"flip": {"p": 0.3, "axis": axis}}]), draws, strict=True):
        assert torch.equal(found, image.flip(dim) if draw < 0.3 else image)


@pytest.mark.parametrize("fill", ["black", "reflect"])
def test_crop_cuts_every_window_of_the_padded_image_equally_often(fill) -> None:
    images = noise(count=2000, channels=1, side=6)
    found = augmented(images, [{"crop": {"padding": 2, "fill": fill}}])
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)), mode="constant" if fill == "black" else "reflect")
    counts = np.zeros((5, 5))
    for image, result in zip(padded, found.numpy(), strict=True):
        places = [
            (row, column)
            for row in range(5)
            for column in range(5)
            if np.array_equal(image[:, row : row + 6, column : column + 6], result)
        ]
        assert len(places) == 1
        counts[places[0]] += 1
    assert counts.min() > 2000 / 25 * 0.6
    assert counts.max() < 2000 / 25 * 1.5


def test_shift_moves_by_whole_pixels() -> None:
    found = augmented(noise(count=500, channels=1, side=10), [{"shift": 0.2}])
    blank = (found == 0).all(dim=1).all(dim=1).sum(1)  # columns that came in
    assert set(blank.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.5, 0.9])
def test_rotate_turns_as_torchvision_does(draw) -> None:
    images = noise(count=1, side=16).float()
    degrees = (2 * draw - 1) * 30
    found = apply(between_pixels.Rotate(options.Rotate(degrees=30.0)), images, None, torch.tensor([[draw]]), None)[0]
    torch.testing.assert_close(
        found, tv.rotate(images, -degrees, interpolation=InterpolationMode.BILINEAR), atol=0.05, rtol=0
    )


@pytest.mark.parametrize("draws", [(0.0, 0.5, 0.5, 0.5), (0.5, 0.2, 0.0, 1.0), (0.9, 0.9, 0.3, 0.6)])
def test_resized_crop_is_bilinear_sampling_of_its_box(draws) -> None:
    """Independent implementation: the box by the paper's formula, then each output pixel's bilinear value in numpy."""
    side, (low, high), (narrow, broad) = 16, (0.25, 0.8), (0.8, 1.25)
    image = noise(count=1, channels=1, side=side).float()
    crop = between_pixels.ResizedCrop(options.ResizedCrop(scale=(low, high), ratio=(narrow, broad)))
    found = crop.resample(image, torch.tensor([draws]))[0, 0].numpy()
    area = (low + draws[0] * (high - low)) * side * side
    ratio = math.exp(math.log(narrow) + draws[1] * (math.log(broad) - math.log(narrow)))
    wide, tall = min(side, math.sqrt(area * ratio)), min(side, math.sqrt(area / ratio))
    left, top = draws[2] * (side - wide), draws[3] * (side - tall)
    padded = np.pad(image[0, 0].numpy(), 2)
    for row in range(side):
        for column in range(side):
            y, x = top + (row + 0.5) * tall / side - 0.5 + 2, left + (column + 0.5) * wide / side - 0.5 + 2
            at, beside = int(y), int(x)
            b, a = y - at, x - beside
            window = padded[at : at + 2, beside : beside + 2]
            expected = np.array([1 - b, b]) @ window @ np.array([1 - a, a])
            assert found[row, column] == pytest.approx(expected, abs=0.02)


def test_the_boxes_of_resized_crop_are_those_of_its_matrices() -> None:
    """In images of different sizes: the corners of the output are mapped to those of the box."""
    crop = between_pixels.ResizedCrop(options.ResizedCrop())
    draws = torch.from_numpy(uniforms(0, AUGMENT, 0, np.arange(200), crop.draws))
    sizes = torch.from_numpy(np.random.default_rng(0).integers(8, 600, (200, 2))).float()
    boxes, maps = crop.boxes(draws, sizes), crop.geometry(draws, sizes)
    height, width = sizes.unbind(1)
    corner = torch.stack([width / 2, height / 2, torch.ones(200)], 1)[
        :, :, None
    ]  # the lower right one, from the centre
    reached = (maps @ corner)[:, :, 0] + torch.stack([width, height], 1) / 2
    torch.testing.assert_close(reached, boxes[:, :2] + boxes[:, 2:], atol=1e-3, rtol=1e-5)
    assert (boxes[:, :2] >= 0).all() and (reached <= torch.stack([width, height], 1) + 1e-3).all()
    shares = boxes[:, 2] * boxes[:, 3] / (height * width)
    assert shares.min() < 0.12 and 0.4 < shares.mean() < 0.58


def test_erase_paints_one_rectangle_in_the_mean_colour() -> None:
    images = noise(count=300, side=20)
    found = augmented(images, [{"erase": {"p": 1.0, "scale": [0.1, 0.3]}}])
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    for image, result in zip(images, found, strict=True):
        erased = (result == mean).all(0)
        rows, columns = erased.any(1).nonzero()[:, 0], erased.any(0).nonzero()[:, 0]
        assert erased.sum() == len(rows) * len(columns)  # a rectangle, whole
        assert 0.05 * 400 <= erased.sum() <= 0.3 * 400
        assert torch.equal(result[:, ~erased], image[:, ~erased].float())
    untouched = augmented(images, [{"erase": {"p": 0.0}}])
    assert torch.equal(untouched, images.float())


def test_color_jitter_is_brightness_contrast_saturation_hue_in_this_order() -> None:
    images = noise(count=1).float()
    draws = torch.tensor([[0.1, 0.8, 0.7, 0.9]])
    jitter = colours.ColorJitter(options.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1))
    found = jitter.pixels(images, draws)
    expected = tv.adjust_brightness(images[0] / 255, 1 + (2 * 0.1 - 1) * 0.4)
    expected = tv.adjust_contrast(expected, 1 + (2 * 0.8 - 1) * 0.4)
    expected = tv.adjust_saturation(expected, 1 + (2 * 0.7 - 1) * 0.4)
    expected = tv.adjust_hue(expected, (2 * 0.9 - 1) * 0.1)
    torch.testing.assert_close(found[0], expected * 255, atol=0.5, rtol=0)


def test_principal_components_are_those_of_the_covariance() -> None:
    images = noise(count=30)
    images[:, 1] = images[:, 0] // 2  # two channels that go together
    components = colours.principal_components(images)
    values = images.numpy().transpose(1, 0, 2, 3).reshape(3, -1) / 255
    u, s, _ = np.linalg.svd(np.cov(values))
    norms = components.norm(dim=0).numpy()
    np.testing.assert_allclose(np.sort(norms), np.sort(s), atol=1e-5)
    largest = components[:, norms.argmax()].numpy() / norms.max()
    assert abs(largest @ u[:, 0]) == pytest.approx(1, abs=1e-4)


def test_principal_components_have_one_sign_whatever_the_library_s_vectors_have(monkeypatch) -> None:
    images, eigh = noise(count=30), torch.linalg.eigh
    found = colours.principal_components(images)
    monkeypatch.setattr(
        torch.linalg, "eigh", lambda matrix: (eigh(matrix)[0], eigh(matrix)[1] * torch.tensor([-1.0, 1.0, -1.0]))
    )
    assert torch.equal(colours.principal_components(images), found)


def test_pca_noise_shifts_all_pixels_of_an_image_alike_with_the_paper_s_spread() -> None:
    images = torch.full((4000, 3, 2, 2), 128, dtype=torch.uint8)
    components = torch.diag(torch.tensor([0.3, 0.2, 0.1]))
    draws = torch.from_numpy(uniforms(0, AUGMENT, 0, np.arange(4000), 6))
    pca = colours.PCANoise(options.PCANoise(sd=0.1))
    pca.components = components
    moved = pca.pixels(images, draws) - 128
    assert torch.equal(moved.amin((2, 3)), moved.amax((2, 3)))
    spread = moved[:, :, 0, 0].std(0) / 255
    torch.testing.assert_close(spread, torch.tensor([0.03, 0.02, 0.01]), rtol=0.05, atol=0)
    assert moved[:, :, 0, 0].mean(0).abs().max() < 0.5
