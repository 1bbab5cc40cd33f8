"""Crops from image files at their own sizes: the pixels that torchvision and Pillow give for the same box."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from zoo import runtime
from zoo.data import source_images
from zoo.data.preprocessing import Preprocessing
from zoo.data.source_images import (
    KEPT,
    TURNS,
    Box,
    DecodedImages,
    ImageFiles,
    jpeg_decoder,
    reduction,
    scaled,
    upright,
)
from zoo.errors import DataError

BOX = Box(13, 7, 41, 29)


def how(height: int = 24, width: int = 20, channels: int = 3, **more) -> Preprocessing:
    return Preprocessing(
        channels=channels, height=height, width=width, mean=(0.5,) * channels, std=(0.5,) * channels, **more
    )


def photograph(width: int = 80, height: int = 60, seed: int = 0) -> Image.Image:
    """Smooth colours, as photographs have, and some edges."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    image[height // 3 : height // 2, width // 4 : width // 2] = (250, 20, 90)
    return Image.fromarray(image)


def saved(path: Path, image: Image.Image | None = None, **more) -> Path:
    (photograph() if image is None else image).save(path, **more)
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("box", [BOX, Box(0, 0, 80, 60), Box(70, 50, 10, 10), Box(3, 59, 1, 1)])
def test_a_crop_is_that_of_torchvision_and_within_one_level_of_pillows(tmp_path, name, interpolation, box) -> None:
    file, preprocessing = saved(tmp_path / name), how(interpolation=interpolation)
    found = scaled(ImageFiles([file], preprocessing).cut(0, box), preprocessing)
    assert found.shape == (24, 20, 3) and found.dtype == np.uint8
    with Image.open(file) as image:
        whole = image.convert("RGB")
    tensor, mode = tv.pil_to_tensor(whole), InterpolationMode(interpolation)
    expected = tv.resized_crop(
        tensor, box.top, box.left, box.height, box.width, [24, 20], interpolation=mode, antialias=True
    )
    assert np.array_equal(found, expected.permute(1, 2, 0).numpy())
    part = whole.crop((box.left, box.top, box.left + box.width, box.top + box.height))
    by_pillow = np.asarray(part.resize((20, 24), Image.Resampling[interpolation.upper()]))
    assert np.abs(found.astype(int) - by_pillow).max() <= 1


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_boxes_are_those_of_the_upright_image(tmp_path, turn, suffix) -> None:
    exif = Image.Exif()
    exif[runtime.ORIENTATION] = turn
    file = saved(tmp_path / f"a{suffix}", exif=exif)
    with Image.open(file) as image:
        turned = np.asarray(ImageOps.exif_transpose(image))
    images = ImageFiles([file], how())
    assert images.size(0) == turned.shape[:2]
    assert np.array_equal(images.cut(0, BOX), turned[7 : 7 + 29, 13 : 13 + 41])
    assert np.array_equal(images.sized(0), how().read(file))


def test_the_upright_views_are_the_turns_of_the_runtime() -> None:
    image = photograph(7, 5)
    for turn, method in runtime.TURNS.items():
        assert np.array_equal(upright(np.asarray(image), turn), np.asarray(image.transpose(method)))
    assert set(TURNS) == {1, *runtime.TURNS}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_channels_are_those_of_the_network(tmp_path, channels, mode) -> None:
    file, preprocessing = saved(tmp_path / "a.jpg", photograph().convert(mode)), how(channels=channels)
    found = ImageFiles([file], preprocessing).cut(0, BOX)
    whole = np.asarray(preprocessing.read_whole(file)).reshape(60, 80, channels)
    assert np.array_equal(found, whole[7 : 7 + 29, 13 : 13 + 41])


def test_decoded_images_and_files_give_the_same_pixels(tmp_path) -> None:
    files = [saved(tmp_path / "a.jpg"), saved(tmp_path / "b.png", photograph(50, 90, 1))]
    for preprocessing in (how(), how(scale=30, interpolation="bicubic"), how(permute_pixels=3)):
        kept = DecodedImages([np.asarray(preprocessing.read_whole(file)) for file in files], preprocessing)
        read = ImageFiles(files, preprocessing)
        for index, file in enumerate(files):
            assert kept.size(index) == read.size(index)
            assert np.array_equal(kept.cut(index, BOX), read.cut(index, BOX))
            assert np.array_equal(kept.sized(index), preprocessing.read(file))


def test_simplejpeg_gives_the_pixels_of_pillow(tmp_path) -> None:
    decode = jpeg_decoder()
    assert decode is not None
    for more in ({}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}):
        file = saved(tmp_path / "a.jpg", **more)
        with Image.open(file) as image:
            assert np.array_equal(decode(file.read_bytes(), 3), np.asarray(image))


def test_without_simplejpeg_the_pixels_are_the_same(tmp_path, monkeypatch) -> None:
    file = saved(tmp_path / "a.jpg")
    expected = ImageFiles([file], how()).cut(0, BOX)
    monkeypatch.setattr(source_images, "jpeg_decoder", lambda: None)
    assert np.array_equal(ImageFiles([file], how()).cut(0, BOX), expected)


@pytest.mark.parametrize(
    ("box", "factor"),
    [
        ((79, 400), 1),
        ((80, 96), 2),
        ((80, 95), 1),
        ((159, 400), 2),
        ((160, 192), 4),
        ((400, 384), 8),
        ((4000, 4000), 8),
    ],
)
def test_a_jpeg_is_shrunk_only_where_twice_the_networks_pixels_remain(box, factor) -> None:
    width, height = box
    assert reduction(Box(0, 0, width, height), 24, 20) == factor
    assert KEPT == 2


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("turn", [1, 6])
def test_a_crop_from_a_shrunk_jpeg_is_close_to_that_of_the_whole(tmp_path, factor, turn) -> None:
    exif = Image.Exif()
    exif[runtime.ORIENTATION] = turn
    side = 52 * factor
    file = saved(tmp_path / "a.jpg", photograph(side + 8 * factor, side + 16), quality=92, exif=exif)
    box = Box(factor, 2 * factor, side, side - factor)
    preprocessing = how(24, 24)
    assert reduction(box, 24, 24) == factor
    part = ImageFiles([file], preprocessing).cut(0, box)
    assert abs(part.shape[1] - side / factor) <= 1
    whole = DecodedImages([np.asarray(preprocessing.read_whole(file))], preprocessing)
    found, exact = (scaled(each, preprocessing).astype(int) for each in (part, whole.cut(0, box)))
    assert np.abs(found - exact).mean() < 1


def test_in_photographs_it_differs_by_less_than_one_level() -> None:
    from sklearn.datasets import load_sample_images

    preprocessing, rng = how(64, 64), np.random.default_rng(0)
    for array in load_sample_images().images:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "JPEG", quality=92)
        with Image.open(buffer) as image:
            whole = np.asarray(image)
        with Image.open(buffer) as image:
            image.draft("RGB", (320, 213))
            half = np.asarray(image)
        assert half.shape[1] == 320
        for _ in range(5):
            left, top = 2 * rng.integers(0, (50, 50))
            exact = scaled(np.ascontiguousarray(whole[top : top + 280, left : left + 400]), preprocessing).astype(int)
            left, top = left // 2, top // 2
            found = scaled(np.ascontiguousarray(half[top : top + 140, left : left + 200]), preprocessing).astype(int)
            assert np.abs(found - exact).mean() < 1


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_damaged_file_is_named_as_in_decoding(tmp_path, content) -> None:
    file = tmp_path / "a.jpg"
    if content is None:
        content = saved(file).read_bytes()[:900]
    file.write_bytes(content)
    with pytest.raises(ValueError) as plain:
        how().read(file)
    for use in (lambda images: images.size(0), lambda images: images.cut(0, BOX), lambda images: images.sized(0)):
        if content[:2] == b"\xff\xd8" and use.__code__.co_names == ("size",):
            continue  # the header is sound
        with pytest.raises(DataError, match="repair, restore or remove") as error:
            use(ImageFiles([file], how()))
        assert str(plain.value).removeprefix("cannot be read: ") in str(error.value)


def test_a_missing_file_and_one_of_too_many_pixels_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match=r"gone\.jpg"):
        ImageFiles([tmp_path / "gone.jpg"], how()).cut(0, BOX)
    with pytest.raises(DataError, match="80×60, more than max_pixels=1,000"):
        ImageFiles([saved(tmp_path / "a.jpg")], how(max_pixels=1000)).cut(0, BOX)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_file_that_changes_its_size_in_use_is_an_error(tmp_path, suffix) -> None:
    file = saved(tmp_path / f"a{suffix}")
    images = ImageFiles([file], how())
    images.size(0)
    saved(file, photograph(40, 30))
    with pytest.raises(DataError, match="was changed while it was in use"):
        images.cut(0, BOX)


def test_scaling_uses_the_channels_last_format() -> None:
    """torch's antialiasing is three times as fast for it, and the result needs no transposition."""
    found = scaled(np.array(photograph()), how())
    assert found.flags.c_contiguous
    assert torch.from_numpy(found)[None].permute(0, 3, 1, 2).is_contiguous(memory_format=torch.channels_last)
