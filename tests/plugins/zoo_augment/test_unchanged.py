"""What a seed means does not change: digests of augmented images, as the kernels before contract 2.0 made them.

Bytes are compared to the bit; of floats, whose last bits depend on the processor, a weighted sum is.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from zoo.config.augmentation_options import canonical
from zoo.data.augmentation import Augmenter

KNOWN = {
    '["flip"]': "727ff716bcef527e",
    '[{"flip": {"axis": "vertical", "p": 0.3}}]': "512af24784ea0461",
    '["shift"]': "8bad86eed47e8383",
    '["crop"]': "d7180c5ce0c89a7b",
    '[{"crop": {"padding": 3, "fill": "reflect"}}]': "679055663d45718c",
    '["flip", {"crop": 4}]': "df5b18869ad47fed",
    '["rotate"]': 10581830.954,
    '["resized_crop"]': 11247986.946,
    '["color_jitter"]': 10808041.352,
    '[{"color_jitter": {"hue": 0.3}}]': 10748938.437,
    '["pca_noise"]': 11231997.315,
    '[{"erase": {"p": 1.0}}]': 10897508.596,
    '["trivial_augment"]': 9113494.142,
    '["flip", {"crop": 2}, {"rotate": 10}, "color_jitter", "pca_noise", "erase", "trivial_augment", "resized_crop", "shift"]': 8257782.24,  # noqa: E501
}


def augmented(specification: list[object]) -> np.ndarray:
    images = torch.from_numpy(np.random.default_rng(17).integers(0, 256, (300, 3, 17, 23), dtype=np.uint8))
    rows = np.arange(0, 300, 2)
    augmenter = Augmenter(canonical(specification), 5, images, (0.3, 0.4, 0.5))
    return augmenter.of_epoch(3)(images[torch.from_numpy(rows)], rows).numpy()


def digest(found: np.ndarray) -> str | float:
    if found.dtype == np.uint8:
        return hashlib.sha256(np.ascontiguousarray(found).tobytes()).hexdigest()[:16]
    weights = np.random.default_rng(1).random(found.shape)
    return round(float((found.astype(np.float64) * weights).sum()), 3)


@pytest.mark.parametrize("specification", KNOWN)
def test_a_seed_gives_the_images_that_it_always_gave(specification: str) -> None:
    found, known = digest(augmented(json.loads(specification))), KNOWN[specification]
    assert found == known if isinstance(known, str) else found == pytest.approx(known, rel=1e-7)
