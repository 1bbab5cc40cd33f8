"""Comparison of runs: metrics, differing settings, and a plot of their curves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, UsageError, ZooError
from zoo.runs.run_directory import RunDir, find, run_id
from zoo.support.atomic_files import storage_errors
from zoo.support.paths import user_path

IMAGE = "compare.png"


@dataclass(frozen=True)
class Comparison:
    """A comparison of runs; all lists are in the order of ``names``, which are distinct.

    ``differences`` has the values of each differing key. ``metrics`` are those of the test split, with None for runs
    without them. ``image`` is None if no run has curves.
    """

    names: list[str]
    facts: dict[str, list[Any]]
    metrics: dict[str, list[float | None]]
    differences: dict[str, list[Any]]
    remarks: list[str]
    image: Path | None


def compare(runs: Sequence[str | Path], out: str | Path | None = None) -> Comparison:
    """Compare two or more runs, and plot their curves to ``compare.png`` in ``out``, by default the current folder.

    Runs with damaged records are skipped, with a remark. Raises UsageError if a run is not found or given twice,
    CheckpointError if fewer than two are undamaged, StorageError if the image cannot be written.
    """
    found = [find(run) for run in runs]
    if len(found) < 2:
        raise UsageError("comparing takes two runs or more", fix="name another one (see `zoo runs`)")
    repeated = [
        str(run)
        for run, folder in zip(runs, found, strict=True)
        if sum(folder.path.samefile(other.path) for other in found) > 1
    ]
    if repeated:
        raise UsageError(f"{' and '.join(repeated)} are the same run", fix="name others by their ids (see `zoo runs`)")
    faults = [_fault(run) for run in found]
    left_out = [
        f"{run_id(run.path)} is left out: damaged: {fault}"
        for run, fault in zip(found, faults, strict=True)
        if fault is not None
    ]
    whole = [run for run, fault in zip(found, faults, strict=True) if fault is None]
    if len(whole) < 2:
        raise CheckpointError(
            f"fewer than two of these runs can be compared: {'; '.join(left_out)}", fix="see `zoo verify RUN` for each"
        )
    names = distinct_names(whole)
    remarks = [*left_out, *remarks_on(names, whole)]
    return Comparison(
        names,
        facts_of(whole),
        metrics_of(whole),
        differences_of(whole),
        remarks,
        draw(names, whole, user_path(out or ".")),
    )


def _fault(run: RunDir) -> str | None:
    """Return why a run cannot be compared (damaged records or logs), or None."""
    try:
        run.epochs()
        run.steps()
    except ZooError as error:
        return run.fault or error.what
    return run.fault


def distinct_names(runs: Sequence[RunDir]) -> list[str]:
    """Return distinct names: the labels if they are distinct, otherwise the folder names, otherwise the full ids."""
    for names in ([run.record.label for run in runs], [run.path.name for run in runs]):
        if len(set(names)) == len(names):
            return names
    return [run_id(run.path) for run in runs]


def facts_of(runs: Sequence[RunDir]) -> dict[str, list[Any]]:
    records = [run.record for run in runs]
    return {
        "run": [run_id(run.path) for run in runs],
        "status": [run.standing for run in runs],
        **{
            name: [getattr(record, name) for record in records]
            for name in ("architecture", "dataset", "task", "parameters", "macs", "seconds")
        },
        "device": [record.device.get("name") for record in records],
    }


def metrics_of(runs: Sequence[RunDir]) -> dict[str, list[float | None]]:
    results = [run.record.results.get("test", {}) for run in runs]
    return {
        name: [each.get(name) for each in results] for name in dict.fromkeys(name for each in results for name in each)
    }


def differences_of(runs: Sequence[RunDir]) -> dict[str, list[Any]]:
    """Return the configuration keys whose values differ, except the runs' names."""
    configs = [flatten(run.config.as_dict()) for run in runs]
    keys = [key for key in dict.fromkeys(key for config in configs for key in config) if key != "name"]
    rows = {key: [config.get(key) for config in configs] for key in keys}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values[1:])}


def flatten(value: Any, above: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an empty mapping is a value."""
    if not isinstance(value, dict) or not value:
        return {above: value}
    return {
        path: leaf
        for key, inner in value.items()
        for path, leaf in flatten(inner, f"{above}.{key}" if above else str(key)).items()
    }


def remarks_on(names: Sequence[str], runs: Sequence[RunDir]) -> list[str]:
    """Return remarks on what makes the runs less comparable."""
    remarks = [
        f"{name} is {run.standing}: its metrics are not final"
        for name, run in zip(names, runs, strict=True)
        if run.standing != "finished"
    ]
    evaluated: dict[tuple[str, str], list[str]] = {}
    for name, run in zip(names, runs, strict=True):
        evaluated.setdefault((run.record.dataset, run.record.fingerprint), []).append(name)
    if len(evaluated) > 1:
        groups = "; ".join(
            f"{', '.join(group)} on {dataset} ({fingerprint[:12]})"
            for (dataset, fingerprint), group in evaluated.items()
        )
        remarks.append(f"these runs saw different data, so their figures do not compare: {groups}")
    return remarks


def unused(file: Path) -> Path:
    """Return the path, or with a number appended if the file exists, so that nothing is overwritten."""
    paths = (file, *(file.with_stem(f"{file.stem}-{number}") for number in range(2, 10_000)))
    return next(path for path in paths if not os.path.lexists(path))


def draw(names: Sequence[str], runs: Sequence[RunDir], folder: Path) -> Path | None:
    from zoo.reporting import plots

    curves = {name: (run.epochs(), run.steps()) for name, run in zip(names, runs, strict=True)}
    if not any(rows or steps for rows, steps in curves.values()):
        return None
    if folder.exists() and not folder.is_dir():
        raise UsageError("the image's folder is a file", where=folder, fix="choose another --out")
    file = unused(folder / IMAGE)
    with storage_errors(file):
        plots.compared_curves(file, curves, "runs compared")
    return file
