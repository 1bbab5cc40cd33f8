"""Open exported files through their exporters, with zoo's errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import runtime
from zoo.config.item_options import build_exporter
from zoo.errors import CheckpointError, SetupError, UnknownNameError, UsageError, ZooError

if TYPE_CHECKING:
    from zoo.api import Exporter, ExporterSpec, Runner
    from zoo.registry.catalogue import Item


class Exported(NamedTuple):
    """An exported file, and the exporter that opens it."""

    model: Path
    item: Item[ExporterSpec]
    exporter: Exporter[Any]


def exported_at(path: Path) -> Exported | None:
    """Return the model of a bundle's folder, or a file, with the exporter that wrote it or has its suffix; None if
    the path is neither.

    Raises CheckpointError for a damaged bundle, SetupError if the exporter is not installed.
    """
    if path.is_file():
        item = exporter_of(path)
        return Exported(path, item, build_exporter(item))
    if (path / runtime.INDEX).is_file():
        with runtime_errors("export it again"):
            index = runtime.read_index(path)
        item = _by_name(index, path)
        return Exported(path / _model_name(index, path), item, build_exporter(item))
    return None


def exporter_of(model: Path) -> Item[ExporterSpec]:
    """Return the exporter of a file: the one in the bundle.json beside it, otherwise one of its suffix."""
    index = index_beside(model)
    return _by_suffix(model) if index is None else _by_name(index, model.parent)


def index_beside(model: Path) -> dict[str, Any] | None:
    """The content of the bundle.json beside a file; None if there is none."""
    if not (model.parent / runtime.INDEX).is_file():
        return None
    with runtime_errors("export it again"):
        return runtime.read_index(model.parent)


def _by_name(index: dict[str, Any], bundle: Path) -> Item[ExporterSpec]:
    from zoo.registry.lookup import registry

    written = index.get("exporter")
    name = written.get("name") if isinstance(written, dict) else None
    if not isinstance(name, str):
        return _by_suffix(bundle / _model_name(index, bundle))
    try:
        return registry().exporter(name)
    except UnknownNameError as error:
        distribution = written.get("distribution") if isinstance(written, dict) else None
        raise SetupError(
            f"the bundle was written by the exporter {name}, which is not installed",
            where=bundle,
            fix=f"pip install {distribution}" if isinstance(distribution, str) else "install its plugin",
        ) from error


def _by_suffix(model: Path) -> Item[ExporterSpec]:
    from zoo.registry.lookup import registry

    items = registry().items("exporter")
    found = next((item for item in items if item.spec.suffix == model.suffix), None)
    if found is None:
        known = ", ".join(sorted({item.spec.suffix for item in items}))
        raise UsageError(
            f"no installed exporter opens files ending with '{model.suffix}'",
            where=model,
            fix=f"choose a file ending with one of: {known}",
        )
    return found


def _model_name(index: dict[str, Any], bundle: Path) -> str:
    name = index.get("model")
    if not isinstance(name, str) or Path(name).name != name:
        raise CheckpointError(
            f"the bundle's {runtime.INDEX} is damaged: its model entry is missing or invalid",
            where=bundle,
            fix="export it again",
        )
    return name


def check_provider(exporter: Exporter[Any], provider: str, name: str) -> None:
    """Raise UsageError if the format ``name`` knows no such execution provider."""
    if provider not in exporter.providers:
        raise UsageError(
            f"exporter {name} has no provider '{provider}'",
            where="--provider",
            fix=f"choose one of: {', '.join(exporter.providers)}",
        )


def check_no_device(device: str) -> None:
    """Raise UsageError if an exported model is given a device."""
    if device not in ("auto", "cpu"):
        raise UsageError(
            "an exported model is run by its runtime, not by PyTorch", where="--device", fix="choose a --provider"
        )


@contextmanager
def opened(exporter: Exporter[Any], path: Path, provider: str, threads: int | None = None) -> Iterator[Runner]:
    """Open a file, and close it at the end. Raises SetupError or CheckpointError."""
    with runtime_errors():
        runner = exporter.open(path, provider, threads)
    try:
        yield runner
    finally:
        runner.close()


@contextmanager
def runtime_errors(fix: str = "export it again, or use a file that `zoo export` wrote") -> Iterator[None]:
    """Turn the errors of `zoo.runtime`, whose text may end with a fix, into zoo's."""
    try:
        yield
    except runtime.ModelError as error:
        raise _as(CheckpointError, error, fix) from error
    except runtime.SetupError as error:
        raise _as(SetupError, error, "see `zoo doctor`") from error


def _as(kind: type[ZooError], error: Exception, usual: str) -> ZooError:
    what, _, fix = str(error).partition("; fix: ")
    return kind(what, fix=fix or usual)
