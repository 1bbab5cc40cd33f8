"""Run a frozen backbone once over many images, with the fastest engine that gives the same features.

The candidates are torch with the run's settings, torch with channels-last weights, and, on the CPU, the runtimes of
installed exporters, which fuse more operations. They are timed on a first batch if the whole pass takes long enough to
make up for it. No candidate has a lower precision than the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.api import ExportJob
from zoo.config.item_options import build_exporter
from zoo.errors import ZooError
from zoo.registry.lookup import Item, Registry
from zoo.runtime import INPUT, OUTPUT, ModelError, SetupError
from zoo.support.paths import cache_root
from zoo.support.temporary_folders import remove_abandoned, temporary_folder
from zoo.training.devices import Engine

RELAYING_PAYS = 5.0
"""Estimated seconds of the whole pass from which another memory format is tried."""
EXPORTING_PAYS, EACH_LAYER_PAYS = 8.0, 0.1
"""Estimated seconds of the whole pass from which another runtime is tried, and what each layer adds to them. To export
a network takes about 2 s and 0.03 s for each layer, and often saves more than half of the pass."""
AGREEMENT = {None: 1e-4, torch.bfloat16: 5e-2, torch.float16: 5e-3}
"""Tolerance between features, relative to the largest, by the run's precision (None: fp32)."""


@dataclass(frozen=True)
class Pass:
    """``run`` is images (B, C, H, W) → features (B, …), float32, on the images' device; ``name`` says by what."""

    name: str
    run: Callable[[Tensor], Tensor]
    memory_format: torch.memory_format = torch.contiguous_format
    """In which the backbone's weights lie for it."""

    @property
    def text(self) -> str:
        """The name in messages. ``name`` itself is stored in caches and checkpoints, so it does not change."""
        return self.name.replace(", channels last", " with channels-last weights")


class Chosen(NamedTuple):
    """The chosen pass, a sentence about the choice, and the estimated seconds for all samples."""

    way: Pass
    told: str
    seconds: float


@contextmanager
def fastest_pass(
    backbone: nn.Module, probe: Tensor, samples: int, engine: Engine, catalogue: Registry
) -> Iterator[Chosen]:
    """Yield the fastest pass of ``backbone`` over ``samples`` samples, valid within the context.

    ``probe`` are a few images. The backbone is set to eval mode; the memory format of its weights is restored.
    """
    backbone.eval()
    try:
        with torch.no_grad(), _temporary() as folder:
            chosen = _by_torch("torch", backbone, engine.autocast, engine.memory_format)
            due, plain = timed(chosen, probe)
            told, seconds = "", plain
            for pays, candidate in _others(backbone, probe, engine, catalogue, folder):
                tried = candidate() if seconds * samples / len(probe) > pays else None
                if tried is None:
                    continue
                found, taken = timed(tried, probe)
                if taken < seconds and relative_error(found, due) <= AGREEMENT[engine.autocast]:
                    chosen, seconds = tried, taken
                    told = (
                        f" ({plain / taken:.1f} times as fast as torch with the settings of the run; largest relative "
                        f"difference {relative_error(found, due):.0e})"
                    )
            backbone.to(memory_format=chosen.memory_format)
            yield Chosen(chosen, f"by {chosen.text}{told}", seconds * samples / len(probe))
    finally:
        backbone.to(memory_format=engine.memory_format)


@contextmanager
def _temporary() -> Iterator[Path]:
    remove_abandoned(cache_root(), "backbone")
    with temporary_folder(cache_root(), "backbone") as folder:
        yield folder


def _others(
    backbone: nn.Module, probe: Tensor, engine: Engine, catalogue: Registry, folder: Path
) -> Iterator[tuple[float, Callable[[], Pass | None]]]:
    """Yield the other candidates, each with the seconds of the whole pass from which it is worth trying."""
    if engine.memory_format != torch.channels_last:
        yield RELAYING_PAYS, partial(_by_torch, "torch, channels last", backbone, engine.autocast, torch.channels_last)
    if engine.device.type == "cpu":
        layers = sum(next(module.children(), None) is None for module in backbone.modules())
        pays = EXPORTING_PAYS + EACH_LAYER_PAYS * layers
        for item in catalogue.items("exporter"):
            yield pays, partial(by_exporter, item, backbone, probe, folder / f"backbone{item.spec.suffix}")


def _by_torch(name: str, backbone: nn.Module, autocast: torch.dtype | None, memory_format: torch.memory_format) -> Pass:
    def run(inputs: Tensor) -> Tensor:
        with nullcontext() if autocast is None else torch.autocast(inputs.device.type, autocast):
            features: Tensor = backbone(inputs.contiguous(memory_format=memory_format))
        return features.float()

    backbone.to(memory_format=memory_format)
    precision = "" if autocast is None else f" in {str(autocast).removeprefix('torch.')}"
    return Pass(name + precision, run, memory_format)


def by_exporter(item: Item[Any], backbone: nn.Module, probe: Tensor, path: Path) -> Pass | None:
    """Return the backbone as an exported file in the exporter's runtime; None if it cannot be exported or run."""
    try:
        exporter, job = build_exporter(item), ExportJob(backbone, probe[:2].contiguous())
        exporter.require(job, "cpu")
        exporter.write(job, path)
        runner = exporter.open(path, "cpu")
    except (ZooError, ModelError, SetupError):
        return None
    return Pass(
        f"the runtime of {item.canonical}", lambda inputs: torch.from_numpy(runner({INPUT: inputs.numpy()})[OUTPUT])
    )


def timed(candidate: Pass, probe: Tensor) -> tuple[Tensor, float]:
    """Return the features and the seconds, after a warm-up call with two images."""
    candidate.run(probe[:2])
    _finish(probe)
    started = time.perf_counter()
    features = candidate.run(probe)
    _finish(probe)
    return features, time.perf_counter() - started


def _finish(probe: Tensor) -> None:
    if probe.device.type == "cuda":
        torch.cuda.synchronize(probe.device)


def relative_error(found: Tensor, due: Tensor) -> float:
    if found.shape != due.shape:
        return float("inf")
    return float((found - due).abs().max() / due.abs().max().clamp_min(1e-12))
