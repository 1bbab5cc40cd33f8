"""`cnn_digits` over ten seeds: the figure that its recipe states.

python benchmarks/digits_accuracy.py [--seeds 10] [--out benchmarks/results/digits_accuracy.json]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from _record import write_result

import zoo
from zoo.reporting.console import Console


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--set", dest="lr", type=float, default=None, help="another learning rate, to compare")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "digits_accuracy.json")
    asked = parser.parse_args()
    found, seconds = [], []
    for seed in range(asked.seeds):
        overrides = {"seed": seed, "device": "cpu"} | ({"train": {"lr": asked.lr}} if asked.lr else {})
        with tempfile.TemporaryDirectory() as folder:
            result = zoo.run("cnn_digits", overrides=overrides, out=Path(folder) / "run", console=Console(quiet=True))
        found.append(result.metrics["accuracy"])
        seconds.append(result.record.seconds or 0.0)
    figures = {
        "mean": statistics.fmean(found),
        "sd": statistics.stdev(found),
        "lowest": min(found),
        "median_seconds": statistics.median(seconds),
    }
    write_result(asked.out, {"seeds": asked.seeds, "cnn_digits": figures, "accuracies": found})
    print(figures)


if __name__ == "__main__":
    main()
