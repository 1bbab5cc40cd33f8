"""The conformance kit on augmentations: each way to break their contract is named by its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

SPEC = """
from zoo.api import AugmentationSpec, hookimpl

@hookimpl
def zoo_register_augmentations():
    return [AugmentationSpec(name="dim", summary="Make images darker.", target="zoo_odd_parts:Odd")]
"""
DIM = """
import random
import torch
from torch import Tensor
from zoo.api import Augmentation

class Dim(Augmentation):
    draws = 1

    def pixels(self, images, draws):
        return images * draws[:, :1, None, None]

class Shift(Augmentation):
    draws = 1

    def geometry(self, draws, sizes):
        maps = torch.eye(2, 3).repeat(len(draws), 1, 1)
        maps[:, 0, 2] = (draws[:, 0] - 0.5) * sizes[:, 1]
        return maps

class Odd({base}):
    {twist}
"""


def dim(twist: str = "pass", base: str = "Dim") -> str:
    return DIM.replace("{twist}", twist.replace("\n", "\n    ")).replace("{base}", base)


@pytest.mark.parametrize("base", ["Dim", "Shift"])
def test_a_sound_augmentation_has_no_faults(odd: Odd, base: str) -> None:
    assert odd(SPEC, dim(base=base)) == []


GEOMETRY = "def geometry(self, draws, sizes): "
PIXELS = "def pixels(self, images, draws): "


@pytest.mark.parametrize(
    ("parts", "check", "fault"),
    [
        (dim(base="dict"), "build", "returns Odd, expected zoo.api.Augmentation"),
        (dim("draws = 1.5"), "build", "draws is 1.5, expected an integer"),
        (dim("def fit(self, images, mean): 1 / 0"), "build", "raised ZeroDivisionError"),
        (dim("def fit(self, images, mean): images.zero_()"), "arguments", "fit modifies its arguments"),
        (dim("def fit(self, images, mean): mean.append(1)"), "arguments", "fit modifies its arguments"),
        (dim(f"{PIXELS}return images.mul_(0)"), "arguments", "pixels modifies its arguments"),
        (dim(f"{PIXELS}return images * draws.zero_()[:, :, None, None]"), "arguments", "pixels modifies its arguments"),
        (dim(f"{PIXELS}return images * 2.0"), "pixels", "expected 0 to 255"),
        (dim(f"{PIXELS}return images - 9.0 * draws[:, :, None, None]"), "pixels", "expected 0 to 255"),
        (dim(f"{PIXELS}return images / 0.0"), "pixels", "expected 0 to 255"),
        (
            dim(f"{PIXELS}return images[:, :, 1:]"),
            "pixels",
            "pixels returns (12, 1, 17, 24), expected images (12, 1, 18, 24)",
        ),
        (dim(f"{PIXELS}return None"), "pixels", "pixels returns NoneType, expected images (12, 1, 18, 24)"),
        (dim(f"{PIXELS}return images * draws[:, 1:2, None, None]"), "pixels", "pixels returns"),
        (
            dim(f"{PIXELS}return images * draws[:, :1, None, None] if images.is_floating_point() else images.frac()"),
            "pixels",
            "(images 1×18×24, uint8)",
        ),
        (
            dim(
                "def pixels(self, images, draws):\n"
                "    assert not (images.is_floating_point() and images.shape[1] == 3)\n"
                "    return super().pixels(images, draws)"
            ),
            "pixels",
            "raised AssertionError (images 3×18×24, float32)",
        ),
        (
            dim(f"{GEOMETRY}return torch.eye(2, 3)", "Shift"),
            "geometry",
            "geometry returns (2, 3), expected float32 (12, 2, 3)",
        ),
        (
            dim(f"{GEOMETRY}return torch.eye(2, 3).double().repeat(len(draws), 1, 1)", "Shift"),
            "geometry",
            "geometry returns torch.float64",
        ),
        (
            dim(f"{GEOMETRY}return torch.full((len(draws), 2, 3), torch.nan)", "Shift"),
            "geometry",
            "expected finite float32 values",
        ),
        (
            dim(
                "turn = 0\ndef geometry(self, draws, sizes):\n    self.turn += 1\n"
                "    return super().geometry(draws, sizes) if self.turn % 2 else None",
                "Shift",
            ),
            "geometry",
            "geometry returns None for some draws only",
        ),
        (
            dim(f"{GEOMETRY}return super().geometry(draws, sizes.mul_(2))", "Shift"),
            "arguments",
            "geometry modifies its arguments",
        ),
        (dim("def boxes(self, draws, sizes): return sizes", "Shift"), "geometry", "boxes returns (12, 2), expected"),
        (
            dim("def boxes(self, draws, sizes): return torch.cat([0 * sizes, sizes], 1)", "Shift"),
            "geometry",
            "boxes returns other parts of the images than geometry",
        ),
        (
            dim("n = 0\ndef boxes(self, draws, sizes):\n    self.n += 1\n    return None if self.n % 2 else sizes"),
            "geometry",
            "boxes returns None for some draws only",
        ),
        (dim("def resample(self, images, draws): return images"), "geometry", "it has resample but no geometry"),
        (
            dim("def resample(self, images, draws): return images[:, :, 1:]", "Shift"),
            "geometry",
            "resample returns (12, 1, 17, 24)",
        ),
        (
            dim("def resample(self, images, draws): return images.zero_()", "Shift"),
            "arguments",
            "resample modifies its arguments",
        ),
        (
            dim(f"{PIXELS}return images * torch.rand(len(images), 1, 1, 1)"),
            "draws",
            "the same images and draws give different results the second time",
        ),
        (dim(f"{PIXELS}return images * random.random()"), "draws", "the same images and draws give different results"),
        (
            dim(f"{PIXELS}return images * draws.mean()"),
            "draws",
            "the result for an image depends on the other images of its batch",
        ),
        (dim(f"{PIXELS}return images * 0.5"), "draws", "draws is 1, but the result does not depend on the draws"),
        (
            dim("def fit(self, images, mean): torch.set_default_dtype(torch.float64)"),
            "global_state",
            "changed torch's default dtype",
        ),
    ],
)
def test_each_fault_is_named(odd: Odd, parts: str, check: str, fault: str) -> None:
    found = odd(SPEC, parts)
    assert any(fault in line and line.check == f"augmentation/dim/{check}" for line in found), found
