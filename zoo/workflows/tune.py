"""`zoo tune`: search hyperparameters by trials, which are ordinary runs evaluated on the validation split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.errors import CheckpointError, ConfigError, DivergedError, Interrupted, OutOfMemory, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.plan import RunPlan
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir, label_of, new_path
from zoo.support.formatting import figure, plural
from zoo.support.paths import optional_path, user_path
from zoo.workflows.command_line import command_line
from zoo.workflows.search_space import check_space, parse_space, with_params
from zoo.workflows.tune_study import (
    FILE,
    Proposal,
    Pruner,
    StudyRecord,
    TrialRecord,
    importances,
    read_study,
    require_optuna,
    run_name,
    write_study,
)

TRIALS = 20


@dataclass(frozen=True)
class TuneResult:
    """The folder of a tuning, its record (`tune.json`), and the plots."""

    path: Path
    record: StudyRecord
    plots: tuple[Path, ...]

    @property
    def best(self) -> TrialRecord:
        """The best finished trial."""
        return self.record.finished[0]


def tune(
    name: str | None = None,
    space: Mapping[str, str] | None = None,
    *,
    trials: int | None = None,
    config_file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    pruner: Pruner = "median",
    out: str | Path | None = None,
    resume: str | Path | None = None,
    console: Console | None = None,
) -> TuneResult:
    """Search for the configuration with the best validation metric, with Optuna's TPE sampler.

    ``space`` gives the values of each searched key: ``{"train.lr": "log(1e-4, 1e-1)", "train.batch_size":
    "choice(16, 32)"}``; also ``uniform(a, b)`` and ``int(a, b)``. The metric is the task's monitor. ``pruner`` stops
    trials after an epoch: ``"median"``, ``"hyperband"`` or ``"none"``. ``out`` is a new folder, whose subfolders are
    the runs of the trials. Only the best trial is evaluated on the test split.

    ``resume`` is the folder of a tuning to continue, up to ``trials`` trials if given. Raises UsageError if there is no
    validation split or nothing to train, and ZooError if a trial fails for another reason than a loss that is not
    finite, or too little memory.
    """
    console = console or Console()
    require_optuna()
    if resume is not None:
        if name is not None or space or overrides or config_file is not None or out is not None:
            raise UsageError("--resume uses the settings of the tuning", fix="give only --trials with it")
        folder = user_path(resume)
        record = read_study(folder)
        record.wanted = max(trials or record.wanted, len(record.trials))
    else:
        folder, record = _new_study(name, space or {}, trials, optional_path(config_file), overrides or {}, pruner, out)
    with RunDir(folder).lock():
        return _search(folder, record, console)


def _new_study(
    name: str | None,
    expressions: Mapping[str, str],
    trials: int | None,
    file: Path | None,
    overrides: Mapping[str, Any],
    pruner: Pruner,
    out: str | Path | None,
) -> tuple[Path, StudyRecord]:
    wanted = TRIALS if trials is None else trials
    if wanted < 1:
        raise UsageError(f"--trials must be at least 1, not {wanted}", fix="for example --trials 20")
    space = parse_space(expressions)
    config = resolve(registry(), name, file=file, overrides=overrides).config
    plan = check_space(space, name, file, overrides)
    metric, mode, has_test = _monitor(plan)
    label = f"{label_of(config)}-tune"
    folder = new_path(config, optional_path(out))
    folder = folder if out is not None else folder.parent.with_name(f"{label}-{folder.name}")
    folder.mkdir(parents=True, exist_ok=True)
    record = StudyRecord(
        name=name,
        config_file=None if file is None else str(file.absolute()),
        overrides=dict(overrides),
        space=dict(expressions),
        config=config.as_dict(),
        metric=metric,
        mode=mode,
        pruner=pruner,
        seed=config.seed,
        wanted=wanted,
        has_test=has_test,
    )
    write_study(folder, record)
    return folder, record


def _monitor(plan: RunPlan) -> tuple[str, Literal["max", "min"], bool]:
    """Return the validation metric of a plan, its mode, and whether there is a test split.

    Raises UsageError if a trial has no such metric.
    """
    from zoo.training.preparation import prepare

    prepared = prepare(plan, compute=False)
    if prepared.learning is None or not prepared.trains:
        raise UsageError(
            f"nothing is trained by {plan.task.label}, so there is nothing to tune", fix="use another task"
        )
    if "val" not in prepared.data.parts:
        raise UsageError(
            f"trials are compared on the validation split, and {prepared.data.name} has none",
            fix="use a part of train: --set dataset.val_fraction=0.2",
        )
    monitor = prepared.learning.task.monitor
    return f"val_{monitor.metric}", monitor.mode, "test" in prepared.data.parts


def _search(folder: Path, record: StudyRecord, console: Console) -> TuneResult:
    space = parse_space(record.space)
    file = optional_path(record.config_file)
    plan = resolve(registry(), record.name, file=file, overrides=record.overrides)
    if plan.config.as_dict() != record.config:
        raise ConfigError(
            ["the recipe or the file was changed since the tuning started; fix: start a new tuning"], where=folder
        )
    console.print(f"{plural(record.wanted, 'trial')} in {folder}: {record.metric}, {record.mode}")
    epochs = plan.config.train.epochs
    try:
        for trial in [each for each in record.trials if each.state == "running"]:
            _run_trial(folder, record, trial, Proposal(record, space, epochs, trial.params), console)
        while len(record.trials) < record.wanted:
            proposal, number = Proposal(record, space, epochs), len(record.trials) + 1
            trial = TrialRecord(number=number, params=proposal.params, run=run_name(number))
            record.trials.append(trial)
            write_study(folder, record)
            _run_trial(folder, record, trial, proposal, console)
    except Interrupted as error:
        fix = f"continue with `zoo tune --resume {folder}`"
        raise Interrupted(error.what, signum=error.exit_code - 128, where=folder, fix=fix) from error
    return _conclude(folder, record, file)


def _run_trial(folder: Path, record: StudyRecord, trial: TrialRecord, proposal: Proposal, console: Console) -> None:
    """Run a trial, or the rest of it; write its outcome into tune.json."""
    told = ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in trial.params.items()
    )
    console.print(f"trial {trial.number} of {record.wanted}: {told}")
    pruned = False

    def stop(rows: Sequence[Mapping[str, float]]) -> str | None:
        nonlocal pruned
        pruned = len(rows) < epochs and proposal.prunes(_values(rows, record.metric))
        return f"pruned ({record.pruner})" if pruned else None

    from zoo.training.devices import free_memory

    where = RunDir(folder / trial.run)
    plan = resolve(
        registry(),
        record.name,
        file=optional_path(record.config_file),
        overrides=with_params(record.overrides, trial.params),
    )
    epochs = plan.config.train.epochs
    try:
        if _is_finished(where):  # killed before tune.json was written
            stop(where.epochs())
        else:
            _train(where, plan, stop)
        trial.state = "pruned" if pruned else "finished"
    except (DivergedError, OutOfMemory) as error:
        trial.state, trial.error = "failed", error.what
    if trial.state == "failed":  # outside of the handler, whose error refers to the tensors
        free_memory()
    trial.values = _values(where.epochs(), record.metric)
    trial.rungs = proposal.rungs
    trial.value = record.best_of(list(trial.values.values()))
    write_study(folder, record)
    best = record.finished
    reached = "no epoch" if trial.value is None else figure(record.metric, trial.value)
    leading = f"; best: {figure(record.metric, best[0].value or 0.0)} (trial {best[0].number})" if best else ""
    console.print(f"  {trial.state} after {plural(len(trial.values), 'epoch')}: {trial.error or reached}{leading}")


def _is_finished(where: RunDir) -> bool:
    return where.record_file.exists() and where.record.status == "finished"


def _train(where: RunDir, plan: RunPlan, stop: Callable[[Sequence[Mapping[str, float]]], str | None]) -> None:
    """Start the run of a trial, or continue it if it was stopped."""
    from zoo.training.devices import out_of_memory
    from zoo.workflows import run_stages

    quiet = Console(quiet=True)
    with out_of_memory(f"batch size {plan.config.train.batch_size}"):  # also before the first batch
        if where.record_file.exists():
            run_stages.go_on(where, plan, quiet, inexact=False, trial=stop)
            return
        if where.path.exists():
            _remove_unbegun(where.path)
        run_stages.start(plan, where.path, quiet, stop)


def _remove_unbegun(folder: Path) -> None:
    """Remove the folder of a run that was killed before its first record."""
    import shutil

    if any((folder / "checkpoints").glob("*")):
        raise CheckpointError("this run has checkpoints and no run.json", where=folder, fix="remove the folder")
    shutil.rmtree(folder)


def _values(rows: Sequence[Mapping[str, float]], metric: str) -> dict[int, float]:
    return {int(row["epoch"]): row[metric] for row in rows if metric in row}


def _conclude(folder: Path, record: StudyRecord, file: Path | None) -> TuneResult:
    """Evaluate the best trial on the test split, which no other trial has seen, and draw the plots."""
    from zoo.reporting.tune_plots import Point, draw
    from zoo.workflows.evaluate import evaluate_run

    if not record.finished:
        raise UsageError(
            f"none of the {plural(len(record.trials), 'trial')} finished",
            where=folder / FILE,
            fix=f"narrow the search space, or continue with `zoo tune --resume {folder} --trials N`",
        )
    best, space = record.finished[0], parse_space(record.space)
    if record.has_test and (record.best != best.number or record.test is None):
        record.test = dict(evaluate_run(folder / best.run, "test", device=record.config["device"]).metrics)
    record.best = best.number
    record.command = command_line(record.name, file, with_params(record.overrides, best.params))
    record.importances = importances(record, space)
    write_study(folder, record)
    plots = draw(
        folder,
        record.metric,
        record.mode,
        [Point(each.state, each.params, each.value) for each in record.trials],
        {key for key, each in space.items() if getattr(each, "kind", None) == "log"},
        record.importances,
    )
    return TuneResult(folder, record, tuple(plots))
