"""`zoo run --seeds`: run a configuration with several seeds, and report mean and standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.run_config import RunConfig
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.python_arguments import Objects, as_layer, with_objects
from zoo.runs.resolve_config import merge, resolve
from zoo.runs.run_directory import Record, RunDir, new_path
from zoo.support.atomic_files import write_json
from zoo.support.formatting import label, plural, spread
from zoo.support.paths import optional_path
from zoo.workflows import run
from zoo.workflows.command_line import command_line
from zoo.workflows.run_result import RunResult

if TYPE_CHECKING:
    from torch import nn

    from zoo.api import Target, TargetKind


@dataclass(frozen=True)
class SeedsResult:
    """The runs, and the mean and sample standard deviation of each metric. ``path`` is the summary file."""

    path: Path
    runs: list[RunResult]
    metrics: dict[str, dict[str, Any]]


def run_seeds(
    count: int,
    name: str | None = None,
    *,
    model: nn.Module | Any = None,
    data: Any = None,
    target: TargetKind | Target | None = None,
    names: Sequence[str] | None = None,
    config_file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002
    out: str | Path | None = None,
    quality: bool = False,
    quiet: bool = False,
    console: Console | None = None,
    **settings: Any,
) -> SeedsResult:
    """Run with ``count`` consecutive seeds, starting with the configuration's, each in its own run directory.

    The other arguments are those of `zoo.run`. A ``model`` that is a module starts from its own weights in each run;
    pass a function that returns one, so that the seed sets them. Raises ZooError at the first failure.
    """
    if count < 1:
        raise UsageError(f"--seeds must be at least 1, not {count}", fix="for example --seeds 3")
    console, config_file, out = console or Console(quiet=quiet), optional_path(config_file), optional_path(out)
    layer = merge(merge({}, overrides or {}), as_layer(set, settings))
    overrides = with_objects(registry(), name, config_file, layer, Objects(model, data, target, names))
    config = resolve(registry(), name, file=config_file, overrides=overrides, quality=quality).config
    runs: list[RunResult] = []
    seeds = range(config.seed, config.seed + count)
    run_names = {seed: None if config.name is None else f"{config.name}-seed{seed}" for seed in seeds}
    places = {seed: None if out is None else out / f"seed{seed}" for seed in seeds}
    for seed in seeds:  # before the first run: the last directory may exist as well
        new_path(config.model_copy(update={"name": run_names[seed]}), places[seed])
    for seed in seeds:
        if runs and config.train.batch_size == "auto":  # chosen once, so that the seeds differ in nothing else
            overrides = merge(merge({}, overrides), {"train": {"batch_size": batch_size_of(runs[0])}})
        own: dict[str, Any] = merge(merge({}, overrides), {"seed": seed})
        if run_names[seed] is not None:
            own["name"] = run_names[seed]
        console.print(f"seed {seed} ({len(runs) + 1} of {count})")
        place = places[seed]
        runs.append(run.run(name, config_file=config_file, overrides=own, out=place, quality=quality, console=console))
    metrics = summarise([each.metrics for each in runs])
    folders = [each.path for each in runs if each.path is not None]
    summary = folders[0].parent / f"seeds-{folders[0].name}.json"
    told = command(count, name, config_file, overrides)
    write_json(summary, account(config, told, runs) | {"metrics": metrics, "runs": [folder.name for folder in folders]})
    for metric, found in metrics.items():
        console.print(f"{label(metric)}: {spread(metric, found['mean'], found['sd'])} over {plural(count, 'seed')}")
    console.print(f"summary: {summary}")
    return SeedsResult(summary, runs, metrics)


def batch_size_of(result: RunResult) -> int | str:
    """Return the batch size that a run chose."""
    return "auto" if result.path is None else RunDir(result.path).config.train.batch_size


def command(count: int, name: str | None, config_file: Path | None, overrides: Mapping[str, Any]) -> str:
    """Return the command line that repeats these runs."""
    return command_line(name, config_file and config_file.name, overrides, "--seeds", str(count))


def account(config: RunConfig, told: str, runs: list[RunResult]) -> dict[str, Any]:
    """Return the conditions of the measurement: device, versions and times.

    ``seconds`` are those of whole runs: training, evaluation and report.
    """
    record = runs[0].record
    seconds = [each.record.seconds or 0.0 for each in runs]
    return {
        "recipe": config.recipe,
        "command": told,
        "date": record.created,
        "commit": record.git_commit,
        "device": device_of(record),
        "versions": record.versions,
        "dataset": record.dataset,
        "fingerprint": record.fingerprint,
        "epochs": config.train.epochs,
        "seeds": [config.seed + index for index in range(len(runs))],
        "seconds": {"median": statistics.median(seconds), "values": seconds},
    }


def device_of(record: Record) -> str:
    """Return the name of the accelerator or, on the CPU, of the processor with the number of threads."""
    name = str(record.device["name"])
    return (
        name
        if record.device["device"] != "cpu"
        else f"{record.versions['processor']}, {plural(record.device['threads'], 'thread')}"
    )


def summarise(results: list[dict[str, float]]) -> dict[str, dict[str, Any]]:
    """Return mean, sample standard deviation (n - 1; 0 for a single run) and values of each metric."""
    values = {metric: [each[metric] for each in results] for metric in results[0]}
    return {
        metric: {
            "mean": statistics.fmean(found),
            "sd": statistics.stdev(found) if len(found) > 1 else 0.0,
            "values": found,
        }
        for metric, found in values.items()
    }
