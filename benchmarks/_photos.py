"""Photographs in folders of classes, and weights, for the benchmarks that read image files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog")


def photographs(target: Path, count: int, *, tiny: bool) -> Path:
    """Put ``count`` photographs into a folder for each class, and return ``target``: the first training images of
    ``datasets/catdog`` in ZOO_DATA, of each class in turn; with ``tiny``, random images, which need no data."""
    if tiny:
        return _random_images(target, count)
    from zoo.data.data_folder import Store
    from zoo.data.open_dataset import open_dataset
    from zoo.data.targets import describe_target
    from zoo.registry.lookup import registry

    dataset = open_dataset(registry().dataset("catdog"), {"split_seed": 0}, Store(download=False))
    split = dataset.load("train")
    if len(split.images) < count:
        raise SystemExit(f"datasets/catdog has {len(split.images)} training images; {count} are needed")
    for index in range(count):
        label = describe_target(dataset.target, split.targets[index])
        place = target / label / f"{index:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(split.images[index], place)
    return target


def _random_images(target: Path, count: int) -> Path:
    """JPEG files of 320×240; the classes differ in colour, so that a network can learn them."""
    draw = np.random.default_rng(0)
    for index in range(count):
        name = CLASSES[index % len(CLASSES)]
        coarse = draw.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        coarse[..., 0] //= 1 + 3 * (index % len(CLASSES))
        place = target / name / f"{index:05d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC).save(place, quality=90)
    return target


def random_weights(folder: Path) -> Path:
    """Write random weights of torchvision's SqueezeNet 1.1, and return the file."""
    from safetensors.torch import save_file
    from torchvision.models import squeezenet1_1

    save_file(squeezenet1_1().state_dict(), folder / "squeezenet1_1.safetensors")
    return folder / "squeezenet1_1.safetensors"
