"""Five epochs of a new last layer on VGG-16: features of the frozen layers kept, against a plain loop that runs the
whole network each time.

    ZOO_DATA=… python benchmarks/transfer_speed.py [--runs 3] [--out benchmarks/results/transfer_speed.json]

200 photographs to learn from and 50 to evaluate on after each epoch, of cats and dogs. The weights are drawn at random:
it is time that is measured. Both sides begin with the same decoded images in memory. The plain loop is what people
write: NCHW, fp32, frozen parameters without gradients, the new layer by Adam, batches of 64. Ours begins each time with
an empty cache, at the same precision, and writes its checkpoints.

`first_pass` compares the pass that computes the features, with its trials of other layouts and runtimes, with a plain
loop over the same images up to the same layer, NCHW, fp32, without gradients. `bf16` is our five epochs with
train.precision=bf16.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _record import write_result
from torch import nn
from torch.nn import functional as F

from zoo.data import dataset_cache
from zoo.data.data_folder import Store
from zoo.data.open_dataset import open_dataset
from zoo.data.targets import describe_target
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.plan import RunPlan
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training.feature_cache import keep_features
from zoo.training.preparation import Prepared, prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit

EPOCHS, BATCH = 5, 64


def lay_out(folder: Path) -> Path:
    """200 + 50 + 4 photographs as train, val and test."""
    dataset = open_dataset(registry().dataset("catdog"), {"split_seed": 0}, Store(download=False))
    split = dataset.load("train")
    places = ["train"] * 200 + ["val"] * 50 + ["test"] * 4
    for index, place in enumerate(places):
        label = describe_target(dataset.target, split.targets[index])
        target = folder / "photos" / place / label
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(split.images[index], target / f"{index:03d}.jpg")
    return folder / "photos"


def planned(photos: Path, precision: str) -> RunPlan:
    return resolve(
        registry(),
        "vgg16_transfer",
        overrides={
            "dataset": {"name": "folder", "path": str(photos)},
            "weights": "none",
            "device": "cpu",
            "train": {"epochs": EPOCHS, "batch_size": BATCH, "precision": precision, "cache_features": True},
        },
    )


def ours(prepared: Prepared, folder: Path) -> tuple[float, float, str]:
    """Seconds of all five epochs with the pass before them, of the pass alone, and by what it ran."""
    dataset_cache.clear()
    run = create(prepared.config, folder)
    quiet = Console(quiet=True)
    started = time.perf_counter()
    features = _pass(prepared, quiet)
    passed = time.perf_counter() - started
    state = TrainState(
        prepared.config,
        prepared.learning,
        prepared.model,
        prepared.data,
        prepared.engine,
        run,
        quiet,
        features,
    )
    fit(state)
    return time.perf_counter() - started, passed, features.engine


def _pass(prepared: Prepared, console: Console) -> Any:
    head = registry().architecture("torchvision/vgg16").spec.head
    found = keep_features(
        prepared.config.train, prepared.model, prepared.data, prepared.engine, registry(), head,
        prepared.learning.adaptations.set_train_mode, console.print,
    )  # fmt: skip
    if found is None:
        raise RuntimeError("no features were kept")
    return found


def plain_loop(prepared: Prepared) -> float:
    from torchvision.models import vgg16

    torch.manual_seed(0)
    model = vgg16()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.classifier[6] = nn.Linear(4096, 2)
    optimizer = torch.optim.Adam(model.classifier[6].parameters(), lr=1e-3)
    train, val = prepared.data.part("train"), prepared.data.part("val")
    train.memory_format = val.memory_format = torch.contiguous_format
    started = time.perf_counter()
    for _ in range(EPOCHS):
        model.train()
        for batch in train.batches(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(batch.inputs), batch.targets).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for batch in val.batches(BATCH):
                model(batch.inputs).argmax(1)
    return time.perf_counter() - started


def plain_pass(prepared: Prepared) -> float:
    """Over both parts up to the ReLU after the first linear layer."""
    from torchvision.models import vgg16

    model = vgg16().eval()
    backbone = nn.Sequential(model.features, model.avgpool, nn.Flatten(), *model.classifier[:2])
    parts = [prepared.data.part("train"), prepared.data.part("val")]
    started = time.perf_counter()
    with torch.no_grad():
        for part in parts:
            part.memory_format = torch.contiguous_format
            for batch in part.batches(BATCH):
                backbone(batch.inputs)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "transfer_speed.json")
    asked = parser.parse_args()
    seconds: dict[str, list[float]] = {"plain": [], "ours": [], "ours_bf16": [], "plain_pass": [], "our_pass": []}
    engines = {}
    with tempfile.TemporaryDirectory() as place:
        import os

        os.environ["ZOO_CACHE"] = f"{place}/cache"
        photos = lay_out(Path(place))
        for turn in range(asked.runs):
            for precision in ("fp32", "bf16"):
                prepared = prepare(planned(photos, precision))
                if precision == "fp32":
                    seconds["plain"].append(plain_loop(prepared))
                    seconds["plain_pass"].append(plain_pass(prepared))
                whole, passed, engines[precision] = ours(prepared, Path(place) / f"run-{turn}-{precision}")
                seconds["ours" if precision == "fp32" else "ours_bf16"].append(whole)
                if precision == "fp32":
                    seconds["our_pass"].append(passed)
            print({name: round(values[-1], 1) for name, values in seconds.items()}, engines, flush=True)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    result = {
        "runs": asked.runs,
        "epochs": EPOCHS,
        "samples": {"train": 200, "val": 50},
        "seconds": seconds,
        "medians": medians,
        "engines": engines,
        "speedup": medians["plain"] / medians["ours"],
        "speedup_bf16": medians["plain"] / medians["ours_bf16"],
        "speedup_first_pass": medians["plain_pass"] / medians["our_pass"],
    }
    write_result(asked.out, result)


if __name__ == "__main__":
    main()
