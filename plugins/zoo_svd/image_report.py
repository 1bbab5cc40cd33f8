"""The report of ``svd_image``: rebuilt images at every rank, spectra, sizes compared with JPEG and WebP, factors and
denoising."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zoo.api import ReportItem
from zoo.plugin import plural, tracked, write_csv, write_image
from zoo_svd import compressed, drawing
from zoo_svd.factors import Factors, factorise, share, spectrum
from zoo_svd.images import as_image
from zoo_svd.quality import psnr, ssim

QUALITIES = (1, 3, 5, 8, 12, 20, 30, 40, 50, 60, 70, 80, 90, 95)
LONGEST = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels of the longest side that a format can have."""
POINTS = 14
"""Ranks along a curve."""


@dataclass(frozen=True)
class Denoised:
    """PSNR to the image without noise at each of ``ranks`` (all up to half of all), and the factors they come from."""

    ranks: range
    reached: list[float]
    factors: Factors

    @property
    def best(self) -> int:
        return self.ranks[int(np.argmax(self.reached))]


@dataclass
class Work:
    """One image: ``original`` uint8 (H, W, C), and the ``matrix`` that is factorised, float32 (H, W·C), with
    ``noise`` in it where asked for."""

    name: str
    original: np.ndarray
    matrix: np.ndarray
    channels: int
    ranks: tuple[int, ...]
    noise: float | None = None
    factors: Factors | None = None

    @property
    def seen(self) -> np.ndarray:
        """The image that is compressed, uint8 (H, W, C): with its noise, where there is any."""
        return self.original if self.noise is None else as_image(self.matrix, self.channels)

    @property
    def found(self) -> Factors:
        if self.factors is None:
            raise RuntimeError("the image was not factorised yet")
        return self.factors

    @property
    def stem(self) -> str:
        """A name for its files."""
        return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(self.name).stem)


def write_report(works: Sequence[Work], directory: Path) -> list[ReportItem]:
    """Images under ``directory``/plots and rebuilt/, files of factors under compressed/, and svd.csv."""
    plots = directory / "plots"
    for folder in (plots, directory / "rebuilt", directory / "compressed"):
        folder.mkdir(exist_ok=True)
    shown: list[ReportItem] = []
    rows = []
    for index, work in enumerate(
        tracked(works, f"drawing {plural(len(works), 'image')}, and what other formats make of them")
    ):
        while work.stem in {other.stem for other in works[:index]}:  # of one name, from other folders or formats
            work.name = f"{Path(work.name).stem}-{index}{Path(work.name).suffix}"
        denoised = None if work.noise is None else _denoise(work)
        rows += _rows(work, denoised)
        _write_files(work, directory)
        shown += drawn_items(work, denoised, plots)
    drawing.spectra(plots / "spectrum.png", {work.name: spectrum(work.matrix) for work in works}, works[0].ranks)
    noisy = works[0].noise is not None
    write_csv(directory / "svd.csv", (*COLUMNS, *(("best rank",) if noisy else ())), rows)
    told = (
        "JPEG and WebP are compared at the size of the 8-bit factors or below. Factors in float32 are four times as "
        "large."
    )
    if noisy:
        told = (
            "The noisy image is compressed, and the result is compared with the original. The best rank is marked. "
            f"{told}"
        )
    return [
        *shown,
        ReportItem(
            "Singular values",
            "plots/spectrum.png",
            "Singular values by index, and the fraction of the energy (sum of squares) that a rank leaves out.",
        ),
        ReportItem("Ranks", "svd.csv", told),
    ]


def _denoise(work: Work) -> Denoised:
    """The image without noise is known here, so that every rank can be compared with it."""
    largest = max(min(work.matrix.shape) // 2, work.ranks[-1])
    found, ranks = factorise(work.matrix, largest), range(1, largest + 1)
    return Denoised(
        ranks, [psnr(as_image(matrix, work.channels), work.original) for matrix in found.each(ranks)], found
    )


def drawn_items(work: Work, denoised: Denoised | None, plots: Path) -> list[ReportItem]:
    shown = _shown_bytes(work, plots) if denoised is None else _shown_noise(work, denoised, plots)
    drawing.heat_map(plots / f"factors-{work.stem}.png", work.found, work.name)
    told = (
        "Left singular vectors, singular values (logarithmic) and right singular vectors. The first vectors are "
        "coarse, later ones are finer."
    )
    return [*shown, ReportItem(f"{work.name}, factors", f"plots/factors-{work.stem}.png", told)]


def _shown_bytes(work: Work, plots: Path) -> list[ReportItem]:
    tiles = [(work.original, f"original\n{work.original.nbytes:,} bytes"), *(_tile(work, rank) for rank in work.ranks)]
    drawing.side_by_side(plots / f"rebuilt-{work.stem}.png", tiles, work.name)
    others = {name: [_coded(work, name, quality) for quality in QUALITIES] for name in LONGEST if _fits(work, name)}
    drawing.rates(plots / f"rate-{work.stem}.png", _curve(work), others, work.original.nbytes, work.name)
    told = "Quality over size. At the same quality, JPEG and WebP need far fewer bytes than singular vectors."
    return [
        ReportItem(
            f"{work.name}, reconstructed",
            f"plots/rebuilt-{work.stem}.png",
            "For each rank: energy kept, PSNR, SSIM and size of the 8-bit factors in bytes.",
        ),
        ReportItem(f"{work.name}, size", f"plots/rate-{work.stem}.png", told),
    ]


def _shown_noise(work: Work, denoised: Denoised, plots: Path) -> list[ReportItem]:
    """The best of all ranks, beside those asked for."""
    best, reached, noisy = denoised.best, denoised.reached, work.seen
    tiles = [(work.original, "original"), (noisy, f"noise of {work.noise:g}\n{psnr(noisy, work.original):.2f} dB")]
    tiles += [_tile(work, rank, denoised.factors) for rank in sorted({*work.ranks, best})]
    drawing.side_by_side(plots / f"rebuilt-{work.stem}.png", tiles, work.name)
    drawing.denoising(
        plots / f"denoised-{work.stem}.png", denoised.ranks, reached, psnr(noisy, work.original), work.name
    )
    told = (
        f"The best rank is {best}, with a PSNR of {max(reached):.2f} dB. Smaller ranks lose detail, and larger ranks "
        "keep noise."
    )
    return [
        ReportItem(
            f"{work.name}, reconstructed",
            f"plots/rebuilt-{work.stem}.png",
            "The original, the noisy image, and reconstructions from the noisy image.",
        ),
        ReportItem(f"{work.name}, denoised", f"plots/denoised-{work.stem}.png", told),
    ]


def _tile(work: Work, rank: int, found: Factors | None = None) -> tuple[np.ndarray, str]:
    """The image of a rank, and its title."""
    factors = found or work.found
    image, count = (
        as_image(factors.at(rank), work.channels),
        compressed.compress(factors, rank, work.channels).bytes,
    )
    quality = f"{psnr(image, work.original):.2f} dB, SSIM {ssim(image, work.original):.3f}"
    return image, f"rank {rank}, {share(factors.kept(rank))} of the energy\n{quality}\n{count:,} bytes in 8 bits"


def _rows(work: Work, denoised: Denoised | None) -> list[list[Any]]:
    """The image's lines of svd.csv: a rank each, the best one of a noisy image too."""
    if denoised is None:
        return [_row(work, work.found, rank) for rank in work.ranks]
    return [
        [*_row(work, denoised.factors, rank), "yes" if rank == denoised.best else ""]
        for rank in sorted({*work.ranks, denoised.best})
    ]


def _row(work: Work, factors: Factors, rank: int) -> list[Any]:
    exact = as_image(factors.at(rank), work.channels)
    small = compressed.compress(factors, rank, work.channels)
    rounded = as_image(small.at(), work.channels)
    beside = [_best_within(work, name, small.bytes) for name in LONGEST]
    return [
        work.name, rank, f"{factors.kept(rank):.6f}", f"{psnr(exact, work.original):.4f}",
        f"{ssim(exact, work.original):.4f}",
        4 * rank * sum(work.matrix.shape), small.bytes, f"{psnr(rounded, work.original):.4f}", work.original.nbytes,
        *beside,
    ]  # fmt: skip


COLUMNS = (
    "name", "rank", "energy", "psnr (dB)", "ssim", "bytes in float32", "bytes in 8 bits", "psnr in 8 bits (dB)",
    "bytes of the image",
    "JPEG of no more bytes, psnr (dB)", "WebP of no more bytes, psnr (dB)",
)  # fmt: skip


def _write_files(work: Work, directory: Path) -> None:
    for rank, matrix in zip(work.ranks, work.found.each(work.ranks), strict=True):
        pixels = as_image(matrix, work.channels)
        image = Image.fromarray(pixels.squeeze(-1) if work.channels == 1 else pixels)
        write_image(directory / "rebuilt" / f"{work.stem}-{rank}.png", image)
    compressed.write(
        directory / "compressed" / f"{work.stem}.safetensors",
        compressed.compress(work.found, work.ranks[-1], work.channels),
    )


def _curve(work: Work) -> list[dict[str, float]]:
    """Rank, bytes and quality at ranks up to half of all, from one factorisation."""
    largest = max(min(work.matrix.shape) // 2, work.ranks[-1])
    ranks = np.unique(np.geomspace(1, largest, POINTS).round().astype(int))
    factors = factorise(work.matrix, largest)
    points = []
    for rank, matrix in zip(ranks.tolist(), factors.each(ranks.tolist()), strict=True):
        small = compressed.compress(factors, rank, work.channels)
        points.append(
            {
                "rank": rank,
                "psnr": psnr(as_image(matrix, work.channels), work.original),
                "float_bytes": 4 * rank * sum(work.matrix.shape),
                "bytes": small.bytes,
                "rounded_psnr": psnr(as_image(small.at(), work.channels), work.original),
            }
        )
    return points


def _coded(work: Work, name: str, quality: int) -> tuple[int, float]:
    """Bytes of the image in a format of pillow's, and its PSNR to the original."""
    stream, pixels = io.BytesIO(), work.seen
    image = Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
    image.save(stream, name, quality=quality)
    count = stream.tell()
    stream.seek(0)
    with Image.open(stream) as opened:
        back = np.asarray(opened.convert(image.mode)).reshape(pixels.shape)
    return count, psnr(back, work.original)


def _fits(work: Work, name: str) -> bool:
    return bool(max(work.original.shape[:2]) <= LONGEST[name])


def _best_within(work: Work, name: str, count: int) -> str:
    """The PSNR of the best quality that takes no more bytes, as a cell of the table."""
    if not _fits(work, name):
        return "too large for it"
    low, high, best = 1, 100, "none so small"
    while low <= high:
        quality = (low + high) // 2
        taken, reached = _coded(work, name, quality)
        if taken <= count:
            best, low = f"{reached:.4f}", quality + 1
        else:
            high = quality - 1
    return best
