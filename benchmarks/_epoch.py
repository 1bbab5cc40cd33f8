"""One epoch of the zoo's trainer beside a plain DataLoader loop and a bare loop over tensors, of the same network: what
the epoch benchmarks share.

The plain loop is the one of every tutorial (a dataset of images, ToTensor, Normalize, DataLoader), at its fastest
number of workers and threads, found first on a part of the images. The zoo's time is `fit` with everything a run does
in an epoch: steps, logs, finite checks, the checkpoint. Reading the files is in nobody's time. Runs are interleaved;
ratios are within a round.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from _record import compared
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from zoo.api import Split
from zoo.config.run_config import RunConfig
from zoo.data.data_loader import Data, open_data
from zoo.data.loaded_part import LoadedPart
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.build_components import build_network, build_task, output_reader, statistics_of
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.support.counter_random import seed_everything
from zoo.training.devices import set_up
from zoo.training.optimizers import build_optimizer
from zoo.training.train_state import Learning, TrainState
from zoo.training.trainer import fit

Images = Callable[[Any], torch.utils.data.Dataset[Any]]
"""A transform → the dataset that a tutorial would use."""
FEW = 256
"""Images of an epoch with --tiny."""
SEARCHED = 20_000
"""Images on which each setting of the plain loop is tried."""


def plain_loop(
    config: RunConfig, model: nn.Module, dataset: torch.utils.data.Dataset[Any], workers: int, threads: int
) -> float:
    torch.set_num_threads(threads)
    loader = torch.utils.data.DataLoader(dataset, batch_size=config.train.batch_size, shuffle=True, num_workers=workers)
    optimizer = plain_optimizer(config, model)
    model.train()
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        F.nll_loss(F.log_softmax(model(images), dim=1), labels).backward()
        optimizer.step()
    return time.perf_counter() - started


def plain_optimizer(config: RunConfig, model: nn.Module) -> torch.optim.Optimizer:
    if config.train.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=config.train.lr, momentum=config.train.momentum or 0.0)
    return torch.optim.Adam(model.parameters(), lr=config.train.lr)


def bare_loop(config: RunConfig, model: nn.Module, data: Data) -> float:
    """The least that an epoch can be written as: no logs, no checks, nothing kept."""
    part = data.part("train")
    images, labels = (
        torch.from_numpy(part.images_of(range(len(part)))).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(part.targets),
    )
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.preprocessing.mean, data.preprocessing.std))
    optimizer = build_optimizer(model, config.train)
    started = time.perf_counter()
    for rows in torch.randperm(len(images)).split(config.train.batch_size):
        inputs = images[rows].float().div_(255).sub_(mean).div_(std)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels[rows]).backward()
        optimizer.step()
    return time.perf_counter() - started


def zoo_fit(config: RunConfig, data: Data, folder: Path) -> float:
    engine = set_up(config)
    state = TrainState(
        config,
        learning(config, data),
        network(config, data),
        data,
        engine,
        create(config, folder),
        Console(quiet=True),
    )
    started = time.perf_counter()
    fit(state)
    return time.perf_counter() - started


def network(config: RunConfig, data: Data) -> nn.Module:
    seed_everything(0)
    plan = resolve(registry(), overrides=config.as_dict())
    return build_network(registry(), plan, data.preprocessing, learning(config, data).task.num_outputs())


def learning(config: RunConfig, data: Data) -> Learning:
    """The task of a configuration, on this data."""
    plan = resolve(registry(), overrides=config.as_dict())
    statistics = statistics_of(plan, data.target, data.part("train"))
    return Learning(build_task(plan, data.target, statistics), output_reader(plan), statistics=statistics)


def first(data: Data, samples: int, device: torch.device) -> Data:
    """The same data with fewer samples in its parts."""

    def cut(part: LoadedPart) -> LoadedPart:
        images = np.ascontiguousarray(part.images_of(range(samples)).transpose(0, 3, 1, 2))
        return LoadedPart(
            Split(images, None if part.targets is None else part.targets[:samples]), data.preprocessing, device
        )

    return replace(data, parts={name: cut(part) for name, part in data.parts.items()})


def measure(recipe: str, images: Images, rounds: int, *, tiny: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The comparison of an epoch of a recipe, in seconds (see `_record.compared`), and the settings of the plain
    loop."""
    plan = resolve(registry(), recipe, overrides={"device": "cpu", "train": {"epochs": 1}})
    config, data = (
        plan.config,
        open_data(registry(), plan.config.dataset, torch.device("cpu"), prepare=plan.prepare_images),
    )
    dataset = images
    if tiny:
        data = first(data, FEW, torch.device("cpu"))

        def dataset(transform: Any) -> torch.utils.data.Dataset[Any]:
            return torch.utils.data.Subset(images(transform), range(FEW))

    mean, std = list(data.preprocessing.mean), list(data.preprocessing.std)
    transforms = {
        "v1": torchvision.transforms.Compose(
            [torchvision.transforms.ToTensor(), torchvision.transforms.Normalize(mean, std)]
        ),
        "v2": v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]),
    }
    all_threads = torch.get_num_threads()
    plain = {}
    some = range(min(SEARCHED, len(data.part("train"))))
    for workers, threads, kind in itertools.product((0,) if tiny else (0, 1, 2), sorted({1, all_threads}), transforms):
        tried = torch.utils.data.Subset(dataset(transforms[kind]), some)
        plain[workers, threads, kind] = plain_loop(config, network(config, data), tried, workers, threads)
        print(
            f"{recipe}: plain loop, transforms {kind}, {workers} workers, {threads} threads: "
            f"{plain[workers, threads, kind]:.2f} s for {len(some):,} images",
            flush=True,
        )
    workers, threads, kind = min(plain, key=lambda key: plain[key])
    times: dict[str, list[float]] = {"plain": [], "bare": [], "zoo": []}
    for _ in range(rounds):
        times["plain"].append(plain_loop(config, network(config, data), dataset(transforms[kind]), workers, threads))
        torch.set_num_threads(all_threads)
        times["bare"].append(bare_loop(config, network(config, data), data))
        with tempfile.TemporaryDirectory() as folder:
            times["zoo"].append(zoo_fit(config, data, Path(folder) / "run"))
    found = compared(times)
    told = (f"{side} {each['median']:.2f} s" for side, each in found["sides"].items())
    print(f"{recipe}: {', '.join(told)}", flush=True)
    return found, {"workers": workers, "threads": threads, "transforms": kind}


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """A training step as a CUDA graph, after three steps on a stream of their own; calling it replays the graph."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
