"""One MNIST epoch of this checkout against one of another, in turn: whether a change made training slower.

    ZOO_DATA=… python benchmarks/epoch_against.py OTHER_CHECKOUT [--recipe cnn_mnist] [--pairs 9] [--out FILE]

Each time is of a process of its own: one epoch that is not counted, then one that is, by `zoo_fit` of that checkout's
`benchmarks/_epoch.py`. The ratio is the median of the pairs' ratios; below 1 this checkout is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from _record import write_result

HERE = Path(__file__).resolve().parents[1]
EPOCH = """
import sys, tempfile
from pathlib import Path
import torch
from _epoch import open_data, registry, resolve, zoo_fit
plan = resolve(registry(), sys.argv[1], overrides={"device": "cpu", "train": {"epochs": 1}})
config = getattr(plan, "config", plan)  # an older checkout has the configuration alone
network = registry().architecture(config.architecture.name).spec
how = {"architecture": network} if config is plan else {"prepare": plan.prepare_images}
data = open_data(registry(), config.dataset, torch.device("cpu"), **how)
for _ in range(2):
    with tempfile.TemporaryDirectory() as folder:
        seconds = zoo_fit(config, data, Path(folder) / "run")
print(seconds)
"""


def metadata_of(checkout: Path, folder: Path) -> Path:
    """The metadata that an installer would leave of a checkout, so that zoo finds this one's plugins and not those that
    are installed."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["zoo"].items())
    (info / "entry_points.txt").write_text(f"[zoo]\n{points}", encoding="utf-8")
    return folder


def seconds_of(checkout: Path, metadata: Path, recipe: str) -> float:
    path = os.pathsep.join(map(str, (metadata, checkout, checkout / "plugins", checkout / "benchmarks")))
    command = [sys.executable, "-c", EPOCH, recipe]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}, cwd=checkout
    )
    return float(told.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("--recipe", default="cnn_mnist")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        sides = [
            (checkout, metadata_of(checkout, Path(folder) / name))
            for name, checkout in (("this", HERE), ("other", asked.other.resolve()))
        ]
        for _ in range(asked.pairs):
            pairs.append(tuple(seconds_of(*side, asked.recipe) for side in sides))
            print(f"this {pairs[-1][0]:.3f} s, other {pairs[-1][1]:.3f} s", flush=True)
    ratio = statistics.median(one / other for one, other in pairs)
    this, other = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"{asked.recipe}: this {this:.3f} s, other {other:.3f} s, ratio {ratio:.3f}")
    if asked.out:
        write_result(asked.out, {"recipe": asked.recipe, "seconds": pairs, "median_ratio": ratio})


if __name__ == "__main__":
    main()
