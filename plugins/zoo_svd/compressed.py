"""Compressed images: a safetensors file of the factors as 8-bit integers with a scale per component.

√σ is split between the sides: L = U·√Σ (m×k) and R = √Σ·Vᵀ (k×n), so that both sides of a component span the same
range. Each component of each side is rounded to -127 … 127 steps of its own scale, a float32. 600×1200 at rank 120 are
217,440 bytes, where float32 factors are 864,000 and the image itself is 720,000.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from zoo.errors import DataError
from zoo.plugin import check_regular, write_bytes
from zoo_svd.factors import Factors

STEPS = 127
FORMAT = "zoo-svd-picture"
"""Written into files, which later versions must read: it keeps its first name."""


@dataclass(frozen=True)
class Compressed:
    """``left`` int8 (m, k), ``right`` int8 (k, n), and for each component a step of either side, float32 (k,)."""

    left: np.ndarray
    right: np.ndarray
    left_step: np.ndarray
    right_step: np.ndarray
    channels: int

    @property
    def rank(self) -> int:
        return len(self.left_step)

    @property
    def bytes(self) -> int:
        """Of the numbers alone; the file has a header of some 400 bytes beside."""
        return self.left.nbytes + self.right.nbytes + self.left_step.nbytes + self.right_step.nbytes

    def at(self, rank: int | None = None) -> np.ndarray:
        """The matrix of a rank, the whole by default: float32 (m, n)."""
        k = self.rank if rank is None else rank
        return np.asarray((self.left[:, :k] * self.left_step[:k]) @ (self.right[:k] * self.right_step[:k, None]))

    def first(self, rank: int) -> Compressed:
        """The largest ``rank`` components of these."""
        return Compressed(
            self.left[:, :rank], self.right[:rank], self.left_step[:rank], self.right_step[:rank], self.channels
        )


def compress(factors: Factors, rank: int, channels: int) -> Compressed:
    u, vt = factors.orthonormal()
    root = np.sqrt(factors.values[:rank]).astype(np.float32)
    left, left_step = _rounded((u[:, :rank] * root).T)
    right, right_step = _rounded(vt[:rank] * root[:, None])
    return Compressed(np.ascontiguousarray(left.T), right, left_step, right_step, channels)


def _rounded(components: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k, length) → int8 (k, length) and a step for each row, float32 (k,)."""
    step = np.abs(components).max(1) / STEPS
    step[step == 0] = 1
    return np.rint(components / step[:, None]).astype(np.int8), step.astype(np.float32)


def write(file: Path, image: Compressed) -> None:
    """As safetensors, in one step."""
    names = ("left", "right", "left_step", "right_step")
    tensors = {name: np.ascontiguousarray(getattr(image, name)) for name in names}
    write_bytes(file, save(tensors, {"format": FORMAT, "channels": str(image.channels)}))


def read(file: Path) -> Compressed:
    """Raises DataError where this is no such file."""
    try:
        check_regular(file)
        with safe_open(file, framework="numpy") as opened:
            facts = opened.metadata() or {}
            if facts.get("format") != FORMAT:
                raise DataError(
                    "this file is not a compressed image",
                    where=file,
                    fix="use a file that `zoo run svd_image` wrote (compressed/…)",
                )
            found = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # it is no mapping
            image = Compressed(
                found["left"], found["right"], found["left_step"], found["right_step"], int(facts["channels"])
            )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(
            f"the compressed image cannot be read: {error}", where=file, fix="check the path, or restore the file"
        ) from error
    _check(image, file)
    return image


def _check(image: Compressed, file: Path) -> None:
    rank, sides = image.rank, (image.left, image.right)
    fits = (
        all(side.dtype == np.int8 and side.ndim == 2 for side in sides)
        and image.left.shape[1] == len(image.right) == rank
    )
    steps = np.concatenate([image.left_step, image.right_step])
    if (
        not fits
        or image.right.shape[1] % image.channels
        or image.right_step.shape != (rank,)
        or not np.isfinite(steps).all()
    ):
        raise DataError(
            "the compressed image is damaged: the shapes of its tensors do not match",
            where=file,
            fix="restore the file",
        )
