"""Small PNG files are read quickly, with the pixels that Pillow gives, and small files like large ones."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime


def png(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def by_pillow(content: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(content), formats=runtime.FORMATS) as image:
            image.load()
            return image
    except Exception:
        return None


def pixels(seed: int, mode: str) -> Image.Image:
    """Smooth and noisy rows, so that a PNG has all kinds of filters."""
    numbers = np.random.default_rng(seed)
    values = numbers.integers(0, 256, (13, 9, 4), dtype=np.uint8)
    values[::3] = np.arange(9, dtype=np.uint8)[:, None] * 20
    values[1::3] = values[::3][:4]
    return Image.fromarray(values, "RGBA").convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_plain_png_has_the_pixels_of_pillow(mode: str, level: int) -> None:
    for seed in range(20):
        image = pixels(seed, mode)
        found = runtime.plain_png(png(image, compress_level=level))
        assert found is not None and found.mode == mode and found.tobytes() == image.tobytes()


def test_any_other_png_is_left_to_pillow() -> None:
    grey = pixels(0, "L")
    others = [png(pixels(0, mode)) for mode in ("RGBA", "LA", "P", "1")]
    others += [png(grey, transparency=3), png(Image.fromarray(np.zeros((3, 3), np.uint16)))]
    plain = png(grey)
    turned = plain[:33] + chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 2\n0000") + plain[33:]
    others += [turned, plain[:33] + chunk(b"gAMA", b"\0") + plain[33:], plain[:-4], b"", b"II*\0", plain[:20]]
    assert [runtime.plain_png(content) for content in others] == [None] * len(others)
    harmless = plain[:33] + chunk(b"gAMA", b"\0\0\xb1\x8f") + plain[33:]
    found = runtime.plain_png(harmless)
    assert found is not None and found.tobytes() == grey.tobytes()
    assert runtime.plain_png(plain, max_pixels=13 * 9 - 1) is None


def test_a_damaged_png_is_never_taken_for_another() -> None:
    """Each byte changed, with and without a right checksum of the chunk: what is read here, Pillow reads too, and
    alike."""
    taken = refused = 0
    for mode, level in (("L", 9), ("RGB", 0)):
        content = png(pixels(1, mode), compress_level=level)
        start = content.index(b"IDAT") + 4
        length = int.from_bytes(content[start - 8 : start - 4], "big")
        rows = zlib.decompress(content[start : start + length])  # each begins with its filter
        for place in range(len(rows)):
            changed = rows[:place] + bytes([rows[place] ^ 4]) + rows[place + 1 :]
            variant = content[: start - 8] + chunk(b"IDAT", zlib.compress(changed)) + content[start + length + 4 :]
            found, due = runtime.plain_png(variant), by_pillow(variant)
            assert (found and found.tobytes()) == (due and due.tobytes())
            taken, refused = taken + (found is not None), refused + (found is None)
        for place in range(8, len(content)):
            for change in (1, 0x80):
                damaged = bytearray(content)
                damaged[place] ^= change
                variants = [bytes(damaged)]
                if start <= place < start + length:
                    data = bytes(damaged[start : start + length])
                    variants.append(content[: start - 8] + chunk(b"IDAT", data) + content[start + length + 4 :])
                if 16 <= place < 29:
                    variants.append(content[:8] + chunk(b"IHDR", bytes(damaged[16:29])) + content[33:])
                for variant in variants:
                    found = runtime.plain_png(variant)
                    if found is not None:
                        due = by_pillow(variant)
                        assert due is not None and (due.mode, due.size) == (found.mode, found.size)
                        assert due.tobytes() == found.tobytes(), place
    assert taken > 400 and refused > 10  # other pixels and filters, filters that do not exist


def test_pixels_split_over_chunks_and_more_than_are_due() -> None:
    image = pixels(2, "RGB")
    content = png(image)
    start = content.index(b"IDAT") + 4
    data = content[start : start + int.from_bytes(content[start - 8 : start - 4], "big")]
    for pieces in ([data[:5], data[5:40], b"", data[40:]], [data, b"more"], [data[:-1]], [data[: len(data) // 2]]):
        variant = content[:33] + b"".join(chunk(b"IDAT", piece) for piece in pieces) + chunk(b"IEND", b"")
        found, due = runtime.plain_png(variant), by_pillow(variant)
        assert found is None or (due is not None and found.tobytes() == due.tobytes() == image.tobytes())


def test_small_and_large_files_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    colour = pixels(3, "RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, options in (("a.png", {}), ("b.jpg", {"exif": exif}), ("c.tiff", {}), ("d.webp", {"lossless": True})):
        colour.save(tmp_path / name, **options)
    (tmp_path / "e.png").write_bytes((tmp_path / "a.png").read_bytes()[:-30])
    (tmp_path / "f.tiff").write_bytes((tmp_path / "c.tiff").read_bytes()[:-30])

    def read(name: str) -> Any:
        try:
            image = runtime.read_image(tmp_path / name, 3)
        except ValueError as error:
            return str(error)
        return image.size, image.tobytes()

    names = [f"{stem}.{end}" for stem, end in zip("abcdef", ["png", "jpg", "tiff", "webp", "png", "tiff"], strict=True)]
    small = [read(name) for name in names]
    monkeypatch.setattr(runtime, "SMALL_FILE", 0)
    assert [read(name) for name in names] == small
    assert small[0] == (colour.size, colour.tobytes()) and small[1][0] == colour.size[::-1]
    assert all(isinstance(each, str) for each in small[4:])
