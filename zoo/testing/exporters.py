"""Checks of exporters, and of the export of architectures; each export is verified against PyTorch."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.api import ArchitectureSpec, Exporter, ExportJob, OutputKind
from zoo.config.item_options import build_exporter
from zoo.errors import ZooError
from zoo.exporting.gate import BATCHES, verify_against_pytorch
from zoo.registry.lookup import Item, Registry
from zoo.testing.architectures import Builder, Shape
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import NAMES, SHAPE, dummy_network

KINDS: tuple[OutputKind, ...] = ("vector", "map")
METADATA = {"testing": "a small network"}
SEED = 0


def exporter_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    try:
        exporter = build_exporter(item)
    except ZooError as error:
        yield Finding("build", str(error))
        return
    for kind in KINDS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            model = dummy_network(len(NAMES), kind)
        for text in _export_faults(exporter, item.spec.suffix, model, SHAPE):
            yield Finding(kind, f"a {kind} output: {text}")


def _export_faults(exporter: Exporter[Any], suffix: str, model: nn.Module, shape: Shape) -> Iterator[str]:
    """Yield the faults of a verified export with a dynamic batch."""
    generator = torch.Generator().manual_seed(SEED)
    inputs = [torch.randn(batch, *shape, generator=generator) for batch in BATCHES]
    job = ExportJob(model.eval(), inputs[1], metadata=METADATA)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{suffix}"

        def steps() -> Iterator[Finding]:
            exporter.require(job, "cpu")
            exporter.write(job, path)
            if not path.is_file():
                yield Finding("export", f"write left no {path.name}")
                return
            json.dumps(verify_against_pytorch(model, exporter, path, job, inputs))

        yield from (text for _, text in guarded("export", steps()))


def export_findings(catalogue: Registry, item: Item[ArchitectureSpec]) -> Iterator[Finding]:
    """Export at the smallest image size with each registered exporter."""
    builder = Builder(catalogue, item)
    for exporter in catalogue.items("exporter"):
        faults = _export_faults(build_exporter(exporter), exporter.spec.suffix, builder.build(), builder.smallest)
        yield from (Finding("export", f"with exporter {exporter.canonical}: {text}") for text in faults)
