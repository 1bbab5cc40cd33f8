"""Training a compressed network on: a run at a share of its layers' bytes, as it comes out, and after some epochs,
taught by the original.

    ZOO_DATA=… python benchmarks/svd_finetune.py RUN [--budget 0.25] [--epochs 2] [--lr 0.01] [--seeds 0]
        [--out benchmarks/results/svd_finetune.json]

RUN is a finished run, whose other settings of training hold again. Both come from `zoo run svd_compress`; accuracies
are of the test split, in points, bytes of the exported files.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

from _record import write_result

import zoo
from zoo.reporting.console import Console
from zoo.runs.run_directory import find


def compressed(run: str, out: Path, budget: float, seed: int, train: dict[str, Any]) -> dict[str, Any]:
    task = {"budget": budget, "curve": [], "finetune": bool(train)}
    overrides = {"weights": run, "task": task, "seed": seed, **({"train": train} if train else {})}
    result = zoo.run("svd_compress", overrides=overrides, out=out, console=Console())
    with (out / "compression.csv").open(newline="") as stream:
        table = {row[""]: row for row in csv.DictReader(stream)}
    size = next(row for name, row in table.items() if name.endswith("bytes of the file"))
    return {
        "accuracy": 100 * result.metrics["accuracy"],
        "share_of_the_file": float(size["share"]),
        "seconds": result.record.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--budget", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "svd_finetune.json")
    asked = parser.parse_args()
    original, before = find(asked.run).record, find(asked.run).config.train.model_dump(mode="json")
    train = {**before, "epochs": asked.epochs, "lr": asked.lr, "batch_size": asked.batch_size, "warmup_epochs": 0.0}
    with tempfile.TemporaryDirectory() as folder:
        bare = compressed(asked.run, Path(folder) / "bare", asked.budget, asked.seeds[0], {})
        tuned = [
            compressed(asked.run, Path(folder) / f"tuned-{seed}", asked.budget, seed, train) for seed in asked.seeds
        ]
    accuracy = 100 * original.results["test"]["accuracy"]
    print(
        f"{original.label}: {accuracy:.2f} %; at {asked.budget:.0%} {bare['accuracy']:.2f} %, after {asked.epochs} "
        "epochs",
        end=" ",
    )
    print(", ".join(f"{each['accuracy']:.2f} %" for each in tuned))
    write_result(
        asked.out,
        {
            "recipe": original.label,
            "original": accuracy,
            "budget": asked.budget,
            "train": train,
            "seeds": asked.seeds,
            "bare": bare,
            "tuned": tuned,
        },
    )


if __name__ == "__main__":
    main()
