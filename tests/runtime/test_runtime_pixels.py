"""The pixels of an image are the same whatever Pillow is installed: `zoo.runtime` scales along the width first, then
along the height."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from packaging.requirements import Requirement
from PIL import Image

from zoo import runtime

GOLDEN = {
    "cover bilinear L": "d1f34483a3b7dd221113e98a2a1e4e7f",
    "cover bilinear RGB": "e84ecaaa983c44739a2c7a80d5f3d643",
    "cover bicubic L": "7005214056baed74b15b574b2f8a7559",
    "cover bicubic RGB": "ddbffbac80fbefab955ddc0133441409",
    "scale bilinear L": "24bf6587702df9c4dcc906601aa9b8a9",
    "scale bilinear RGB": "00de8fc09d0ce2757fc2a1ae33137c26",
    "scale bicubic L": "a2ede62ab9bd6f3d25c3351cf728e7b3",
    "scale bicubic RGB": "3d6cbc7ee84c93d2d6a796faef0150a0",
    "squash bilinear L": "866ba29252cc3518a0f027dd90448698",
    "squash bilinear RGB": "0d865b53b993137f41f565f41c2dc8b0",
    "squash bicubic L": "557916874d7b6c3464a55fb5591aa4c2",
    "squash bicubic RGB": "c4dc030a3a11169740d24d1f4d6969d8",
    "sixteen.png": "166717db25b08004fa0205d191971bbf",
    "turned.png": "bad8a819a752a0ea49cf89cf94724135",
    "whole.tif": "166717db25b08004fa0205d191971bbf",
    "float.tif": "07160399e6d5c29ac31ac106d34da89c",
    "turned.tif": "bad8a819a752a0ea49cf89cf94724135",
}
"""Of `tests/runtime/golden_pixels.py`, the same with pillow 9.1.1, 9.5.0, 10.1.0, 11.0.0, 12.0.0, 12.3.0 and 13.0.0."""

SCRIPT = Path(__file__).with_name("golden_pixels.py")


def test_the_pixels_are_those_of_every_supported_pillow() -> None:
    assert pixels_of({}) == {"pillow": PIL.__version__, "digests": GOLDEN}


@pytest.mark.slow
def test_the_oldest_supported_pillow_gives_the_same_pixels(tmp_path: Path) -> None:
    oldest = oldest_supported("pillow")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(tmp_path / "site"),
        f"pillow=={oldest}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"pillow {oldest} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")
    assert pixels_of({"PYTHONPATH": str(tmp_path / "site")}) == {"pillow": oldest, "digests": GOLDEN}


def pixels_of(environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, **environment}
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def oldest_supported(package: str) -> str:
    from importlib import metadata

    found = next(need for text in metadata.requires("torch-zoo") or () if (need := Requirement(text)).name == package)
    (version,) = (each.version for each in found.specifier if each.operator == ">=")
    return f"{version}.0" if version.count(".") == 1 else version


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_is_scaled_along_its_width_and_then_along_its_height(interpolation: str, mode: str) -> None:
    """The other implementation: antialiased interpolation in whole numbers, written here with numpy."""
    numbers = np.random.default_rng(3)
    for _ in range(40):
        height, width, tall, wide = (int(side) for side in numbers.integers(1, 120, 4))
        pixels = numbers.integers(0, 256, (height, width) if mode == "L" else (height, width, 3), dtype=np.uint8)
        found = np.asarray(runtime.resize(Image.fromarray(pixels), (wide, tall), runtime.RESAMPLING[interpolation]))
        along_width = interpolated(pixels.swapaxes(0, 1), wide, interpolation).swapaxes(0, 1)
        assert np.array_equal(found, interpolated(along_width, tall, interpolation)), (height, width, tall, wide)


def interpolated(pixels: np.ndarray, count: int, interpolation: str) -> np.ndarray:
    """uint8 (N, …) → uint8 (count, …): each a weighted sum along the first axis, with weights of 22 binary places."""
    if count == len(pixels):
        return pixels
    step = len(pixels) / count
    stretch = max(step, 1.0)
    reach = {"bilinear": 1.0, "bicubic": 2.0}[interpolation] * stretch
    out = np.empty((count, *pixels.shape[1:]), np.uint8)
    for place in range(count):
        centre = (place + 0.5) * step
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), len(pixels))
        weights = np.array(
            [kernel((position - centre + 0.5) / stretch, interpolation) for position in range(first, last)]
        )
        whole = np.trunc(weights / sum(weights) * 2**22 + np.copysign(0.5, weights)).astype(np.int64)
        total = np.tensordot(whole, pixels[first:last].astype(np.int64), 1) + 2**21
        out[place] = np.clip(total >> 22, 0, 255)
    return out


def kernel(distance: float, interpolation: str) -> float:
    """The triangle; and Keys' cubic convolution with a = -0.5 (IEEE Trans. ASSP 29, 1981)."""
    x = abs(distance)
    if interpolation == "bilinear":
        return max(0.0, 1.0 - x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 if x < 2 else 0.0


def test_every_way_to_a_size_scales_by_the_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's own resize is never asked to change both sides at once, in whatever order it would."""
    sizes = []
    own = Image.Image.resize

    def recorded(image: Image.Image, size: tuple[int, int], *arguments: object) -> Image.Image:
        sizes.append((image.size, size))
        return own(image, size, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Image.Image, "resize", recorded)
    image = Image.new("RGB", (90, 1000))
    for spec in ({"resize": runtime.COVER}, {"resize": runtime.COVER, "scale": 64}, {"resize": runtime.SQUASH}):
        runtime.fit(image, {"height": 48, "width": 56, "interpolation": "bilinear", **spec})
    assert len(sizes) == 6
    assert all(before[0] == after[0] or before[1] == after[1] for before, after in sizes)
