"""What a network descends from: its initial weights and its teacher, with their data and licences."""

from __future__ import annotations

from typing import Any

from zoo.errors import ZooError
from zoo.registry.lookup import Registry
from zoo.runs.file_weights import FileWeights
from zoo.runs.initial_weights import NamedWeights, RunWeights, Weights
from zoo.runs.plan import RunPlan
from zoo.runs.run_directory import RunDir, find, run_id
from zoo.support.atomic_files import sha256


def ancestry(catalogue: Registry, plan: RunPlan) -> list[dict[str, Any]]:
    """Return the ancestors of a run's network, the nearest first, as JSON; empty after random initialisation.

    ``role`` is "initial weights" or "teacher". An ancestor that was trained from others is followed by these.
    """
    found = _of_weights(catalogue, plan.weights)
    teacher = plan.config.train.teacher
    return found if teacher is None else [*found, *_of_run(catalogue, find(teacher), "teacher")]


def _of_weights(catalogue: Registry, weights: Weights) -> list[dict[str, Any]]:
    match weights:
        case NamedWeights(item=item, text=name, spec=spec):
            facts = {"dataset": spec.dataset, "licence": spec.licence, "source": spec.url, "sha256": spec.sha256}
            return [_entry("initial weights", f"{item.canonical}:{name}", facts)]
        case FileWeights(text=text, path=path, fetched=fetched):
            name = path.name if fetched is None else text
            return [_entry("initial weights", name, {"sha256": sha256(path)})]
        case RunWeights(run=run):
            return _of_run(catalogue, run, "initial weights")
    return []


def _of_run(catalogue: Registry, run: RunDir, role: str) -> list[dict[str, Any]]:
    record = run.record
    facts = {"dataset": record.dataset, "dataset_licence": dataset_licence(catalogue, record.dataset)}
    return [_entry(role, f"run {run_id(run.path)}", facts), *record.ancestry]


def _entry(role: str, name: str, facts: dict[str, Any]) -> dict[str, Any]:
    return {"role": role, "name": name, **{key: value for key, value in facts.items() if value is not None}}


def dataset_licence(catalogue: Registry, name: str) -> str | None:
    """Return the licence in a dataset's spec; None if its plugin is not installed."""
    try:
        return catalogue.dataset(name).spec.licence
    except ZooError:
        return None
