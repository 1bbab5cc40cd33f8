"""A photograph of 600×400×3 rebuilt at two ranks: zoo's factorisation against the usual lines of numpy.

    python benchmarks/svd_speed.py [--turns 15] [--runs 5] [--out benchmarks/results/svd_speed.json]

Of numpy: `numpy.linalg.svd` of the 600×1200 matrix with full matrices, then U·diag(S)·Vᵀ for each rank (60
and 120). Ours: `factorise` once, then both ranks. Both start from the same uint8 matrix. Each lives in a process of its
own, since the threads of numpy's library and of torch's would get into each other's way, and waits while the other has
its turn: WARM_UP seconds untimed (the other's threads still spin at first), then RUNS runs timed. The speed-up is
the median over the turns of the ratio within a turn. The quality of each is compared with the other's, after clipping,
in dB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from _record import write_result
from zoo_svd.factors import factorise
from zoo_svd.images import as_image
from zoo_svd.quality import psnr

from zoo.data.open_dataset import open_dataset
from zoo.registry.lookup import registry

RANKS = (60, 120)
WARM_UP = 0.3


def report_lines(matrix: np.ndarray) -> list[np.ndarray]:
    u, s, vt = np.linalg.svd(matrix)
    return [u[:, :k].dot(np.diag(s[:k])).dot(vt[:k]) for k in RANKS]


def ours(matrix: np.ndarray) -> list[np.ndarray]:
    return list(factorise(matrix, RANKS[-1]).each(RANKS))


def photographs() -> dict[str, np.ndarray]:
    """uint8 (600, 400, 3) by name."""
    images = open_dataset(registry().dataset("photos"), {"size": [600, 400]}).load("photos")
    found = zip(images.names or (), images.images, strict=True)
    return {photo: np.ascontiguousarray(np.asarray(image).transpose(1, 2, 0)) for photo, image in found}


def serve(line: Connection, work: Callable[[np.ndarray], list[np.ndarray]]) -> None:
    """Answer (photo, runs) with the seconds of each run and the quality reached, until None is asked."""
    originals = photographs()
    while (asked := line.recv()) is not None:
        photo, runs = asked
        original = originals[photo]
        matrix = original.reshape(len(original), -1)
        seconds: list[float] = []
        warm = time.perf_counter() + WARM_UP
        while len(seconds) < runs:
            began = time.perf_counter()
            rebuilt = work(matrix)
            if began > warm:
                seconds.append(time.perf_counter() - began)
        line.send({"seconds": seconds, "psnr_db": [psnr(as_image(each, 3), original) for each in rebuilt]})


def started(work: Callable[[np.ndarray], list[np.ndarray]]) -> Connection:
    context = multiprocessing.get_context("spawn")
    line, other = context.Pipe()
    context.Process(target=serve, args=(other, work), daemon=True).start()
    return line


def figures(turns: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    ratios = [
        statistics.median(turn["report"]["seconds"]) / statistics.median(turn["ours"]["seconds"]) for turn in turns
    ]
    return {
        "medians": {
            name: statistics.median(each for turn in turns for each in turn[name]["seconds"]) for name in turns[0]
        },
        "psnr_db": {name: told["psnr_db"] for name, told in turns[0].items()},
        "speedup": statistics.median(ratios),
        "speedup_quartiles": statistics.quantiles(ratios, n=4)[::2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "svd_speed.json")
    asked = parser.parse_args()
    lines = {"report": started(report_lines), "ours": started(ours)}
    turns: dict[str, list[dict[str, dict[str, Any]]]] = {photo: [] for photo in photographs()}
    for _ in range(asked.turns):
        for photo, found in turns.items():
            turn = {}
            for name, line in lines.items():
                line.send((photo, asked.runs))
                turn[name] = line.recv()
            found.append(turn)
    for line in lines.values():
        line.send(None)
    result: dict[str, Any] = {"turns": asked.turns, "runs": asked.runs, "ranks": RANKS, "images": {}}
    for photo, found in turns.items():
        told = result["images"][photo] = figures(found)
        medians, (low, high) = told["medians"], told["speedup_quartiles"]
        print(
            f"{photo}: {medians['report'] * 1e3:.1f} ms / {medians['ours'] * 1e3:.1f} ms, {told['speedup']:.1f} times "
            f"({low:.1f} to {high:.1f}), PSNR {told['psnr_db']}"
        )
    write_result(asked.out, result)


if __name__ == "__main__":
    main()
