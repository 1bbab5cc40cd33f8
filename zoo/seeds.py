"""One recipe, several seeds: what a figure is worth is its mean and its spread."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo import runner
from zoo.console import Console
from zoo.errors import UsageError
from zoo.files import write_json
from zoo.registry import registry
from zoo.resolve import merge, resolve
from zoo.runner import RunResult


@dataclass(frozen=True)
class SeedsResult:
    """The runs, and for each metric the mean and the sample standard deviation over them. ``path`` is the summary file."""

    path: Path
    runs: list[RunResult]
    metrics: dict[str, dict[str, float]]


def run_seeds(
    count: int,
    name: str | None = None,
    *,
    config_file: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    out: Path | None = None,
    console: Console | None = None,
) -> SeedsResult:
    """Run with ``count`` seeds, from the configuration's own upwards, each in a run directory of its own. Raises ZooError at the first that fails."""
    if count < 1:
        raise UsageError(f"--seeds must be at least 1, not {count}", fix="for example --seeds 3")
    console = console or Console()
    config = resolve(registry(), name, file=config_file, overrides=overrides)
    runs: list[RunResult] = []
    for seed in range(config.seed, config.seed + count):
        own: dict[str, Any] = merge(merge({}, overrides or {}), {"seed": seed})
        if config.name is not None:
            own["name"] = f"{config.name}-seed{seed}"
        console.note(f"seed {seed} ({len(runs) + 1} of {count})")
        runs.append(runner.run(name, config_file=config_file, overrides=own, out=out / f"seed{seed}" if out else None, console=console))
    metrics = summarise([each.metrics for each in runs])
    folders = [each.path for each in runs if each.path is not None]
    summary = folders[0].parent / f"seeds-{folders[0].name}.json"
    write_json(summary, {"seeds": [config.seed + index for index in range(count)], "metrics": metrics, "runs": [str(folder) for folder in folders]})
    for metric, found in metrics.items():
        console.note(f"{metric}: {found['mean']:.4f} ± {found['sd']:.4f} over {count} seeds")
    console.note(f"summary: {summary}")
    return SeedsResult(summary, runs, metrics)


def summarise(results: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation (n - 1; 0 for a single run) of each metric."""
    return {
        metric: {
            "mean": statistics.fmean(each[metric] for each in results),
            "sd": statistics.stdev([each[metric] for each in results]) if len(results) > 1 else 0.0,
        }
        for metric in results[0]
    }
