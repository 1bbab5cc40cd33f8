"""On a GPU: an epoch of the zoo's trainer beside a DataLoader loop, a bare loop and a captured one; ResNet-50's images
a second; where a step waits.

Six ways to train the same network on the same images, interleaved, medians of several runs after one that warms up:

- ``plain``: a tutorial's loop, uint8 samples through a DataLoader at its fastest number of workers, copied from pinned
  memory;
- ``bare``: images on the device, indexed, normalised, a step; no logs, no checks, nothing kept;
- ``graph``: the bare step captured as a CUDA graph and replayed: what is left when no time goes to launching kernels;
- ``compiled``: the same with the network compiled first: what is left when small operations are joined too;
- ``zoo``: `fit` with everything that a run does in an epoch, its checkpoint included; ``zoo_steps`` is that before
  evaluation and checkpoint;
- ``zoo_graph`` and ``zoo_graph_steps``: the same with `train.cuda_graph`.

``--device cpu --tiny`` runs every line of it in seconds, and says nothing about speed.
"""

from __future__ import annotations

import argparse
import collections
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _epoch import captured, learning, network
from _record import write_result
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import Classes, Split
from zoo.config.run_config import RunConfig
from zoo.data.data_loader import Data, open_data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training.devices import Engine, set_up
from zoo.training.optimizers import build_optimizer
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit

RESULT = Path(__file__).parent / "results" / "gpu_epochs.json"
WORKERS = (0, 8)


@dataclass(frozen=True)
class Case:
    """One network on one set of images, at one precision."""

    config: RunConfig
    data: Data
    engine: Engine

    def network(self) -> nn.Module:
        model = network(self.config, self.data)
        return model.to(self.engine.device, memory_format=self.engine.memory_format).train()  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[Any]:
        return (
            nullcontext()
            if self.engine.autocast is None
            else torch.autocast(self.engine.device.type, self.engine.autocast)
        )

    def loss(self, model: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        with self.autocast():
            return F.cross_entropy(model(inputs), labels)

    @property
    def constants(self) -> list[Tensor]:
        how = self.data.preprocessing
        return [torch.tensor(values, device=self.engine.device).view(1, -1, 1, 1) for values in (how.mean, how.std)]

    def resident(self) -> tuple[Tensor, Tensor]:
        """uint8 images (N, C, H, W) and labels (N,) on the device."""
        part = self.data.part("train")
        images = torch.from_numpy(part.images_of(range(len(part)))).permute(0, 3, 1, 2).contiguous()
        return images.to(self.engine.device), torch.as_tensor(part.targets, device=self.engine.device)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, run: Callable[[], object]) -> float:
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def plain(case: Case, workers: int) -> float:
    images, labels = (each.cpu() for each in case.resident())
    cuda = case.engine.device.type == "cuda"
    loader: Any = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, labels),
        case.config.train.batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=cuda,
    )
    model, (mean, std) = case.network(), case.constants
    optimizer = build_optimizer(model, case.config.train)

    def epoch() -> None:
        for host_images, host_labels in loader:
            pixels, target = (each.to(case.engine.device, non_blocking=True) for each in (host_images, host_labels))
            inputs = pixels.float().div_(255).sub_(mean).div_(std).contiguous(memory_format=case.engine.memory_format)
            optimizer.zero_grad()
            case.loss(model, inputs, target).backward()
            optimizer.step()

    return timed(case.engine.device, epoch)


def bare(case: Case, images: Tensor, labels: Tensor) -> float:
    model, (mean, std) = case.network(), case.constants
    optimizer = build_optimizer(model, case.config.train)

    def epoch() -> None:
        for rows in torch.randperm(len(images), device=images.device).split(case.config.train.batch_size):
            inputs = (
                images[rows].float().div_(255).sub_(mean).div_(std).contiguous(memory_format=case.engine.memory_format)
            )
            optimizer.zero_grad()
            case.loss(model, inputs, labels[rows]).backward()
            optimizer.step()

    return timed(images.device, epoch)


def graph(case: Case, images: Tensor, labels: Tensor, *, compiled: bool = False) -> float:
    """Full batches alone: a graph has one shape."""
    model, (mean, std), size = case.network(), case.constants, case.config.train.batch_size
    network: Any = torch.compile(model) if compiled else model
    train = case.config.train
    capturable = {"capturable": True} if train.optimizer.lower().startswith("adam") else {}
    optimizer = build_optimizer(
        model, train.model_copy(update={"optimizer_options": {**train.optimizer_options, **capturable}})
    )
    rows = torch.arange(size, device=images.device)

    def step() -> None:
        inputs = images[rows].float().div_(255).sub_(mean).div_(std).contiguous(memory_format=case.engine.memory_format)
        optimizer.zero_grad(set_to_none=False)
        case.loss(network, inputs, labels[rows]).backward()
        optimizer.step()

    replay = captured(step)

    def epoch() -> None:
        order = torch.randperm(len(images), device=images.device)
        for start in range(0, len(order) - size + 1, size):
            rows.copy_(order[start : start + size])
            replay()

    return timed(images.device, epoch)


def zoo_state(case: Case, folder: Path) -> TrainState:
    run = create(case.config, folder)
    return TrainState(
        case.config,
        learning(case.config, case.data),
        case.network(),
        case.data,
        case.engine,
        run,
        Console(quiet=True),
    )


def zoo_fit(case: Case, *, recorded: bool = False) -> tuple[float, float]:
    """Seconds of `fit`, and of its steps alone, with `train.cuda_graph` or without."""
    train = case.config.train.model_copy(update={"cuda_graph": recorded})
    case = replace(case, config=case.config.model_copy(update={"train": train}))
    with tempfile.TemporaryDirectory() as folder:
        state = zoo_state(case, Path(folder) / "run")
        whole = timed(case.engine.device, lambda: fit(state))
        header, row = state.run.metrics_file.read_text().splitlines()
        return whole, float(dict(zip(header.split(","), row.split(","), strict=True))["train_seconds"])


def measure(case: Case, runs: int) -> dict[str, Any]:
    """Seconds of an epoch, each way."""
    on_cuda = case.engine.device.type == "cuda"
    images, labels = case.resident()
    searched = {workers: plain(case, workers) for workers in (WORKERS if on_cuda else WORKERS[:1])}
    workers = min(searched, key=lambda each: searched[each])
    ways: dict[str, Callable[[], float]] = {
        "plain": lambda: plain(case, workers),
        "bare": lambda: bare(case, images, labels),
    }
    if on_cuda:
        ways |= {
            "graph": lambda: graph(case, images, labels),
            "compiled": lambda: graph(case, images, labels, compiled=True),
        }
    fits = {"zoo": False, "zoo_graph": True} if on_cuda else {"zoo": False}
    for run in (*ways.values(), *(partial(zoo_fit, case, recorded=each) for each in fits.values())):
        run()
    times: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(runs):
        for name, run in ways.items():
            times[name].append(run())
        for fitted, recorded in fits.items():
            for name, seconds in zip((fitted, f"{fitted}_steps"), zoo_fit(case, recorded=recorded), strict=True):
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    samples = len(images)
    print(
        f"  {str(case.engine.autocast or 'fp32').removeprefix('torch.')}, batch {case.config.train.batch_size}: "
        + ", ".join(f"{name} {1000 * value:.0f} ms ({samples / value:,.0f}/s)" for name, value in medians.items()),
        flush=True,
    )
    facts = {
        "precision": case.engine.describe()["precision"],
        "batch_size": case.config.train.batch_size,
        "samples": samples,
    }
    return {**facts, "workers": workers, "seconds": times, "median_seconds": medians}


def waits(case: Case) -> dict[str, int]:
    """How often the host waited for the device in one epoch, by the line that did."""
    if case.engine.device.type != "cuda":
        return {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = zoo_state(case, Path(folder) / "run")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            fit(state)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    lines = collections.Counter(
        f"{Path(each.filename).name}:{each.lineno}" for each in caught if "synchroniz" in str(each.message)
    )
    return dict(lines.most_common())


def profile(case: Case) -> str:
    """The operations of an epoch that cost most, as torch's profiler has them."""
    kinds = [
        torch.profiler.ProfilerActivity.CPU,
        *([torch.profiler.ProfilerActivity.CUDA] if case.engine.device.type == "cuda" else []),
    ]
    with tempfile.TemporaryDirectory() as folder:
        state = zoo_state(case, Path(folder) / "run")
        with torch.profiler.profile(activities=kinds) as found:
            fit(state)
    sort = "self_device_time_total" if len(kinds) == 2 else "self_cpu_time_total"
    averages = found.key_averages()
    return "\n".join(
        averages.table(sort_by=order, row_limit=14, max_name_column_width=60) for order in (sort, "self_cpu_time_total")
    )


def recipe_case(name: str, device: str, precision: str, samples: int | None = None, **train: Any) -> Case:
    plan = resolve(
        registry(), name, overrides={"device": device, "train": {"epochs": 1, "precision": precision, **train}}
    )
    engine = set_up(plan.config)
    data = open_data(registry(), plan.config.dataset, engine.device, prepare=plan.prepare_images)
    return Case(plan.config, data if samples is None else first(data, samples, engine.device), engine)


def first(data: Data, samples: int, device: torch.device) -> Data:
    """The same data with fewer samples in its parts."""

    def cut(part: LoadedPart) -> LoadedPart:
        images = np.ascontiguousarray(part.images_of(range(samples)).transpose(0, 3, 1, 2))
        return LoadedPart(
            Split(images, None if part.targets is None else part.targets[:samples]), data.preprocessing, device
        )

    return replace(data, parts={name: cut(part) for name, part in data.parts.items()})


def random_case(
    overrides: dict[str, Any], shape: tuple[int, int, int], classes: int, samples: int, recipe: str = "cnn_mnist"
) -> Case:
    """Random images of ``shape`` (C, H, W): the speed of steps does not depend on what is seen."""
    config = resolve(registry(), recipe, overrides=overrides).config
    engine = set_up(config)
    draw, (channels, height, width) = np.random.default_rng(0), shape
    how = Preprocessing(channels=channels, height=height, width=width, mean=(0.5,) * channels, std=(0.25,) * channels)
    split = Split(draw.integers(0, 256, (samples, *shape), dtype=np.uint8), draw.integers(0, classes, samples))
    part = LoadedPart(split, how, engine.device)
    return Case(
        config,
        Data("random", Classes(names=tuple(map(str, range(classes)))), {"train": part}, how, "random", ()),
        engine,
    )


def cases(device: str, *, tiny: bool) -> dict[str, Callable[[], Case]]:
    """cnn_mnist on MNIST; VGG and ResNet-50 on random images of CIFAR-10's shape and of ImageNet's."""
    found: dict[str, Callable[[], Case]] = {}
    for precision, size in (("bf16", 64), ("bf16", 1024), ("fp32", 64), ("fp32", 1024)):
        found[f"cnn_mnist {precision} {size}"] = partial(
            recipe_case, "cnn_mnist", device, precision, 256 if tiny else None, batch_size=size
        )
    for precision, size in (("bf16", 128), ("bf16", 1024), ("fp32", 128)):
        train = {"epochs": 1, "precision": "fp32" if tiny else precision, "batch_size": 8 if tiny else size}
        images = (3, 32, 32), 10, 16 if tiny else 50_000  # a CPU may only imitate bf16
        found[f"vgg_cifar10 {precision} {size}"] = partial(
            random_case, {"device": device, "train": train}, *images, recipe="vgg_cifar10"
        )
    half = "fp32" if tiny else "bf16"
    train = {
        "epochs": 1,
        "precision": half,
        "batch_size": 8 if tiny else 256,
        "optimizer": "sgd",
        "momentum": 0.9,
        "lr": 0.01,
    }
    photographs = ((3, 64, 64), 1000, 16) if tiny else ((3, 224, 224), 1000, 4096)
    overrides = {"device": device, "architecture": {"name": "timm/resnet50"}, "train": train}
    return {**found, "resnet50 bf16 256": partial(random_case, overrides, *photographs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a few samples: every line runs, no figure means anything")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[""], help="cases whose name contains one of these")
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for name, build in cases(chosen.device, tiny=chosen.tiny).items():
        if not any(part in name for part in chosen.only):
            continue
        case = build()
        print(name, flush=True)
        found[name] = {**measure(case, chosen.runs), "waits": waits(case)}
        write_result(chosen.out, {"cases": found})  # after each: what is measured is kept whatever comes next
        if name in ("cnn_mnist bf16 64", "vgg_cifar10 bf16 128"):
            chosen.out.with_suffix(f".{name.split()[0]}.profile.txt").write_text(profile(case), encoding="utf-8")


if __name__ == "__main__":
    main()
