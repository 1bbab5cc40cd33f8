"""`zoo predict` on many small images: this checkout against another one, and decoding in threads against processes.

    ZOO_DATA=… python benchmarks/predict_many.py OTHER_CHECKOUT [--images 10000] [--rounds 5] [--out FILE]

The images are MNIST's test images as PNG files, the model is exports/published/cnn_mnist. Each time is of a process of
its own, `zoo predict BUNDLE FOLDER --csv FILE` with the answers in a file, and of the two checkouts in turn. From it
the time of the same command on one image is subtracted, which is mostly spent on imports. The tables and the answers
must have the same bytes. The time of the processor, which other work on the machine disturbs less, is that of all
threads of the process. In this checkout, the inputs of all batches are then made in one thread, in threads and in
processes, without a model; the processes are started before, which a command would have to wait for.
"""

from __future__ import annotations

import argparse
import gzip
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from _record import write_result
from epoch_against import metadata_of
from PIL import Image

from zoo import runtime
from zoo.support.paths import data_root

HERE = Path(__file__).resolve().parents[1]
BUNDLE = HERE / "exports" / "published" / "cnn_mnist"
PREDICT = "import sys; from zoo.cli.app import run_cli; sys.exit(run_cli(sys.argv[1:]))"


def write_images(folder: Path, count: int) -> list[Path]:
    pixels = gzip.decompress((data_root() / "MNIST" / "raw" / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    files = [folder / f"{index:05d}.png" for index in range(count)]
    for index, file in enumerate(files):
        Image.fromarray(images[index % len(images)]).save(file)
    return files


def cost(work: Callable[[], Any], who: int = resource.RUSAGE_SELF) -> dict[str, float]:
    """Seconds on the clock, and of the processor."""
    before, started = resource.getrusage(who), time.perf_counter()
    work()
    after, wall = resource.getrusage(who), time.perf_counter() - started
    return {"wall": wall, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def predict(checkout: Path, metadata: Path, images: Path, out: Path) -> tuple[dict[str, float], tuple[bytes, bytes]]:
    """What one command costs, and its table and answers."""
    path = os.pathsep.join(map(str, (metadata, checkout, checkout / "plugins")))
    table = out / "table.csv"
    command = [sys.executable, "-c", PREDICT, "predict", str(BUNDLE), str(images), "--csv", str(table)]
    with (out / "answers.txt").open("wb") as answers:
        env = {**os.environ, "PYTHONPATH": path}
        spent = cost(
            lambda: subprocess.run(command, stdout=answers, stderr=subprocess.PIPE, check=True, env=env, cwd=out),
            resource.RUSAGE_CHILDREN,
        )
    return spent, (table.read_bytes(), (out / "answers.txt").read_bytes())


def against(other: Path, images: Path, rounds: int, count: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {"this": [], "other": []}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        sides = {
            side: (checkout, metadata_of(checkout, work / side))
            for side, checkout in (("this", HERE), ("other", other.resolve()))
        }
        for turn in range(rounds):
            written = {}
            for side in sides if turn % 2 else reversed(sides):
                start, _ = predict(*sides[side], next(images.iterdir()), work)
                whole, written[side] = predict(*sides[side], images, work)
                spent = {kind: whole[kind] - start[kind] for kind in whole}
                found[side].append({**spent, "start_wall": start["wall"], "start_cpu": start["cpu"]})
                print(f"{side}: {spent['wall']:.2f} s, {spent['cpu']:.2f} s of the processor", flush=True)
            if written["this"] != written["other"]:
                raise SystemExit("the two checkouts answer differently")
    ratios = {
        kind: statistics.median(b[kind] / a[kind] for a, b in zip(found["this"], found["other"], strict=True))
        for kind in ("wall", "cpu")
    }
    rates = {side: count / statistics.median(each["wall"] for each in costs) for side, costs in found.items()}
    best = {kind: min(b[kind] for b in found["other"]) / min(a[kind] for a in found["this"]) for kind in ratios}
    print(f"{rates['this']:,.0f} images/s against {rates['other']:,.0f}: {ratios}, of the best times {best}")
    return {"seconds": found, "images_per_second": rates, "other_by_this": ratios, "best_other_by_this": best}


def make_inputs(files: Sequence[Path], spec: dict[str, Any], pool: Executor | None) -> None:
    chunks = [files[start : start + runtime.CHUNK] for start in range(0, len(files), runtime.CHUNK)]
    for _ in (pool.map if pool else map)(runtime.prepare_chunk, chunks, [spec] * len(chunks)):
        pass


def ways_to_decode(files: Sequence[Path], rounds: int) -> dict[str, Any]:
    spec, cores = runtime.read_index(BUNDLE)["description"]["input"], os.cpu_count() or 1
    found: dict[str, list[dict[str, float]]] = {"one thread": [], "threads": [], "processes": []}
    with ThreadPoolExecutor(cores) as threads, ProcessPoolExecutor(cores, get_context("spawn")) as processes:
        pools = {"one thread": None, "threads": threads, "processes": processes}
        make_inputs(files[:100], spec, processes)
        for _ in range(rounds):
            for name, pool in pools.items():
                found[name].append(cost(lambda pool=pool: make_inputs(files, spec, pool)))  # type: ignore[misc]
    medians = {name: statistics.median(each["wall"] for each in costs) for name, costs in found.items()}
    print("inputs alone: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in medians.items()))
    return {"workers": cores, "seconds": found, "median_wall": medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "benchmarks" / "results" / "predict_many.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files = write_images(Path(name), asked.images)
        facts = {
            "images": asked.images,
            "load_average": os.getloadavg(),
            "zoo_predict": against(asked.other, Path(name), asked.rounds, asked.images),
            "inputs": ways_to_decode(files, asked.rounds),
        }
    write_result(asked.out, facts)


if __name__ == "__main__":
    main()
