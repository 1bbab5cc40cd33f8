"""What is done to images before a network sees them, held to numpy and pillow used directly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.api import ArchitectureSpec, WeightsSpec
from zoo.config.run_config import DatasetSection
from zoo.data.preprocessing import Preprocessing, plan
from zoo.errors import UsageError


def architecture(**facts: Any) -> ArchitectureSpec:
    return ArchitectureSpec(
        **{"name": "net", "summary": "a net", "target": "nowhere:build", "input": (1, 28, 28), **facts}
    )


FIXED = architecture(sizing="fixed")
AT_LEAST_16 = architecture(sizing="min", smallest=16)
ANY = architecture()
IN_EIGHTS = architecture(sizing="min", smallest=16, multiple=8)
CHOSEN = architecture(sizing="chosen", smallest=16, multiple=8, input=(1, 32, 32))


def planned(
    net: ArchitectureSpec | None, shape: tuple[int, int, int] = (1, 8, 8), **section: Any
) -> tuple[Preprocessing, list[str]]:
    return plan(DatasetSection(name="toy", **section), shape, (0.5,) * shape[0], (0.25,) * shape[0], net)


@pytest.mark.parametrize(
    ("net", "shape", "section", "expected"),
    [
        (None, (1, 8, 8), {}, (1, 8, 8)),
        (ANY, (1, 8, 8), {}, (1, 8, 8)),
        (FIXED, (1, 8, 8), {}, (1, 28, 28)),
        (FIXED, (3, 64, 48), {}, (3, 28, 28)),
        (FIXED, (1, 28, 28), {"resize": "never"}, (1, 28, 28)),
        (AT_LEAST_16, (1, 8, 8), {}, (1, 16, 16)),
        (AT_LEAST_16, (3, 12, 8), {}, (3, 24, 16)),
        (AT_LEAST_16, (3, 17, 40), {}, (3, 17, 40)),
        (AT_LEAST_16, (1, 8, 8), {"resize": 20}, (1, 20, 20)),
        (ANY, (3, 40, 30), {"resize": 20}, (3, 20, 20)),
        (IN_EIGHTS, (1, 8, 8), {}, (1, 16, 16)),
        (IN_EIGHTS, (1, 17, 40), {}, (1, 24, 40)),
        (IN_EIGHTS, (1, 10, 21), {}, (1, 16, 40)),
        (CHOSEN, (1, 8, 8), {}, (1, 32, 32)),
        (CHOSEN, (1, 40, 40), {}, (1, 32, 32)),
        (CHOSEN, (1, 8, 8), {"resize": 48}, (1, 48, 48)),
        (CHOSEN, (1, 40, 24), {"resize": "never"}, (1, 40, 24)),
    ],
)
def test_images_get_the_size_the_network_needs(
    net: ArchitectureSpec | None, shape: tuple[int, int, int], section: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    preprocessing, notes = planned(net, shape, **section)
    assert preprocessing.shape == expected
    assert len(notes) == (expected != shape)
    for note in notes:
        assert f"{shape[1]}×{shape[2]}" in note
        assert f"{expected[1]}×{expected[2]}" in note


@pytest.mark.parametrize(
    ("net", "section", "expected"),
    [
        (None, {}, 224),
        (architecture(input=(3, 299, 299)), {}, 299),
        (AT_LEAST_16, {}, 28),
        (FIXED, {}, 28),
        (AT_LEAST_16, {"resize": 64}, 64),
    ],
)
def test_images_of_different_sizes_get_the_networks_default(
    net: ArchitectureSpec | None, section: dict[str, Any], expected: int
) -> None:
    preprocessing, notes = plan(DatasetSection(name="toy", **section), (3, None, None), (0.5,) * 3, (0.25,) * 3, net)
    assert preprocessing.shape == (3, expected, expected)
    assumed = "" if net is not None else "; 224×224 is the default without a network"
    how = f"resized, keeping their aspect ratio, and cropped at the centre to {expected}×{expected}"
    assert notes == [f"images of any size are {how}{assumed}"]
    with pytest.raises(UsageError, match=r"the images may differ in size, .*dataset\.resize=never"):
        plan(DatasetSection(name="toy", resize="never"), (3, None, None), (0.5,) * 3, (0.25,) * 3, net)


def test_a_size_that_was_set_holds_without_a_network_too() -> None:
    _, notes = plan(DatasetSection(name="toy", resize=64), (3, None, None), (0.5,) * 3, (0.25,) * 3)
    assert notes == ["images of any size are resized, keeping their aspect ratio, and cropped at the centre to 64×64"]


def test_no_network_is_named_where_there_is_none() -> None:
    with pytest.raises(UsageError) as caught:
        plan(DatasetSection(name="toy", resize="never"), (3, None, None), (0.5,) * 3, (0.25,) * 3)
    assert str(caught.value) == (
        "the images may differ in size, but have to be of one size (dataset.resize=never); fix: use "
        "dataset.resize=auto, or a number of pixels"
    )


RGB_ONLY = architecture(channels=(3,), input=(3, 8, 8))


@pytest.mark.parametrize(
    ("net", "own", "section", "expected", "note"),
    [
        (ANY, 1, {}, 1, None),
        (ANY, 3, {}, 3, None),
        (ANY, 3, {"channels": 1}, 1, "RGB images become grayscale"),
        (None, 1, {"channels": 3}, 3, "grayscale images become RGB"),
        (RGB_ONLY, 1, {}, 3, "grayscale images become RGB"),
        (RGB_ONLY, 3, {"channels": 3}, 3, None),
        (architecture(channels=(1, 3)), 3, {}, 3, None),
    ],
)
def test_channels_are_adapted_and_said(
    net: ArchitectureSpec | None, own: int, section: dict[str, Any], expected: int, note: str | None
) -> None:
    preprocessing, notes = planned(net, (own, 8, 8), **section)
    assert preprocessing.channels == expected == len(preprocessing.mean) == len(preprocessing.std)
    assert notes == ([note] if note else [])


def test_channels_that_the_network_cannot_take_are_refused() -> None:
    with pytest.raises(UsageError, match=r"net needs images with 3 channels, not 1 .*dataset\.channels"):
        planned(RGB_ONLY, (3, 8, 8), channels=1)


def test_mean_and_std_follow_the_channels() -> None:
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, (50, 8, 8), dtype=np.uint8)
    rgb = np.stack([grey, (grey * 0.5).astype(np.uint8), 255 - (grey * 0.8).astype(np.uint8)], 3)
    values = rgb.reshape(-1, 3) / 255
    section = DatasetSection(name="toy", channels=1)
    preprocessing, _ = plan(section, (3, 8, 8), tuple(values.mean(0)), tuple(values.std(0)), None)
    converted = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in rgb]) / 255
    assert preprocessing.mean[0] == pytest.approx(converted.mean(), abs=0.003)
    spread, _ = plan(DatasetSection(name="toy", channels=3), (1, 8, 8), (0.2,), (0.3,), None)
    assert (spread.mean, spread.std) == ((0.2,) * 3, (0.3,) * 3)


def test_mean_and_std_can_be_given() -> None:
    preprocessing, _ = planned(None, (3, 8, 8), mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 3.0])
    assert (preprocessing.mean, preprocessing.std) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    with pytest.raises(UsageError, match=r"2 values for 3 channel.*dataset\.std"):
        planned(None, (3, 8, 8), std=[1.0, 2.0])


@pytest.mark.parametrize(("net", "needed"), [(FIXED, "28×28"), (AT_LEAST_16, "16×16")])
def test_case_9_resize_never_names_both_sizes(net: ArchitectureSpec, needed: str) -> None:
    with pytest.raises(UsageError) as caught:
        planned(net, resize="never")
    message = str(caught.value)
    assert "8×8" in message
    assert needed in message
    assert "dataset.resize=never" in message
    assert "dataset.resize=auto" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("net", "needs"), [(FIXED, "exactly 28×28"), (AT_LEAST_16, "at least 16×16")])
def test_a_side_that_the_network_cannot_take_is_refused(net: ArchitectureSpec, needs: str) -> None:
    with pytest.raises(UsageError, match=f"does not support 12×12 images: it needs {needs}"):
        planned(net, resize=12)


def test_two_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="2 channels"):
        planned(ANY, (2, 8, 8))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_permuted_by_the_permutation_that_the_seed_names(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, channels, 6, 7), dtype=np.uint8)
    preprocessing, _ = planned(ANY, (channels, 6, 7), permute_pixels=11)
    permuted = preprocessing.apply(images)
    expected = images.reshape(5, channels, 42)[:, :, np.random.RandomState(11).permutation(42)].reshape(images.shape)
    assert np.array_equal(permuted, expected)
    assert not np.array_equal(permuted, images)
    assert not np.array_equal(planned(ANY, (channels, 6, 7), permute_pixels=12)[0].apply(images), permuted)


def test_the_permutation_is_of_the_network_s_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8), dtype=np.uint8)
    resized = planned(FIXED)[0].apply(images)
    both = planned(FIXED, permute_pixels=3)[0].apply(images)
    assert np.array_equal(both.reshape(2, 784), resized.reshape(2, 784)[:, np.random.RandomState(3).permutation(784)])


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_equals_pillow_s_bilinear(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, channels, 8, 8), dtype=np.uint8)
    resized = planned(FIXED, (channels, 8, 8))[0].apply(images)
    assert (resized.shape, resized.dtype) == ((4, channels, 28, 28), np.uint8)
    for image, result in zip(images, resized, strict=True):
        for plane, expected in zip(image, result, strict=True):
            assert np.array_equal(
                np.asarray(Image.fromarray(plane).resize((28, 28), Image.Resampling.BILINEAR)), expected
            )


def test_oblong_images_keep_their_aspect_and_lose_their_margins() -> None:
    image = np.zeros((1, 1, 10, 30), np.uint8)
    image[:, :, :, 10:20] = 200
    cropped = planned(architecture(sizing="fixed", input=(1, 10, 10)), (1, 10, 30))[0].apply(image)
    assert (cropped == 200).all()


def test_images_of_the_right_size_are_not_copied() -> None:
    images = np.zeros((2, 1, 8, 8), np.uint8)
    assert planned(ANY)[0].apply(images) is images


def test_colour_becomes_grey_and_grey_colour_where_a_run_says_so() -> None:
    grey = np.full((1, 1, 4, 4), 77, np.uint8)
    colour = Preprocessing(channels=3, height=4, width=4, mean=(0,) * 3, std=(1,) * 3).apply(grey)
    assert np.array_equal(colour, np.full((1, 3, 4, 4), 77))
    assert np.array_equal(Preprocessing(channels=1, height=4, width=4, mean=(0,), std=(1,)).apply(colour), grey)


def test_the_description_is_json_and_complete() -> None:
    description = planned(FIXED, permute_pixels=3)[0].describe()
    assert (
        Preprocessing.model_validate({key: description[key] for key in Preprocessing.model_fields})
        == planned(FIXED, permute_pixels=3)[0]
    )
    assert (description["channel_order"], description["layout"], description["dtype"]) == ("grey", "NCHW", "float32")


def weights(**facts: Any) -> WeightsSpec:
    values = {
        "summary": "x",
        "url": "https://example.org/x",
        "licence": "MIT",
        "dataset": "d",
        "classes": ("a", "b"),
        "input": (3, 24, 24),
    }
    return WeightsSpec(
        **{**values, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "resize": 28, "interpolation": "bicubic", **facts}
    )


@pytest.mark.parametrize(
    ("shape", "section", "learned", "expected"),
    [
        ((3, 8, 8), {}, {}, ((3, 24, 24), 28, "bicubic", (0.1, 0.2, 0.3))),
        ((3, None, None), {}, {}, ((3, 24, 24), 28, "bicubic", (0.1, 0.2, 0.3))),
        ((1, 8, 8), {}, {}, ((3, 24, 24), 28, "bicubic", (0.1, 0.2, 0.3))),
        ((3, 8, 8), {}, {"fit": "squash"}, ((3, 24, 24), None, "bicubic", (0.1, 0.2, 0.3))),
        ((3, 8, 8), {"resize": 32}, {}, ((3, 32, 32), None, "bicubic", (0.1, 0.2, 0.3))),
        ((3, 40, 40), {"resize": "never"}, {}, ((3, 40, 40), None, "bicubic", (0.1, 0.2, 0.3))),
        ((3, 8, 8), {"mean": [0.9, 0.9, 0.9]}, {}, ((3, 24, 24), 28, "bicubic", (0.9, 0.9, 0.9))),
        ((3, 8, 8), {"channels": 1}, {}, ((1, 24, 24), 28, "bicubic", (0.5,))),
    ],
)
def test_images_are_prepared_as_the_weights_learned_them(
    shape: tuple[int, int | None, int | None],
    section: dict[str, Any],
    learned: dict[str, Any],
    expected: tuple[Any, ...],
) -> None:
    own = (0.5,) * shape[0]
    made, _ = plan(DatasetSection(name="toy", **section), shape, own, own, ANY, weights(**learned))
    assert (made.shape, made.scale, made.interpolation, made.mean) == expected
    assert (made.resize == "squash to the size") == (learned.get("fit") == "squash")
