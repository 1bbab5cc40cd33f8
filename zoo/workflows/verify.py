"""``zoo verify``: check the files of a run against their digests, and report which commands still work.

It writes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo.data import dataset_cache
from zoo.errors import ZooError
from zoo.registry.lookup import registry
from zoo.runs import checkpoints, frozen_weights
from zoo.runs.plugin_check import plugin_problems, version_notes
from zoo.runs.root_json import Published, Root
from zoo.runs.run_directory import Record, RunDir, find, run_id
from zoo.support.atomic_files import sha256


@dataclass(frozen=True)
class Finding:
    """``state`` is ok, damaged, unused, or (for a plugin) missing; ``detail`` is the reason if it is not ok."""

    part: str
    state: str = "ok"
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """The result. ``resume`` is the checkpoint for `zoo run --resume`, ``use`` that for evaluate, predict and export;
    None if there is none."""

    run: str
    path: Path
    findings: list[Finding]
    resume: str | None
    use: str | None
    advice: str

    @property
    def damaged(self) -> bool:
        return any(finding.state == "damaged" for finding in self.findings)


def verify(name: str | Path) -> Verification:
    """Check every file with a digest in root.json, and the cached arrays of the run's dataset.

    Raises UsageError if there is no such run.
    """
    run = find(name)
    where = run_id(run.path), run.path
    roots = [_record("root.json", lambda: run.root)]
    if roots[0].state == "damaged":
        return Verification(
            *where,
            roots,
            None,
            None,
            "no file can be verified without root.json: restore it from a copy of the run, or train again",
        )
    records = [*roots, _record("config.yaml", lambda: run.config), _record("run.json", lambda: run.record)]
    root = run.root
    findings = [*records, *_checkpoints(run, root)]
    resume, use = None, None
    if all(finding.state == "ok" for finding in records):
        resume, use = _resumable(run), _usable(run)
        findings += [*_cached(run.record.dataset), *_plugins(run.record)]
    return Verification(*where, findings, resume, use, _advice(run, findings, resume, use))


def _record(part: str, read: Callable[[], object]) -> Finding:
    try:
        read()
    except ZooError as error:
        return Finding(part, "damaged", error.what)
    return Finding(part)


def _checkpoints(run: RunDir, root: Root) -> list[Finding]:
    """Check each listed checkpoint and each copy of frozen weights, and report folders that are not listed."""
    folder, digest = run.checkpoints, functools.cache(sha256)
    found = []
    for entry in root.checkpoints:
        fault = checkpoints.damage(folder, root, entry, digest)
        found.append(Finding(f"{entry.name}{_roles(entry, root)}", "ok" if fault is None else "damaged", fault or ""))
    for content in checkpoints.frozen_digests(folder, root):
        damaged = frozen_weights.damaged_copies(folder, content, digest)
        copies = frozen_weights.copies(folder, content)
        found += [
            Finding(path.name, "damaged", "it is missing or changed") if path in damaged else Finding(path.name)
            for path in copies
        ]
    return [*found, *(Finding(name, "unused", why) for name, why in checkpoints.unlisted(run, root).items())]


def _roles(entry: Published, root: Root) -> str:
    roles = [
        role for role, name in (("last", root.last and root.last.name), ("best", root.chosen)) if name == entry.name
    ]
    return f" ({', '.join(roles)})" if roles else ""


def _cached(dataset: str) -> list[Finding]:
    """Check the cached arrays of the run's dataset."""
    names = (dataset, dataset.rpartition("/")[2])
    mine = [entry for entry in dataset_cache.entries() if entry.digests and entry.description.get("dataset") in names]
    faults = {f"cache {entry.key}": dataset_cache.damage(entry) for entry in mine}
    again = "it is rebuilt at its next use"
    return [
        Finding(part) if fault is None else Finding(part, "damaged", f"{fault}; {again}")
        for part, fault in faults.items()
    ]


def _plugins(record: Record) -> list[Finding]:
    """Return the plugins that are missing or have another version than in the run."""
    problems = [Finding("plugin", "missing", str(problem)) for problem in plugin_problems(record, registry())]
    return [*problems, *(Finding("plugin", "ok", line) for line in version_notes(record, registry()))]


def _resumable(run: RunDir) -> str | None:
    try:
        return checkpoints.newest_good(run)[0].name
    except ZooError:
        return None


def _usable(run: RunDir) -> str | None:
    try:
        return checkpoints.chosen(run).name
    except ZooError:
        return None


def _advice(run: RunDir, findings: list[Finding], resume: str | None, use: str | None) -> str:
    records = [finding.part for finding in findings[:3] if finding.state == "damaged"]
    if records:
        return f"restore {' and '.join(records)} from a copy of the run; until then, the run cannot be used"
    if any(finding.state == "missing" for finding in findings):
        return "install the plugins of the run first; until then, it cannot be used or resumed"
    done = run.record.status == "finished"
    if use is not None:
        more = "" if done or resume is None else f"; `zoo run --resume {run_id(run.path)}` continues from {resume}"
        return f"evaluate, predict and export use {use}{more}"
    if resume is not None:
        return (
            f"nothing can be evaluated or exported until `zoo run --resume {run_id(run.path)}` has gone back to "
            f"{resume} and trained again"
        )
    return "no checkpoint is left: start the run again with `zoo run --config` and its config.yaml"
