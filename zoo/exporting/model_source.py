"""The model to export: a run, otherwise the newest finished run of a recipe or architecture, otherwise its pretrained
weights; or an architecture or recipe with weights that are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo.errors import CheckpointError, UnknownNameError
from zoo.registry.lookup import Item, Registry
from zoo.runs import run_directory
from zoo.runs.published_weights import find_published
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir
from zoo.support.paths import runs_root

if TYPE_CHECKING:
    from zoo.api import ArchitectureSpec
    from zoo.runs.load_model import LoadedModel


class Source(NamedTuple):
    """The model, and a sentence with its origin."""

    loaded: LoadedModel
    sentence: str


def locate(registry: Registry, name: str, weights: str | None = None, key: str | None = None) -> Source:
    """Return the model for ``name``, an architecture or a recipe if ``weights`` are given (with ``key``, one of several
    networks in the file).

    Raises UnknownNameError if it is neither a run nor registered, CheckpointError if it has nothing to export.
    """
    if weights is not None or key is not None:
        return _published(registry, name, weights, key)
    run = _run_at(name)
    if run is not None:
        return _of_run(run)
    try:
        item = registry.runnable(name)
    except UnknownNameError as unknown:
        if run_directory.is_run(name):
            return _of_run(run_directory.find_finished(name))
        raise UnknownNameError(
            "recipe", name, [*_names(registry), *(run.path.name for run in run_directory.all_runs())]
        ) from unknown
    run = _newest_run(registry, item)
    if run is not None:
        found = _of_run(run, f", the newest finished run of {item.spec.name}{_newer(item.spec.name, run)}")
        # The bundle gets the requested name.
        return found._replace(loaded=replace(found.loaded, name=item.spec.name))
    try:
        return _published(registry, item.canonical)
    except CheckpointError as error:
        other = _newest_of(item.spec.name)
        if other is None:
            raise
        what = f"{item.kind} '{name}' has no finished run with its own options of network, dataset and task"
        raise CheckpointError(
            what, where=f"looked under {runs_root()}", fix=f"zoo export {run_directory.run_id(other.path)}"
        ) from error


def _run_at(name: str) -> RunDir | None:
    """Return the run whose folder is ``name``, as a path or under ``ZOO_RUNS``; None if there is none."""
    for path in (Path(name), runs_root() / name):
        if (path / "run.json").is_file():
            return RunDir(path)
    return None


def _newest_run(registry: Registry, item: Item[ArchitectureSpec]) -> RunDir | None:
    from zoo.runs.load_model import newest_run

    if item.kind == "recipe":
        return newest_run(resolve(registry, item.canonical).config)
    finished = (
        run
        for run, record in run_directory.usable_runs()
        if record.status == "finished" and record.architecture == item.canonical
    )
    return next(finished, None)


def _newer(label: str, run: RunDir) -> str:
    """Say that a newer run of this name is not exported, because it has other options."""
    newest = _newest_of(label)
    if newest is None or newest.path == run.path:
        return ""
    name = run_directory.run_id(newest.path)
    return f" with these options of network, dataset and task (for the newer one with others: zoo export {name})"


def _newest_of(label: str) -> RunDir | None:
    """Return the newest finished run of this name, whatever its options."""
    finished = ((each, record) for each, record in run_directory.usable_runs() if record.status == "finished")
    return next((each for each, record in finished if record.label == label), None)


def _of_run(run: RunDir, why: str = "") -> Source:
    from zoo.runs.load_model import load_run, require_network

    require_network(run)
    record = run.record
    state = "" if record.status == "finished" else f", which is {record.status}"
    return Source(load_run(run), f"exporting run {run_directory.run_id(run.path)}{why}{state}")


def _published(registry: Registry, name: str, weights: str | None = None, key: str | None = None) -> Source:
    found = find_published(registry, name, weights, key)
    from zoo.runs.load_model import load_published

    why = f", since {found.name} has no finished run under {runs_root()}" if weights is None else ""
    return Source(load_published(registry, found), f"exporting {found.label}{why}")


def _names(registry: Registry) -> list[str]:
    return [item.spec.name for kind in ("recipe", "architecture") for item in registry.items(kind)]
