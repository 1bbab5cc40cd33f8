"""Where the time of a small run goes: a new last layer on SqueezeNet 1.1 for 1,600 photographs of cats and dogs.

    ZOO_DATA=… python benchmarks/small_run.py --weights squeezenet1_1.safetensors [--runs 3] [--fastai] [--out FILE]

Each turn starts `zoo run squeezenet_transfer` twice in a new process, with an empty cache and with that of the first,
and, with --fastai, one epoch of fastai's learner in another: frozen body, its own head, transforms and schedule, the
same weights and the same images. A process is measured from its start to its end, by the clock and by the processor
time of it and its threads. `phases` are measured inside the run, by both. fastai is installed into a temporary folder,
without its dependencies, so that it uses this environment's torch; nothing of it stays.

With --tiny, one turn with 64 images, to try the script.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "small_run.json"
FASTAI = [
    *("fastai", "fastcore", "fastprogress<1.1", "fasttransform", "fastdownload", "plum-dispatch", "cloudpickle"),
    *("beartype", "pandas", "python-dateutil", "pytz", "tzdata", "six"),
]
"""fastprogress 1.1 needs a web framework."""

ZOO = """
import json, sys, time
from contextlib import contextmanager
begun = {"clock": time.perf_counter(), "processor": time.process_time()}
phases = {}
def measured(module, name, phase):
    plain = getattr(module, name)
    def timed(*given, **named):
        at = time.perf_counter(), time.process_time()
        try:
            return plain(*given, **named)
        finally:
            spent = phases.setdefault(phase, {"clock": 0.0, "processor": 0.0})
            spent["clock"] += time.perf_counter() - at[0]
            spent["processor"] += time.process_time() - at[1]
    setattr(module, name, timed)
file, seed, out, weights, tiny = sys.argv[1:]
at = time.perf_counter(), time.process_time()
from zoo.workflows import run as workflow
from zoo.registry.lookup import registry
measured(workflow, "resolve", "resolve names and weights")
import torch
from zoo.workflows import run_stages
from zoo.training import preparation, trainer
phases["import"] = {"clock": time.perf_counter() - at[0], "processor": time.process_time() - at[1]}
measured(preparation, "_open_data", "decode images")
measured(run_stages, "prepare", "prepare (with the decoding)")
measured(run_stages, "keep_features", "features of frozen layers")
measured(run_stages, "fit", "train the head")
measured(run_stages, "_fit_decision", "evaluate")
measured(run_stages, "_evaluate", "evaluate")
measured(run_stages, "_report", "report of the task")
measured(run_stages.run_results, "write_curves", "curves and samples")
measured(run_stages.run_results, "write_images", "curves and samples")
measured(run_stages, "write_page", "report.html")
overrides = {"weights": weights, "seed": int(seed), "device": "cpu"}
if tiny == "1":
    overrides["train"] = {"epochs": 1}
result = workflow.run("squeezenet_transfer", overrides=overrides, out=out, quiet=True)
import csv
rows = list(csv.DictReader(open(f"{out}/metrics.csv")))
json.dump({
    "accuracy": result.metrics["accuracy"], "phases": phases, "samples": result.record.samples,
    "head_samples_per_second": [float(row["samples_per_second"]) for row in rows],
}, open(file, "w"))
"""

THEIRS = """
import json, sys
file, listing, weights, seed = sys.argv[1:]
from fastai.vision.all import *
from torchvision.models import squeezenet1_1
from safetensors.torch import load_file
known = json.load(open(listing))
set_seed(int(seed))
block = DataBlock(
    blocks=(ImageBlock, CategoryBlock), get_items=lambda _: known, get_x=lambda row: row["file"],
    get_y=lambda row: row["label"], splitter=FuncSplitter(lambda row: row["held"]), item_tfms=Resize(224),
    batch_tfms=Normalize.from_stats(*imagenet_stats),
)
dls = block.dataloaders(None, bs=64, num_workers=2, device=torch.device("cpu"))
learn = vision_learner(dls, squeezenet1_1, metrics=accuracy, pretrained=False, normalize=False)
whole = squeezenet1_1()
whole.load_state_dict(load_file(weights))
learn.model[0][0].load_state_dict(whole.features.state_dict())
learn.freeze()
learn.fit_one_cycle(1, 2e-3)
json.dump({"accuracy": float(learn.recorder.values[-1][-1])}, open(file, "w"))
"""


def listing(folder: Path) -> Path:
    """Write the files of the run's splits, with labels and whether they are evaluated."""
    from zoo.data.data_folder import Store
    from zoo.data.open_dataset import open_dataset
    from zoo.data.splits import load_parts
    from zoo.data.targets import describe_target, target_of
    from zoo.registry.lookup import registry
    from zoo.runs.resolve_config import resolve

    plan = resolve(registry(), "squeezenet_transfer", overrides={"weights": "none"})
    section = plan.config.dataset
    dataset = open_dataset(plan.dataset, section.options, Store(download=False))
    target = target_of(plan.dataset, dataset)
    rows = [
        {"file": str(image), "label": describe_target(target, label), "held": part == "test"}
        for part, split in load_parts(plan.dataset, dataset, target, section, ("train", "test"), 0).items()
        for image, label in zip(split.images, split.targets, strict=True)
    ]
    (folder / "listing.json").write_text(json.dumps(rows))
    return folder / "listing.json"


def measured(script: str, arguments: list[str], file: Path, **variables: str) -> dict[str, Any]:
    """Run a script in a process of its own, and return what it writes, with the seconds of the whole process."""
    file.unlink(missing_ok=True)
    environment = {**os.environ, **variables}
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, str(file), *arguments],
        env=environment,
        cwd=file.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    clock, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    processor = sum(getattr(after, each) - getattr(before, each) for each in ("children_user", "children_system"))
    return {"clock": clock, "processor": processor, **json.loads(file.read_text())}


def install_fastai(folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder), "--no-deps", *FASTAI]
    subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of torchvision's squeezenet1_1")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fastai", action="store_true", help="install fastai from the package index, and compare")
    parser.add_argument("--tiny", action="store_true", help="one turn with one epoch")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    from _record import write_result

    found: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": [], "fastai": []}
    weights = str(asked.weights.absolute())
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        if asked.fastai:
            install_fastai(place / "packages")
            files = listing(place)
        for seed in range(1 if asked.tiny else asked.runs):
            if asked.fastai:
                found["fastai"].append(
                    measured(
                        THEIRS,
                        [str(files), weights, str(seed)],
                        place / "result.json",
                        PYTHONPATH=f"{place / 'packages'}",
                    )
                )
            for kind in ("cold", "warm"):
                arguments = [str(seed), str(place / f"run-{seed}-{kind}"), weights, str(int(asked.tiny))]
                cache = str(place / f"cache-{seed}")
                found[kind].append(measured(ZOO, arguments, place / "result.json", ZOO_CACHE=cache))
            print({kind: round(each[-1]["clock"], 1) for kind, each in found.items() if each}, flush=True)
    write_result(asked.out, summary(found))


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    kinds = {kind: each for kind, each in found.items() if each}
    seconds = {
        by: {kind: statistics.median(one[by] for one in each) for kind, each in kinds.items()}
        for by in ("clock", "processor")
    }
    ratios = {}
    if found["fastai"]:
        ratios = {by: seconds[by]["fastai"] / seconds[by]["cold"] for by in seconds}
    return {
        "median_seconds": seconds,
        "spread_of_the_clock": {
            kind: [min(one["clock"] for one in each), max(one["clock"] for one in each)] for kind, each in kinds.items()
        },
        "accuracy": {kind: [one["accuracy"] for one in each] for kind, each in kinds.items()},
        "head_samples_per_second": statistics.median(found["warm"][-1]["head_samples_per_second"]),
        "fastai_seconds_by_those_of_a_cold_run": ratios,
        "runs": kinds,
    }


if __name__ == "__main__":
    main()
