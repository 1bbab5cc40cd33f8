"""One MNIST epoch: the zoo's trainer against a plain DataLoader loop, and against a bare loop over tensors, of the same network.

    ZOO_DATA=… python benchmarks/mnist_epoch.py [--runs 5] [--out benchmarks/results/mnist_epoch.json]

The plain loop is the one of every tutorial (torchvision's MNIST, ToTensor, Normalize, DataLoader, SGD), at its fastest number of workers
and threads, found first. The zoo's time is `fit` with everything a run does in an epoch: steps, logs, finite checks, the checkpoint.
Reading the files is in nobody's time. Runs are interleaved; the ratio is of medians.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from _record import mnist_root, write_result
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from zoo.config import RunConfig
from zoo.console import Console
from zoo.data import open_data
from zoo.devices import set_up
from zoo.loading import build_for, build_task
from zoo.randomness import seed_everything
from zoo.registry import registry
from zoo.resolve import resolve
from zoo.rundir import create
from zoo.training import Job, fit

NETWORKS = {"fnn": "fnn_mnist", "cnn": "cnn_mnist"}


def network(config: RunConfig) -> nn.Module:
    data = registry().dataset("mnist").spec
    preprocessing = open_preprocessing(config)
    seed_everything(0)
    return build_for(registry(), config, preprocessing, len(data.classes))


def open_preprocessing(config: RunConfig) -> Any:
    return open_data(registry(), config.dataset, torch.device("cpu"), parts=("report",)).preprocessing


def plain_loop(model: nn.Module, dataset: torch.utils.data.Dataset, workers: int, threads: int) -> float:
    torch.set_num_threads(threads)
    loader = torch.utils.data.DataLoader(dataset, batch_size=64, shuffle=True, num_workers=workers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    model.train()
    started = time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        F.nll_loss(F.log_softmax(model(images), dim=1), labels).backward()
        optimizer.step()
    return time.perf_counter() - started


def bare_loop(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The least that an epoch can be written as: no logs, no checks, nothing kept."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5)
    started = time.perf_counter()
    for rows in torch.randperm(len(images)).split(64):
        inputs = images[rows].float().div_(255).sub_(0.1307).div_(0.3081)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels[rows]).backward()
        optimizer.step()
    return time.perf_counter() - started


def zoo_fit(config: RunConfig, data: Any, folder: Path) -> float:
    engine = set_up(config)
    seed_everything(0)
    model = build_for(registry(), config, data.preprocessing, 10)
    job = Job(config, build_task(registry(), config), model, data, engine, create(config, folder), Console(quiet=True), {})
    started = time.perf_counter()
    fit(job)
    return time.perf_counter() - started


def measure(name: str, runs: int) -> dict[str, Any]:
    config = resolve(registry(), NETWORKS[name], overrides={"device": "cpu"})
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.1307], [0.3081])])
    older = torchvision.transforms.Compose([torchvision.transforms.ToTensor(), torchvision.transforms.Normalize([0.1307], [0.3081])])
    data = open_data(registry(), config.dataset, torch.device("cpu"), architecture=registry().architecture(name).spec)
    all_threads = torch.get_num_threads()
    root = mnist_root()
    plain = {}
    for workers, threads, (kind, chosen) in itertools.product((0, 1, 2), sorted({1, all_threads}), (("v1", older), ("v2", transform))):
        dataset = torchvision.datasets.MNIST(root, train=True, transform=chosen)
        plain[workers, threads, kind] = plain_loop(network(config), dataset, workers, threads)
        print(f"{name}: plain loop, transforms {kind}, {workers} workers, {threads} threads: {plain[workers, threads, kind]:.2f} s", flush=True)
    workers, threads, kind = min(plain, key=lambda key: plain[key])
    dataset = torchvision.datasets.MNIST(root, train=True, transform=older if kind == "v1" else transform)
    images, labels = dataset.data.unsqueeze(1), dataset.targets
    times: dict[str, list[float]] = {"plain": [], "bare": [], "zoo": []}
    for _ in range(runs):
        times["plain"].append(plain_loop(network(config), dataset, workers, threads))
        torch.set_num_threads(all_threads)
        times["bare"].append(bare_loop(network(config), images, labels))
        with tempfile.TemporaryDirectory() as folder:
            times["zoo"].append(zoo_fit(config, data, Path(folder) / "run"))
    medians = {key: statistics.median(values) for key, values in times.items()}
    ratios = {"zoo": medians["plain"] / medians["zoo"], "bare": medians["plain"] / medians["bare"]}
    print(f"{name}: {', '.join(f'{key} {value:.2f} s' for key, value in medians.items())}; zoo {ratios['zoo']:.1f}×, bare {ratios['bare']:.1f}×")
    return {
        "plain": {"workers": workers, "threads": threads, "transforms": kind},
        "seconds": times,
        "median_seconds": medians,
        "times_faster_than_plain": ratios,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "mnist_epoch.json")
    asked = parser.parse_args()
    write_result(asked.out, {"runs": asked.runs, **{name: measure(name, asked.runs) for name in asked.networks}})


if __name__ == "__main__":
    main()
