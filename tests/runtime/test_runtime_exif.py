"""Of EXIF, only the orientation is read, and nothing that is wrong with the rest is in the way."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.runtime import orientation, read_image

GREY = np.random.default_rng(0).integers(0, 256, (5, 8), dtype=np.uint8)
UPRIGHT = {
    1: GREY,
    2: GREY[:, ::-1],
    3: GREY[::-1, ::-1],
    4: GREY[::-1],
    5: GREY.T,
    6: GREY[::-1].T,
    7: GREY[::-1, ::-1].T,
    8: GREY.T[::-1],
}
"""By the standard's words: row 0 and column 0 of the stored image are 1 top left, 2 top right, 3 bottom right, 4 bottom
left, 5 left top, 6 right top, 7 right bottom, 8 left bottom.
"""

SHORT, LONG, RATIONAL, SIGNED_RATIONAL, FLOAT = 3, 4, 5, 10, 11


def exif(*entries: tuple[int, int, bytes], order: str = "<", rest: bytes = b"") -> bytes:
    """One directory: tag, type, and four bytes that are the value or lead to it."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    body = struct.pack(f"{order}H", len(entries)) + b"".join(
        struct.pack(f"{order}HHI", tag, kind, 1) + value for tag, kind, value in entries
    )
    return b"Exif\0\0" + head + body + bytes(4) + rest


def turned(value: int, order: str = "<") -> tuple[int, int, bytes]:
    return (0x0112, SHORT, struct.pack(f"{order}HH", value, 0))


def as_jpeg(path: Path, block: bytes) -> None:
    Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8))).save(path, "JPEG", exif=block, quality=95)


def as_webp(path: Path, block: bytes) -> None:
    Image.fromarray(GREY).save(path, "WEBP", exif=block, lossless=True)


def as_png(path: Path, block: bytes) -> None:
    Image.fromarray(GREY).save(path, "PNG", exif=block)


def as_png_of_imagemagick(path: Path, block: bytes) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(block):8}\n{block.hex()}\n", zip=True)
    Image.fromarray(GREY).save(path, "PNG", pnginfo=text)


WRITERS = [as_jpeg, as_webp, as_png, as_png_of_imagemagick]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("value", UPRIGHT)
def test_an_image_is_turned_upright(tmp_path: Path, write: Callable[[Path, bytes], None], value: int) -> None:
    write(tmp_path / "image", exif(turned(value)))
    found = np.asarray(read_image(tmp_path / "image", 1))
    due = np.kron(UPRIGHT[value], np.ones((8, 8), np.uint8)) if write is as_jpeg else UPRIGHT[value]
    assert found.shape == due.shape
    assert np.abs(found.astype(int) - due).max() <= (30 if write is as_jpeg else 0)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("value", UPRIGHT)
def test_a_tiff_is_turned_once_by_its_own_tag(tmp_path: Path, value: int, compression: str | None) -> None:
    """Uncompressed ones as well, which Pillow garbles where it maps them from a file's name and the sides are
    swapped."""
    tags = Image.Exif()
    tags[0x0112] = value
    Image.fromarray(GREY).save(tmp_path / "image.tif", exif=tags, compression=compression)
    assert np.array_equal(np.asarray(read_image(tmp_path / "image.tif", 1)), UPRIGHT[value])


BROKEN = {
    "a signed fraction": exif(
        (0x011A, SIGNED_RATIONAL, struct.pack("<I", 38)), turned(6), rest=struct.pack("<ii", -1, 0)
    ),
    "a fraction for the width": exif(
        turned(6), (0x0100, RATIONAL, struct.pack("<I", 38)), rest=struct.pack("<II", 0, 1)
    ),
    "a negative width": exif(turned(6), (0x0100, 8, struct.pack("<hh", -5, 0))),
    "no number": exif(turned(6), (0x011A, FLOAT, struct.pack("<f", float("nan")))),
    "an unknown type": exif((0x010E, 99, b"abcd"), turned(6)),
    "a value beyond the end": exif((0x010E, 2, struct.pack("<I", 10**6)), turned(6)),
    "cut after its orientation": exif(turned(6), (0x0100, SHORT, bytes(4)))[:-12],
    "the other byte order": exif(turned(6, ">"), order=">"),
    "a long": exif((0x0112, LONG, struct.pack("<I", 6))),
}


# Pillow's own, which `zoo.runtime` silences where no test makes them errors again
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("block", BROKEN.values(), ids=BROKEN)
def test_a_broken_tag_beside_it_changes_nothing(
    tmp_path: Path, write: Callable[[Path, bytes], None], block: bytes
) -> None:
    write(tmp_path / "image", block)
    assert read_image(tmp_path / "image", 3).size == ((40, 64) if write is as_jpeg else (5, 8))


USELESS = {
    "none": b"",
    "garbage": bytes(range(40)),
    "a header alone": b"Exif\0\0II*\0",
    "a directory beyond the end": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    "0": exif(turned(0)),
    "9": exif(turned(9)),
    "a negative one": exif((0x0112, 8, struct.pack("<hh", -6, 0))),
    "a fraction": exif((0x0112, RATIONAL, struct.pack("<I", 26)), rest=struct.pack("<II", 13, 2)),
    "text": exif((0x0112, 2, b"6\0\0\0")),
    "cut before it": exif(turned(6))[:20],
    "no end": exif(*[(0x010E, 2, b"abcd")] * 9)[:60],
}


@pytest.mark.parametrize("block", USELESS.values(), ids=USELESS)
def test_an_orientation_that_is_no_whole_number_from_1_to_8_turns_nothing(tmp_path: Path, block: bytes) -> None:
    assert orientation(block) == 1
    as_png(tmp_path / "image.png", block)
    assert np.array_equal(np.asarray(read_image(tmp_path / "image.png", 1)), GREY)


def test_text_in_place_of_an_exif_block_turns_nothing(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    for number, words in enumerate(("no block", "\nexif\n  8\nno digits\n", "\n" * 9)):
        text = PngInfo()
        text.add_text("Raw profile type exif", words)
        Image.fromarray(GREY).save(tmp_path / f"{number}.png", pnginfo=text)
        assert np.array_equal(np.asarray(read_image(tmp_path / f"{number}.png", 1)), GREY)


def test_nothing_is_logged_about_a_broken_file(tmp_path: Path) -> None:
    """A TIFF that claims 2,048 values a pixel, which Pillow would log as an error."""
    Image.new("RGB", (8, 5)).save(tmp_path / "image.tif")
    tag = struct.pack("<HHI", 277, SHORT, 1)
    content = (tmp_path / "image.tif").read_bytes()
    (tmp_path / "image.tif").write_bytes(content.replace(tag + struct.pack("<I", 3), tag + struct.pack("<I", 2048)))
    code = (
        "from pathlib import Path\nfrom zoo.runtime import read_image\n"
        f"read_image(Path({str(tmp_path / 'image.tif')!r}), 1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "ValueError: is not an image" in done.stderr.splitlines()[-1]
    assert "More samples per pixel" not in done.stderr


def test_nothing_is_printed_about_a_broken_block(tmp_path: Path) -> None:
    as_jpeg(tmp_path / "image.jpg", BROKEN["cut after its orientation"])
    code = (
        "from pathlib import Path\nfrom zoo.runtime import read_image\n"
        f"print(read_image(Path({str(tmp_path / 'image.jpg')!r}), 1).size)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(40, 64)\n", "")
