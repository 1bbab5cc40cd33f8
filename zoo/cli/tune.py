"""``zoo tune``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.config_options import DataName, Device
from zoo.cli.options import ConfigKey, overrides_of, takes
from zoo.cli.output import figure, json_alone, say, say_json, say_table
from zoo.cli.shared_options import AsJson
from zoo.errors import UsageError
from zoo.support.formatting import label

if TYPE_CHECKING:
    from zoo.workflows.tune import TuneResult
    from zoo.workflows.tune_study import TrialRecord

BEST = 10
PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True)
class TuneOptions:
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Recipe, or architecture (with --data).")] = None
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY.PATH=SPACE",
            help="Search over the values of a configuration key, such as 'train.lr=log(1e-4,1e-1)'. A search space is "
            "log(A,B), uniform(A,B), int(A,B) or choice(A,B,…). KEY.PATH=VALUE sets the key in every trial. May be "
            "repeated.",
        ),
    ] = None
    trials: Annotated[int | None, typer.Option("--trials", metavar="N", help="Number of trials; default: 20.")] = None
    data: DataName = None
    epochs: Annotated[
        str | None,
        typer.Option("--epochs", metavar="N", help="Number of epochs of each trial; default: that of the recipe."),
        ConfigKey("train.epochs"),
    ] = None
    seed: Annotated[
        str | None,
        typer.Option("--seed", metavar="N", help="Random seed of the search and of every trial."),
        ConfigKey("seed"),
    ] = None
    device: Device = None
    pruner: Annotated[
        str,
        typer.Option(
            "--pruner",
            metavar="P",
            show_default=False,
            help="Rule that stops bad trials early: median (default), hyperband or none.",
        ),
    ] = "median"
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="YAML file with a configuration, as for `zoo run`."),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for the trials and results; default: runs/NAME-tune-DATE, where DATE is the date and time "
            "with a random suffix.",
        ),
    ] = None
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="DIR",
            help="Resume the search in this folder. With --trials N, it ends after N trials in total.",
        ),
    ] = None
    as_json: AsJson = False


@takes(TuneOptions)
def tune(options: TuneOptions) -> None:
    from zoo.workflows.search_space import is_expression
    from zoo.workflows.tune import tune as search

    if options.name is None and options.config is None and options.resume is None:
        raise UsageError("no recipe or architecture is named", fix="see `zoo list recipes`, or add --resume DIR")
    if options.pruner not in PRUNERS:
        raise UsageError(f"no pruner is called '{options.pruner}'", fix=f"choose {', '.join(PRUNERS)}")
    space: dict[str, str] = {}
    plain: list[str] = []
    for text in options.assignments or []:
        key, _, given = text.partition("=")
        if not is_expression(given):
            plain.append(text)
        elif key.strip() in space:
            raise UsageError(f"{key.strip()} is searched twice", fix="keep one --set of it")
        else:
            space[key.strip()] = given
    with json_alone(options.as_json):
        found = search(
            options.name,
            space,
            trials=options.trials,
            config_file=options.config,
            overrides=overrides_of(options, plain),
            pruner=options.pruner,  # type: ignore[arg-type]
            out=options.out,
            resume=options.resume,
        )
    if options.as_json:
        say_json(facts(found))
    else:
        _show(found)


def facts(found: TuneResult) -> dict[str, Any]:
    record = found.record
    return {
        "path": str(found.path.absolute()),
        "metric": record.metric,
        "mode": record.mode,
        "best": _trial(found.best, found.path),
        "test": record.test,
        "command": record.command,
        "importances": record.importances,
        "trials": [_trial(each, found.path) for each in record.trials],
        "plots": [str(plot.absolute()) for plot in found.plots],
    }


def _trial(trial: TrialRecord, folder: Path) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": trial.value,
        "epochs": len(trial.values),
        "params": trial.params,
        "run": str((folder / trial.run).absolute()),
    }


def _show(found: TuneResult) -> None:
    record = found.record
    keys = list(record.space)
    best = record.finished[:BEST]
    say()
    say_table(
        ["trial", label(record.metric.removeprefix("val_")) + " (val)", *keys, "run"],
        [
            [
                str(each.number),
                "" if each.value is None else f"{each.value:.4f}",
                *(_shown(each.params[key]) for key in keys),
                each.run,
            ]
            for each in best
        ],
    )
    counts = {state: sum(each.state == state for each in record.trials) for state in ("finished", "pruned", "failed")}
    say(f"\n{', '.join(f'{count} {state}' for state, count in counts.items() if count)}", lines=True)
    if record.test:
        say(f"best trial, test split: {', '.join(figure(name, value) for name, value in record.test.items())}")
    if record.importances:
        told = ", ".join(f"{key} {share:.0%}" for key, share in record.importances.items())
        say(f"importance of each key (fANOVA): {told}")
    say(f"plots: {', '.join(map(str, found.plots))}")
    say(f"repeat the best trial: {record.command}")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
