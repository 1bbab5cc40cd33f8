"""Export to archives of torch.export, verified by torch."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.api import ExporterSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_exporters() -> Sequence[ExporterSpec]:
    return [
        ExporterSpec(
            name="torch_export",
            summary="A .pt2 archive written by torch.export; needs torch but not the network's code, and contains no "
            "pickles",
            source="https://docs.pytorch.org/docs/stable/export.html",
            target="zoo_torch_export.exporter:TorchExporter",
            suffix=".pt2",
        )
    ]
