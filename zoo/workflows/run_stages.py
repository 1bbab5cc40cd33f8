"""The stages of a run: data → model → adapt → fit → decide → evaluate → report, in a run directory."""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from torch import nn

from zoo.api import Embedding, EvaluationResult, Part, PartView, Raw, ReportItem
from zoo.data.data_loader import Data
from zoo.errors import Interrupted, StorageError
from zoo.models.building import count_macs, count_parameters, load_state
from zoo.registry.lookup import calls_of, registry
from zoo.reporting import run_results
from zoo.reporting.console import Console
from zoo.reporting.html_page import write_page
from zoo.reporting.run_reporter import RunReporter
from zoo.runs import checkpoints
from zoo.runs.ancestry import ancestry
from zoo.runs.plan import RunPlan
from zoo.runs.python_objects import origins
from zoo.runs.run_directory import Record, RunDir, create, label_of, run_id
from zoo.support.atomic_files import remove_temporaries, write_json, write_text
from zoo.support.formatting import duration, figure, plural
from zoo.training.evaluation import write_per_sample, write_predictions
from zoo.training.feature_cache import keep_features
from zoo.training.gallery import write_gallery
from zoo.training.preparation import Prepared, prepare
from zoo.training.resume import resume as resume_job
from zoo.training.solving import keep_adapted, solve
from zoo.training.train_state import EarlyStop, Learning, Progress, TrainState, steps_per_epoch
from zoo.training.trainer import fit
from zoo.workflows.run_result import RunResult


def start(plan: RunPlan, where: Path, console: Console, trial: EarlyStop | None = None) -> RunResult:
    """Carry a plan out, in a new run directory (`new_path`).

    A ``trial`` may stop the training after an epoch, and is evaluated on the validation split.
    """
    prepared = prepare(plan)
    _introduce(prepared, console)
    return _carry_out(create(prepared.config, where), prepared, console, resumed=False, trial=trial)


def go_on(
    where: RunDir, plan: RunPlan, console: Console, *, inexact: bool, trial: EarlyStop | None = None
) -> RunResult:
    """Carry on with a run that was stopped."""
    prepared = prepare(plan, where.record)
    _introduce(prepared, console)
    return _carry_out(where, prepared, console, resumed=True, inexact=inexact, trial=trial)


def _introduce(prepared: Prepared, console: Console) -> None:
    config, data, engine = prepared.config, prepared.data, prepared.engine.describe()
    parameters, trainable = count_parameters(prepared.model)
    counts = ", ".join(f"{part} {count:,}" for part, count in data.samples.items())
    trained = "" if trainable == parameters else f", {trainable:,} of them trained"
    name = f"{config.architecture.name}: {parameters:,} parameters{trained}; " if config.architecture else ""
    console.print(f"{name}{data.name}: {counts}; task {config.task.name}")
    form = ", channels last" if engine["channels_last"] else ""
    device = engine["device"] if engine["device"] == engine["name"] else f"{engine['device']} ({engine['name']})"
    console.print(f"device {device}, {engine['precision']}{form}, seed {config.seed}")
    for note in prepared.notes:
        console.print(f"note: {note}")


def dry_run(plan: RunPlan, console: Console) -> RunResult:
    prepared = prepare(plan, compute=False)
    _introduce(prepared, console)
    train = prepared.config.train
    if not prepared.trains:
        console.print("dry run: nothing was computed or written")
    else:
        steps = steps_per_epoch(train, len(prepared.data.part("train"))) * train.epochs
        console.print(
            f"dry run: {plural(train.epochs, 'epoch')}, {steps:,} steps, batch size {train.batch_size}; "
            "nothing was trained or written"
        )
    return RunResult(None, _new_record(prepared, "dry-run"), {})


def _new_record(prepared: Prepared, identity: str) -> Record:
    config, data = prepared.config, prepared.data
    parameters, trainable = count_parameters(prepared.model)
    return Record(
        id=identity,
        status="running",
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        label=label_of(config),
        architecture=config.architecture.name if config.architecture else None,
        dataset=config.dataset.name,
        task=config.task.name,
        target=data.target,
        preprocessing=data.preprocessing,
        statistics={} if prepared.learning is None else prepared.learning.statistics,
        adaptations=[] if prepared.learning is None else prepared.learning.made,
        solution=prepared.solution,
        parameters=parameters,
        trainable=trainable,
        macs=count_macs(prepared.model, data.preprocessing.shape) if config.architecture else None,
        samples=data.samples,
        fingerprint=data.fingerprint,
        ancestry=ancestry(registry(), prepared.plan),
        python=origins({"architecture": prepared.plan.architecture, "dataset": prepared.plan.dataset}),
        notes=prepared.notes,
        device=prepared.engine.describe(),
        **run_results.facts(registry()),
    )


def _carry_out(
    where: RunDir,
    prepared: Prepared,
    console: Console,
    *,
    resumed: bool,
    inexact: bool = False,
    trial: EarlyStop | None = None,
) -> RunResult:
    """Train, evaluate and report under the run's lock; record the outcome in run.json."""
    prepared.early_stop = trial
    with where.lock():
        remove_temporaries(where.path)
        console.log = where.log_file
        record = where.record if resumed else _new_record(prepared, run_id(where.path))
        if not resumed:
            where.bind(record)
        record.status = "running"
        if prepared.data.quarantine:
            write_json(where.path / "quarantine.json", list(prepared.data.quarantine))
        if prepared.start:
            run_results.write_start(where.path / "weights.csv", prepared.start)
        where.write_record(record)
        reporter = RunReporter(console, where, record)
        reporter.started(prepared.config.as_dict(), resumed=resumed)
        try:
            with calls_of(prepared.plan.items, "the run", console.warn):
                metrics = _train_and_evaluate(where, record, prepared, reporter, inexact if resumed else None)
            record.status = "finished"
            where.error_file.unlink(missing_ok=True)  # of an earlier attempt
            reporter.stamp()
            write_page(where, record)
        except BaseException as error:
            record.status = "interrupted" if isinstance(error, (Interrupted, KeyboardInterrupt)) else "failed"
            with suppress(StorageError):  # on a full disk, for example: the original error matters more
                write_text(where.error_file, traceback.format_exc())
            raise
        finally:
            console.close()
            reporter.ended()
    _conclude(where, record, console)
    return RunResult(where.path, record, metrics)


def _train_and_evaluate(
    where: RunDir, record: Record, prepared: Prepared, reporter: RunReporter, inexact: bool | None
) -> dict[str, float]:
    data = prepared.data
    prepared.lines.print_to(reporter.print)
    model = (_train if prepared.trains else _without_training)(where, record, prepared, reporter, inexact)
    part = evaluated_parts(prepared)[0]
    view = data.part(part)
    _fit_decision(record, prepared, model)
    _write_gallery(where, record, prepared, model)
    found = _evaluate(record, prepared, model, part)
    record.results[part] = dict(found.metrics)
    record.intervals[part] = dict(found.intervals)
    where.write_record(record)
    reporter.evaluated(part, found.metrics, len(view))
    run_results.write_samples(where.samples, view, data.target)
    shown = _report(prepared, record, found, view, where.path)
    drawn = (
        [*run_results.write_curves(where, record), *run_results.write_images(where, record, data)]
        if prepared.trains
        else []
    )
    record.report_items = [
        *drawn[:1],
        *shown,
        *drawn[1:],
        *(predict_unlabelled(where, record, prepared, model) if "predict" in evaluated_parts(prepared)[1:] else ()),
    ]
    return dict(found.metrics)


def evaluated_part(data: Data) -> Part:
    """Return the test split or, for data without one, another split."""
    return "test" if "test" in data.parts else next(iter(data.parts))


def evaluated_parts(prepared: Prepared) -> list[Part]:
    """Return the split that is evaluated after training, and the unlabelled one if there is one."""
    first: Part = "val" if prepared.early_stop else evaluated_part(prepared.data)
    return [first, *(part for part in prepared.data.parts if part == "predict" != first)]


def _fit_decision(record: Record, prepared: Prepared, model: nn.Module) -> None:
    """Fit the decision on the validation split if there is one; the evaluation on the test split uses it."""
    learning, data = prepared.learning, prepared.data
    if learning is None:
        record.decision = Raw()
        return
    val = None
    if "val" in data.parts:
        batch_size = prepared.config.train.eval_batch_size
        val = learning.evaluate(model, data.part("val"), batch_size, features=prepared.features)
    with calls_of(prepared.plan.task.items, "fitting the decision"):
        record.decision = learning.task.decision(val)


def _write_gallery(where: RunDir, record: Record, prepared: Prepared, model: nn.Module) -> None:
    """Write the gallery that the decision names, of the train split."""
    decision, learning, data = record.decision, prepared.learning, prepared.data
    if learning is not None and isinstance(decision, Embedding) and decision.gallery is not None:
        batch_size, file = prepared.config.train.eval_batch_size, where.path / decision.gallery
        write_gallery(file, model, data.part("train"), data.target, batch_size, learning.reader)


def _evaluate(record: Record, prepared: Prepared, model: nn.Module, part: Part) -> EvaluationResult:
    view = prepared.data.part(part)
    if prepared.learning is None:
        if prepared.solver is None:
            raise TypeError("there is neither a task nor a solver")
        return prepared.solver.evaluate(model, view)
    batch_size = prepared.config.train.eval_batch_size
    return prepared.learning.evaluate(
        model, view, batch_size, record.decision, features=prepared.features, intervals=True
    )


def _report(
    prepared: Prepared, record: Record, found: EvaluationResult, view: PartView, folder: Path
) -> list[ReportItem]:
    """Write predictions.csv and the report items of the adaptations and the task."""
    learning, solver = prepared.learning, prepared.solver
    write_per_sample(folder / "per_sample.csv", found, view)
    if learning is None or record.decision is None:
        return [] if solver is None else list(solver.report(found, view, folder))
    write_predictions(folder / "predictions.csv", found, view, prepared.data.target, record.decision)
    batch_size, decision = prepared.config.train.eval_batch_size, record.decision

    def evaluate(network: nn.Module, part: PartView) -> EvaluationResult:
        return learning.evaluate(network, part, batch_size, decision, intervals=True)

    changes = learning.adaptations.report(found, view, evaluate, folder)
    return [*changes, *learning.task.report(found, view, folder)]


def predict_unlabelled(where: RunDir, record: Record, prepared: Prepared, model: nn.Module) -> list[ReportItem]:
    """Predict the unlabelled images, and write the report items into a separate folder."""
    folder = where.path / "predict"
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    found = _evaluate(record, prepared, model, "predict")
    shown = _report(prepared, record, found, prepared.data.part("predict"), folder)
    return [replace(each, file=f"predict/{each.file}") for each in shown]


def _without_training(
    where: RunDir, record: Record, prepared: Prepared, reporter: RunReporter, inexact: bool | None
) -> nn.Module:
    """Return a solver's module, or the adapted network if it is not trained."""
    if inexact is not None:
        _forget_results(where, record)
    model = prepared.model.to(prepared.engine.device)
    if prepared.solver is not None:
        solution = prepared.solution or {}
        record.checkpoint = solve(where, prepared.solver, model, prepared.data, solution, reporter.print)
    elif prepared.learning is not None:
        record.checkpoint = keep_adapted(where, model, prepared.data, prepared.learning.made)
    reporter.checkpoint(Progress(), str(record.checkpoint))
    record.parameters, record.trainable = count_parameters(model)
    return model


def _train(where: RunDir, record: Record, prepared: Prepared, reporter: RunReporter, inexact: bool | None) -> nn.Module:
    """Train, and return the best model, or the last if there is no best."""
    learning = prepared.learning
    if learning is None:
        raise TypeError("there is no task to train")
    state = _train_state(where, prepared, learning, reporter)
    if inexact is not None:
        resume_job(state, inexact=inexact, accepted=partial(_forget_results, where, record))
        _note_resume(where, record, state.progress)
    progress = fit(state)
    reporter.close()
    root = where.root
    if progress.best is not None and root.last is not None and root.chosen != root.last.name:
        best = checkpoints.chosen(where)
        load_state(state.result, checkpoints.weights(best), best)
        reached = figure(progress.best["metric"], progress.best["value"])
        reporter.print(
            f"reporting on the best epoch, {progress.best['epoch']} ({reached})"
            if progress.best["epoch"]
            else f"no epoch was better on the validation split than the network before training ({reached}), which is "
            "kept"
        )
    record.checkpoint = root.chosen
    return state.result


def _train_state(where: RunDir, prepared: Prepared, learning: Learning, reporter: RunReporter) -> TrainState:
    """Return the training state, with cached features of frozen layers if possible; the teacher's outputs are then
    cached, too."""
    config, data, model, engine = prepared.config, prepared.data, prepared.model, prepared.engine
    head = None if prepared.plan.architecture is None else prepared.plan.architecture.spec.head
    train_mode = learning.adaptations.set_train_mode
    features = prepared.features = keep_features(
        config.train, model, data, engine, registry(), head, train_mode, reporter.print, evaluated_parts(prepared)
    )
    if features is not None and learning.distillation is not None:
        learning.distillation.tabulate(data.part("train"), config.train.eval_batch_size)
    return TrainState(
        config, learning, model, data, engine, where, reporter, features, prepared.early_stop, clock=reporter.clock
    )


def _forget_results(where: RunDir, record: Record) -> None:
    """Remove the results before the run is resumed from another checkpoint."""
    record.results, record.intervals, record.checkpoint = {}, {}, None
    where.write_record(record)


def _note_resume(where: RunDir, record: Record, progress: Progress) -> None:
    """Record where the training goes on; resumes after this step were of a training that is repeated now."""
    here = {"step": progress.step, "epoch": progress.epoch + 1, "batches": progress.batch}
    record.resumed = [*(each for each in record.resumed if each["step"] < progress.step), here]
    where.write_record(record)


def _conclude(where: RunDir, record: Record, console: Console) -> None:
    part, metrics = next(reversed(record.results.items()))
    console.print(
        f"{part} split, {plural(record.samples[part], 'sample')}: "
        f"{', '.join(figure(name, value) for name, value in metrics.items())}"
    )
    console.print(f"run {record.id} finished in {duration(record.seconds)}; report: {where.page_file}")
