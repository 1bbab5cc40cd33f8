"""`zoo export`: require → write → verify → publish.

Zoo checks the model and verifies the file; the exporter of a plugin writes, opens and describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.item_options import build_exporter, default_exporter
from zoo.errors import UsageError
from zoo.exporting.atomic_publish import INDEX, check_target, publish, temporary_beside
from zoo.exporting.bundle import Bundle, Staged
from zoo.exporting.description import describe, metadata_of
from zoo.exporting.evaluation_record import record_of
from zoo.exporting.model_source import locate
from zoo.exporting.opening import check_provider
from zoo.exporting.signing import require_key
from zoo.exporting.signing import sign as sign_files
from zoo.exporting.storage_errors import storage_errors_of_any_kind
from zoo.support.paths import exports_root, optional_path, relative, user_path

if TYPE_CHECKING:
    from torch import nn

    from zoo.api import Exporter, ExporterSpec, ExportJob
    from zoo.registry.lookup import Item, Registry
    from zoo.runs.load_model import LoadedModel

__all__ = ["Bundle", "export", "export_model"]


def export(
    name: str | Path,
    *,
    model: nn.Module | Any = None,
    data: Any = None,
    format: str | None = None,  # noqa: A002
    options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    batch: int | None = None,
    provider: str = "cpu",
    sign: str | Path | None = None,
    weights: str | None = None,
    weights_key: str | None = None,
    dataset: str | None = None,
) -> Bundle:
    """Export a run, or the newest run or the pretrained weights of a recipe or architecture, verify the file against
    PyTorch, and publish it.

    ``format`` is the name of an exporter (None: the default one), and ``options`` are its options (see `zoo info`).
    ``batch`` None makes the batch dynamic. ``provider`` is the execution provider of the verification. ``out`` is the
    bundle's folder, by default ``<ZOO_EXPORTS>/<name>``. ``sign`` is a private key in PEM format.

    With ``weights`` (a name, a safetensors file or the address of one), ``name`` is an architecture or a recipe, and
    nothing is trained; ``weights_key`` selects one of several networks in the file. ``dataset`` provides the real
    images of the verification (None: the model's own). If the network or the data of a run was a Python object, pass it
    again as ``model`` or ``data``, as for `zoo.load`.

    Raises ExportError, and publishes nothing, if the file cannot be written or differs from the model.
    """
    from zoo.registry.lookup import registry
    from zoo.runs.provided_objects import provide_again

    provide_again(name, model, data)
    catalogue = registry()
    item = default_exporter(catalogue, format)
    exporter = build_exporter(item, options or {})
    check_provider(exporter, provider, item.spec.name)
    key = optional_path(sign)
    if key is not None:
        require_key(key)
    return export_model(
        catalogue,
        *locate(catalogue, str(name), weights, weights_key),
        item,
        exporter=exporter,
        out=optional_path(out),
        batch=batch,
        provider=provider,
        key=key,
        dataset=dataset,
    )


def export_model(
    registry: Registry,
    loaded: LoadedModel,
    sentence: str,
    item: Item[ExporterSpec],
    *,
    exporter: Exporter[Any] | None = None,
    out: Path | None = None,
    batch: int | None = None,
    provider: str = "cpu",
    key: Path | None = None,
    dataset: str | None = None,
) -> Bundle:
    """Like `export`, for a loaded model. ``exporter`` replaces the one of ``item``."""
    from zoo.exporting.client_check import check_client, reference_of
    from zoo.exporting.gate import Candidate, prepare, require, verify
    from zoo.exporting.samples import real_samples
    from zoo.reporting.run_reporter import send_exported

    if batch is not None and batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}", fix="use --batch dynamic, or a number from 1")
    target = (user_path(out) if out is not None else exports_root() / loaded.name).absolute()
    check_target(target)
    replaced = [f"the bundle that was in {relative(target)} is replaced"] if (target / INDEX).exists() else []
    exporter = exporter or build_exporter(item)
    check_provider(exporter, provider, item.spec.name)

    notes = prepare(loaded)
    description = describe(registry, loaded, batch)
    job = _job(loaded, description, batch)
    exporter.require(job, provider)
    require(loaded)
    samples = real_samples(registry, loaded, dataset)
    notes += [samples.why] if samples.why else []
    with storage_errors_of_any_kind(target), temporary_beside(target) as folder:
        model = folder / f"model{item.spec.suffix}"
        exporter.write(job, model)
        record = record_of(registry, loaded)
        staged = Staged(folder, model, item, exporter, description, record, loaded.gallery)
        candidate = Candidate(loaded, exporter, model, job, samples, provider)
        facts, verification = verify(candidate)
        checked = check_client(staged.predict, candidate, description)
        verification["predict"] = checked.facts
        verification["reference"] = reference_of(candidate, checked)
        verification = staged.fill(registry, loaded, facts, exporter.card(facts), verification)
        if key is not None:
            sign_files(folder, key)
        publish(folder, target)
    notes += [*replaced, *send_exported(registry, target, verification, loaded.run)]
    return Bundle(target, sentence, verification, tuple(notes))


def _job(loaded: LoadedModel, description: dict[str, Any], batch: int | None) -> ExportJob:
    import torch

    from zoo.api import ExportJob

    return ExportJob(
        model=loaded.model,
        example=torch.zeros(2, *loaded.preprocessing.shape),
        outputs=(loaded.output,),
        preprocessing=description["input"],
        decision=loaded.decision,
        batch=batch,
        metadata=metadata_of(description),
    )
