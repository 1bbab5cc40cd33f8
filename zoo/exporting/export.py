"""`zoo export`: require → emit → ensure → publish.

Zoo checks the model and verifies the file; the exporter of a plugin writes and runs it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.config.item_options import build_exporter
from zoo.errors import UsageError
from zoo.exporting.atomic_publish import check_target, publish, temporary_beside
from zoo.exporting.bundle import Bundle, describe, fill, metadata_of, stage
from zoo.exporting.model_source import locate
from zoo.exporting.storage_errors import storage_errors_of_any_kind
from zoo.support.paths import exports_root, optional_path, user_path

if TYPE_CHECKING:
    from zoo.api import Exporter, ExporterSpec
    from zoo.registry.lookup import Item, Registry
    from zoo.runs.load_model import LoadedModel

__all__ = ["Bundle", "export", "export_model"]


def export(
    name: str,
    *,
    format: str = "onnx",  # noqa: A002
    opset: int | None = None,
    out: str | Path | None = None,
    batch: int | None = None,
    provider: str = "cpu",
) -> Bundle:
    """Export a run, or the newest run or the shipped weights of a recipe or architecture, verify the file against
    PyTorch, and publish it.

    ``batch`` None makes the batch dynamic. ``provider`` is the execution provider of the verification ("cpu", "cuda").
    ``out`` is the bundle's folder, by default ``<ZOO_EXPORTS>/<name>``. Raises ExportError, and publishes nothing, if
    the file cannot be written or differs from the model.
    """
    from zoo.registry.lookup import registry

    catalogue = registry()
    item = catalogue.exporter(format)
    loaded, sentence = locate(catalogue, name)
    return export_model(
        catalogue, loaded, sentence, item, opset=opset, out=optional_path(out), batch=batch, provider=provider
    )


def export_model(
    registry: Registry,
    loaded: LoadedModel,
    sentence: str,
    item: Item[ExporterSpec],
    *,
    exporter: Exporter | None = None,
    opset: int | None = None,
    out: Path | None = None,
    batch: int | None = None,
    provider: str = "cpu",
) -> Bundle:
    """Like `export`, for a loaded model. ``exporter`` replaces the one of ``item``."""
    import torch

    from zoo.api import EmitRequest
    from zoo.exporting.client_check import check_client
    from zoo.exporting.gate import Proof, ensure, require
    from zoo.exporting.samples import real_samples
    from zoo.reporting.run_reporter import send_exported

    if batch is not None and batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}", fix="use --batch dynamic, or a number from 1")
    target = (user_path(out) if out is not None else exports_root() / loaded.name).absolute()
    check_target(target)
    exporter = exporter or build_exporter(item)

    notes = require(loaded)
    description = describe(registry, loaded, batch)
    request = EmitRequest(opset, batch, metadata_of(description))
    samples = real_samples(registry, loaded)
    notes += [samples.why] if samples.why else []
    with storage_errors_of_any_kind(target), temporary_beside(target) as folder:
        model = folder / f"model{item.spec.suffix}"
        exporter.emit(loaded.model, torch.zeros(2, *loaded.preprocessing.shape), model, request)
        verification = ensure(Proof(loaded, exporter, model, request, samples, provider))
        stage(folder, model, description)
        verification["predict"] = check_client(
            folder, model, description, loaded, samples, exporter.runner(model, "cpu")
        )
        verification = fill(
            folder, model, registry, loaded, item, {"description": description, "verification": verification}
        )
        publish(folder, target)
    notes += send_exported(registry, target, verification, loaded.run)
    return Bundle(target, sentence, verification, tuple(notes))
