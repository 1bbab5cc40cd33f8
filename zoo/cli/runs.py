"""``zoo runs``"""

from __future__ import annotations

from collections import Counter
from typing import Any

from zoo.cli.output import duration, figure, note, plural, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.runs.plugin_check import notes_of
from zoo.runs.run_directory import Record, RunDir, all_runs, run_id
from zoo.support.paths import runs_root


def runs(as_json: AsJson = False) -> None:
    found, notes = [], Counter[str]()
    for run in all_runs():
        found.append(as_dict(run))
        if "fault" not in found[-1]:
            notes.update(notes_of(run.record))
    if as_json:
        say_json(found)
        return
    if not found:
        note(f"no runs under {runs_root()}; start one with `zoo run NAME` (see `zoo list recipes`)")
        return
    rows = [
        [run["id"], run["status"], run["dataset"] or "–", _main_result(run["results"]), duration(run["seconds"])]
        for run in found
    ]
    say_table(["run", "status", "dataset", "result", "took"], rows)
    for facts in found:
        if "fault" in facts:
            say(f"{facts['id']}  damaged: {facts['fault']}")
    for line, count in notes.items():
        note(f"note: {plural(count, 'run')}: {line}")


def as_dict(run: RunDir) -> dict[str, Any]:
    """What a table or a script wants to know of a run; one whose records are damaged is listed as such, with the
    reason."""
    fault = run.fault
    facts: dict[str, Any] = {"id": run_id(run.path), "path": str(run.path.absolute())}
    if fault is not None:
        return {
            **facts,
            "status": "damaged",
            "fault": fault,
            **dict.fromkeys(("created", "seconds", "architecture", "dataset", "task")),
            "results": {},
        }
    return {**facts, "status": run.standing, **facts_of(run.record)}


def facts_of(record: Record) -> dict[str, Any]:
    return {
        name: getattr(record, name) for name in ("created", "seconds", "architecture", "dataset", "task", "results")
    }


def _main_result(results: dict[str, dict[str, float]]) -> str:
    """The first metric of the test split or, without one, of the first part there is."""
    part = "test" if "test" in results else next(iter(results), None)
    metrics = results.get(part, {}) if part else {}
    return next((figure(name, value) for name, value in metrics.items()), "–")
