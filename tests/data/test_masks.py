"""Masks from arrays and PNG files: every pixel where its image's pixel is, and one line about a file that is none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.api import Split
from zoo.contract.targets import Mask
from zoo.data import dataset_cache
from zoo.data.decoding import decoded
from zoo.data.loaded_part import LoadedPart
from zoo.data.masks import MaskLoader
from zoo.data.preprocessing import WAYS, Preprocessing
from zoo.errors import DataError

NAMES = ("ground", "roof", "tree", "road", "water")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def loader(ignore: int | None = 255, names: tuple[str, ...] = NAMES) -> MaskLoader:
    return MaskLoader(Mask(names=names, ignore=ignore), sha256, "toy")


def how(height: int = 8, width: int = 8, **more) -> Preprocessing:
    return Preprocessing(channels=3, height=height, width=width, mean=(0.0,) * 3, std=(1.0,) * 3, **more)


def indices(height: int, width: int, seed: int = 0, side: int = 4) -> np.ndarray:
    """Blocks of ``side`` × ``side`` pixels of one class, some of them ignored."""
    blocks = np.random.default_rng(seed).integers(0, 6, (-(-height // side), -(-width // side)), dtype=np.uint8)
    blocks[blocks == 5] = 255
    return blocks.repeat(side, 0).repeat(side, 1)[:height, :width]


def painted(mask: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) whose colour tells the class: red 40 for class 0, and black only where there is no pixel."""
    return np.stack([np.where(mask == 255, 240, 40 + 40 * mask)] * 3, -1).astype(np.uint8)


def save_palette(file: Path, mask: np.ndarray, **more) -> Path:
    image = Image.fromarray(mask)
    image.putpalette([value for index in range(256) for value in (index * 37 % 256, index * 91 % 256, index)])
    image.save(file, **more)
    with Image.open(file) as saved:
        assert saved.mode == "P"
    return file


def save_grey(file: Path, mask: np.ndarray, **more) -> Path:
    Image.fromarray(mask).save(file, **more)
    return file


@pytest.mark.parametrize("save", [save_palette, save_grey])
def test_values_of_a_png_are_class_indices_and_are_decoded_once(tmp_path, save) -> None:
    masks = [indices(8, 8, seed) for seed in range(3)]
    files = [save(tmp_path / f"{number}.png", mask) for number, mask in enumerate(masks)]
    found = loader()(files, np.zeros((3, 3, 8, 8), np.uint8), how())
    assert found.dtype == np.uint8
    assert np.array_equal(found, masks)
    (entry,) = dataset_cache.entries()
    assert entry.description["dataset"] == "toy" and entry.description["masks"] == 3
    loader()(files, np.zeros((3, 3, 8, 8), np.uint8), how())
    assert len(dataset_cache.entries()) == 1
    with pytest.raises(DataError):  # another target is another entry: its indices are checked again
        loader(names=NAMES[:2])(files, np.zeros((3, 3, 8, 8), np.uint8), how())


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_of_palette_or_grey_are_indices_too(tmp_path, bits) -> None:
    mask = np.arange(64, dtype=np.uint8).reshape(8, 8) % min(1 << bits, len(NAMES))
    palette = save_palette(tmp_path / "palette.png", mask, bits=bits)
    grey = tmp_path / "grey.png"
    grey.write_bytes(grey_png(mask, bits))
    found = loader()([palette, grey], np.zeros((2, 3, 8, 8), np.uint8), how())
    assert np.array_equal(found, [mask, mask])


def grey_png(mask: np.ndarray, bits: int) -> bytes:
    """A PNG of grey in so few bits, which Pillow does not write."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    ordered = (mask[:, :, None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = b"".join(b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in ordered)
    header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


POLICIES = {
    "cover": {},
    "cover, scaled": {"scale": 40},
    "squash": {"resize": WAYS["squash"]},
    "crop": {"resize": WAYS["crop"]},
}


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (32, 32), (18, 80), (24, 16)], ids=str)
@pytest.mark.parametrize("policy", POLICIES)
def test_masks_come_to_size_as_their_images(tmp_path, size, policy) -> None:
    """Where a scaled image has a class's own colour, the mask has that class; where it is padded, it is ignored."""
    mask = indices(*size, seed=sum(size), side=16)
    image = tmp_path / "image.png"
    Image.fromarray(painted(mask)).save(image)
    preprocessing = how(32, 32, **POLICIES[policy])
    found = loader()([save_palette(tmp_path / "mask.png", mask)], [image], preprocessing)[0]
    shown = decoded([image], preprocessing, sha256, "toy")[0, 0]
    assert np.array_equal(found == 255, (shown == 0) | (found == 255))
    sure = np.isin(shown, [40, 80, 120, 160, 200]) & unmixed(shown)
    assert sure.sum() > 100
    assert np.array_equal(40 + 40 * found[sure], shown[sure])
    if policy == "crop":
        assert np.array_equal(np.where(found == 255, 240, 40 + 40 * found)[shown > 0], shown[shown > 0])


def unmixed(shown: np.ndarray) -> np.ndarray:
    """Pixels whose neighbours have the same value: no colour between two others that happens to be a class's."""
    same = np.ones(shown.shape, bool)
    for axis in (0, 1):
        equal = np.diff(shown.astype(int), axis=axis) == 0
        same &= np.concatenate([equal, equal.take([-1], axis)], axis)
        same &= np.concatenate([equal.take([0], axis), equal], axis)
    return same


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("own", [True, False])
def test_a_mask_is_turned_as_its_image(tmp_path, orientation, own) -> None:
    """By its own EXIF orientation or, without one, by that of the image on whose stored pixels it lies."""
    mask, exif = indices(8, 12), Image.Exif()
    exif[0x0112] = orientation
    image = tmp_path / "image.png"
    Image.fromarray(painted(mask)).save(image, exif=exif)
    file = save_palette(tmp_path / "mask.png", mask, **({"exif": exif} if own else {}))
    size = (8, 12) if orientation < 5 else (12, 8)
    found = loader()([file], [image], how(*size))[0]
    assert np.array_equal(painted(found)[:, :, 0], decoded([image], how(*size), sha256, "toy")[0, 0])


@pytest.mark.parametrize("kind", ["jpg", "tif", "webp"])
def test_of_images_of_other_formats_too(tmp_path, kind) -> None:
    mask, exif = indices(8, 12), Image.Exif()
    exif[0x0112] = 6
    image = tmp_path / f"image.{kind}"
    Image.fromarray(painted(mask)).save(image, exif=exif, quality=100)
    found = loader()([save_grey(tmp_path / "mask.png", mask)], [image], how(12, 8))[0]
    shown = decoded([image], how(12, 8), sha256, "toy")[0, 0].astype(int)
    assert np.abs(painted(found)[:, :, 0].astype(int) - shown).mean() < 4


def test_an_upright_mask_of_a_turned_image_stays_as_it_is(tmp_path) -> None:
    mask, exif = indices(8, 12), Image.Exif()
    exif[0x0112] = 6
    image = tmp_path / "image.png"
    Image.fromarray(painted(np.rot90(mask))).save(image, exif=exif)
    assert np.array_equal(loader()([save_grey(tmp_path / "mask.png", mask)], [image], how(8, 12))[0], mask)


def fault(masks, images=None, ignore=255, preprocessing=None) -> str:
    images = np.zeros((len(masks), 3, 8, 8), np.uint8) if images is None else images
    with pytest.raises(DataError) as caught:
        loader(ignore)(masks, images, preprocessing or how())
    assert "\n" not in str(caught.value) and caught.value.exit_code == 3
    assert all(entry.description.get("masks") is None for entry in dataset_cache.entries())
    return str(caught.value)


def test_a_file_that_is_no_mask_is_named_with_the_reason(tmp_path) -> None:
    good = save_grey(tmp_path / "good.png", indices(8, 8))

    def told(file: Path) -> str:
        text = fault([good, file])
        assert str(file) in text
        return text

    colour, alpha, deep = (tmp_path / f"{name}.png" for name in ("colour", "alpha", "deep"))
    Image.new("RGB", (8, 8)).save(colour)
    Image.new("LA", (8, 8)).save(alpha)
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(deep)
    assert "this mask has the mode RGB" in told(colour)
    assert "this mask has the mode LA" in told(alpha)
    assert "this mask has the mode I;16" in told(deep)
    Image.new("L", (8, 8)).save(tmp_path / "mask.jpg")
    assert "this mask is no PNG" in told(tmp_path / "mask.jpg")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:-30])
    assert "this mask cannot be read" in told(tmp_path / "cut.png")
    assert "this mask is 8×9, but its image is 8×8" in told(save_grey(tmp_path / "wide.png", indices(8, 9)))
    assert "cannot be read: No such file" in told(tmp_path / "gone.png")
    beyond = indices(8, 8)
    beyond[3, 2] = 5
    assert "this mask has the value 5 in row 3, column 2: the classes are 0 to 4, and 255 is ignored" in told(
        save_palette(tmp_path / "beyond.png", beyond)
    )


def test_arrays_are_checked_too() -> None:
    masks = np.zeros((2, 8, 8), np.uint8)
    assert "masks must be uint8 (N, H, W), not int64" in fault(masks.astype(np.int64))
    assert "there are 3 images, but 2 masks" in fault(masks, np.zeros((3, 3, 8, 8), np.uint8))
    assert "the masks are 8×8, but their images are 8×9" in fault(masks, np.zeros((2, 3, 8, 9), np.uint8))
    masks[1, 0, 7] = 255
    assert "has the value 255 in row 0, column 7: the classes are 0 to 4 (toy, mask 1)" in fault(masks, ignore=None)
    small = np.zeros((2, 3, 4, 4), np.uint8)
    told = fault(np.zeros((2, 4, 4), np.uint8), small, ignore=None, preprocessing=how(resize=WAYS["crop"]))
    assert "this mask is smaller than 8×8, and there is no ignore value (Mask.ignore) for padding" in told


@pytest.mark.parametrize("permuted", [None, 3])
def test_a_part_has_masks_as_bytes_beside_its_images(permuted) -> None:
    masks = np.stack([indices(16, 16, seed) for seed in range(9)])
    images = np.stack([painted(mask).transpose(2, 0, 1) for mask in masks])
    part = LoadedPart(
        Split(images, masks), how(16, 16, permute_pixels=permuted), torch.device("cpu"), load_masks=loader()
    )
    batches = list(part.batches(4))
    assert [tuple(batch.targets.shape) for batch in batches] == [(4, 16, 16), (4, 16, 16), (1, 16, 16)]
    found = torch.cat([batch.targets for batch in batches])
    assert found.dtype == torch.uint8
    shown = torch.cat([batch.inputs for batch in batches])[:, 0] * 255
    assert np.array_equal(painted(found.numpy())[..., 0], shown.round().numpy())


def test_files_are_read_by_colours_whatever_their_mode(tmp_path: Path) -> None:
    mask = np.where(indices(8, 8) == 255, 255, indices(8, 8) % 2).astype(np.uint8)
    colours, ignored = ((10, 20, 30), (200, 200, 200)), (1, 2, 3)
    target = Mask(names=("a", "b"), colours=colours, ignore_colour=ignored)
    painted_so = np.zeros((8, 8, 3), np.uint8)
    for value, colour in ((0, colours[0]), (1, colours[1]), (255, ignored)):
        painted_so[mask == value] = colour
    photograph = np.zeros((1, 3, 8, 8), np.uint8)
    rgb = Image.fromarray(painted_so)
    for name, image in (("rgb", rgb), ("palette", rgb.quantize(3)), ("alpha", rgb.convert("RGBA"))):
        image.save(tmp_path / f"{name}.png")
        found = MaskLoader(target, sha256, "toy")([tmp_path / f"{name}.png"], photograph, how())
        assert np.array_equal(found[0], mask), name
    grey = np.full((8, 8), 200, np.uint8)
    save_grey(tmp_path / "grey.png", grey)
    assert (MaskLoader(target, sha256, "toy")([tmp_path / "grey.png"], photograph, how()) == 1).all()
    grey[3, 5] = 201
    save_grey(tmp_path / "grey.png", grey)
    with pytest.raises(DataError, match=r"has the colour \(201, 201, 201\) in row 3, column 5, which no class has"):
        MaskLoader(target, sha256, "toy")([tmp_path / "grey.png"], photograph, how())


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"colours": ((0, 0, 0),)}, "there are 1 colours for 2 classes"),
        ({"colours": ((0, 0, 0), (0, 0, 0))}, "two classes have the same colour"),
        ({"colours": ((0, 0, 0), (0, 0, 1)), "ignore_colour": (0, 0, 1)}, "two classes have the same colour"),
        ({"ignore_colour": (0, 0, 1)}, "ignore_colour needs colours and ignore"),
    ],
)
def test_colours_that_do_not_fit_the_classes_are_refused(more, fault) -> None:
    with pytest.raises(ValueError, match=fault):
        Mask(names=("a", "b"), **more)
