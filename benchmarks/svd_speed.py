"""A photograph of 600×400×3 rebuilt at two ranks: the zoo's factorisation against the course report's lines.

    python benchmarks/svd_speed.py [--runs 15] [--out benchmarks/results/svd_speed.json]

The report's lines: `numpy.linalg.svd` of the 600×1200 matrix with full matrices, then U·diag(S)·Vᵀ for each rank (60 and 120). Ours: `factorise`
once, then both ranks. The two take turns, each in a process of its own, since the threads of numpy's library and of torch's would get into each
other's way. The quality of each is compared with the other's, after clipping, in dB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _record import write_result
from zoo_svd.factors import factorise
from zoo_svd.pictures import arranged, as_matrix, as_picture
from zoo_svd.quality import psnr

from zoo.data import open_dataset
from zoo.registry import registry

RANKS = (60, 120)


def report_lines(matrix: np.ndarray) -> list[np.ndarray]:
    u, s, vt = np.linalg.svd(matrix)
    return [u[:, :k].dot(np.diag(s[:k])).dot(vt[:k]) for k in RANKS]


def ours(matrix: np.ndarray) -> list[np.ndarray]:
    return list(factorise(matrix, RANKS[-1]).each(RANKS))


def side(name: str, runs: int) -> dict[str, Any]:
    """Seconds of each of ``runs`` and the quality reached, for every photograph, in this process."""
    pictures = open_dataset(registry().dataset("photos"), {}).load("photos")
    found = {}
    for photo, picture in zip(pictures.names or (), pictures.images, strict=True):
        cut = arranged(np.asarray(picture), (600, 400), photo)
        original, wide = as_picture(as_matrix(cut), 3), cut.transpose(1, 2, 0).reshape(600, 1200)  # uint8, as the report has it
        work, matrix = (report_lines, wide) if name == "report" else (ours, as_matrix(cut))
        seconds = []
        rebuilt = work(matrix)
        for _ in range(runs):
            started = time.perf_counter()
            rebuilt = work(matrix)
            seconds.append(time.perf_counter() - started)
        found[photo] = {"seconds": seconds, "psnr_db": [psnr(as_picture(each, 3), original) for each in rebuilt]}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "svd_speed.json")
    parser.add_argument("--side", choices=("report", "ours"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(side(asked.side, asked.runs)))
        return
    turns: dict[str, list[dict[str, Any]]] = {"report": [], "ours": []}
    for _ in range(asked.turns):
        for name, found in turns.items():
            told = subprocess.run([sys.executable, __file__, "--side", name, "--runs", str(asked.runs)], capture_output=True, text=True, check=True)
            found.append(json.loads(told.stdout))
    result: dict[str, Any] = {"turns": asked.turns, "runs": asked.runs, "ranks": RANKS, "pictures": {}}
    for photo in turns["ours"][0]:
        medians = {name: statistics.median(each for turn in found for each in turn[photo]["seconds"]) for name, found in turns.items()}
        quality = {name: found[0][photo]["psnr_db"] for name, found in turns.items()}
        result["pictures"][photo] = {"medians": medians, "psnr_db": quality, "speedup": medians["report"] / medians["ours"]}
        print(
            f"{photo}: {medians['report'] * 1e3:.1f} ms / {medians['ours'] * 1e3:.1f} ms = {medians['report'] / medians['ours']:.1f}, PSNR {quality}"
        )
    write_result(asked.out, result)


if __name__ == "__main__":
    main()
