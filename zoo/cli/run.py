"""``zoo run``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.output import json_alone, say_json
from zoo.cli.parameters import WEIGHTS_KEY, AsJson
from zoo.errors import UsageError
from zoo.resolve import SECTIONS, merge, parse_assignment

if TYPE_CHECKING:
    from zoo.runner import RunResult
    from zoo.seeds import SeedsResult

FLAGS = {
    "data": "dataset.name",
    "arch": "architecture.name",
    "task": "task.name",
    "weights": "weights",
    "weights_key": "weights_key",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "lr": "train.lr",
    "seed": "seed",
    "device": "device",
    "augment": "train.augment",
    "name": "name",
    "compile": "train.compile",
    "skip_bad_images": "dataset.skip_bad_images",
}
"""The place of each flag in the `RunConfig`, which also judges the value: numbers are taken as text, so that every fault reads the same."""


def run(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A recipe, an architecture (with --data), or a task (with --from RUN).")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="D", help="Dataset.")] = None,
    arch: Annotated[str | None, typer.Option("--arch", metavar="A", help="Architecture.")] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="T", help="Task.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", "--from", metavar="W", help="Start from weights the architecture names, a file, a run, or none.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(WEIGHTS_KEY, metavar="KEY", help="The network to take where the weights file holds several, such as ema.")
    ] = None,
    epochs: Annotated[str | None, typer.Option("--epochs", metavar="N", help="Times the training part is seen.")] = None,
    batch_size: Annotated[str | None, typer.Option("--batch-size", metavar="N", help="Samples a step.")] = None,
    lr: Annotated[str | None, typer.Option("--lr", metavar="X", help="Learning rate.")] = None,
    seed: Annotated[str | None, typer.Option("--seed", metavar="N", help="Seed of everything random.")] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", metavar="N", help="Run N seeds, from the recipe's upwards: mean ± sd.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")] = None,
    augment: Annotated[str | None, typer.Option("--augment", metavar="SPEC", help='Random changes of training pictures: "flip, crop: 4".')] = None,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network: slow to start, often faster to train.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad-images", help="Leave out training pictures that cannot be read, and list them.")] = False,
    assignments: Annotated[list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Any other key; may be repeated.")] = None,
    config: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="A YAML file over the recipe, e.g. a run's config.yaml.")] = None,
    run_name: Annotated[str | None, typer.Option("--name", metavar="N", help="Name of the run directory, in place of date and time.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The run directory itself.")] = None,
    resume: Annotated[str | None, typer.Option("--resume", metavar="RUN", help="Go on with a run that was stopped.")] = None,
    inexact: Annotated[bool, typer.Option("--inexact", help="Resume under another torch, device or thread count: no longer bit for bit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, train and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    flags = {
        "data": data, "arch": arch, "task": task, "weights": weights, "weights_key": key,
        "epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "device": device,
        "name": run_name, "augment": augment, "compile": "true" if compiled else None,
        "skip_bad_images": "true" if skip_bad else None,
    }  # fmt: skip
    _check_together(name or weights, config, resume, seed, seeds, out, dry_run, inexact)
    overrides = collect({flag: value for flag, value in flags.items() if value is not None}, assignments or [])
    facts: dict[str, Any]
    with json_alone(as_json):
        if seeds is not None:
            from zoo.seeds import run_seeds

            facts = seeds_facts(run_seeds(_count(seeds), name, config_file=config, overrides=overrides, out=out))
        else:
            from zoo.runner import run as start

            facts = run_facts(start(name, config_file=config, overrides=overrides, out=out, resume=resume, inexact=inexact, dry_run=dry_run))
    if as_json:
        say_json(facts)


def run_facts(result: RunResult) -> dict[str, Any]:
    """A run as `zoo runs --json` has it; a dry run has no path."""
    from zoo.cli.runs import facts_of

    record = result.record
    status = "dry-run" if result.path is None else record.status
    return {"id": record.id, "path": result.path and str(result.path.absolute()), "status": status, **facts_of(record)}


def seeds_facts(result: SeedsResult) -> dict[str, Any]:
    return {"summary": str(result.path.absolute()), "metrics": result.metrics, "runs": [run_facts(run) for run in result.runs]}


def collect(flags: dict[str, str], assignments: list[str]) -> dict[str, Any]:
    """Flags and assignments as one layer of a `RunConfig`. Raises UsageError where two of them speak of the same key."""
    spoken: dict[str, str] = {}
    overrides: dict[str, Any] = {}
    for flag, value in flags.items():
        _take(overrides, spoken, _nest(FLAGS[flag], value), f"--{flag.replace('_', '-')}")
    for text in assignments:
        layer = parse_assignment(text)
        for section in SECTIONS:  # `--set dataset=mnist` says the same as `--set dataset.name=mnist`
            if isinstance(layer.get(section), str):
                layer[section] = {"name": layer[section]}
        _take(overrides, spoken, layer, f"--set {text.partition('=')[0].strip()}")
    return overrides


def _take(overrides: dict[str, Any], spoken: dict[str, str], layer: dict[str, Any], speaker: str) -> None:
    for path in _paths(layer):
        for known, other in spoken.items():
            if path == known or path.startswith(f"{known}.") or known.startswith(f"{path}."):
                raise UsageError(f"{other} and {speaker} both give {min(path, known, key=len)}", fix="keep one of them")
        spoken[path] = speaker
    merge(overrides, layer)


def _paths(value: Any, above: str = "") -> list[str]:
    """Dotted names of everything in a nested mapping."""
    if not isinstance(value, dict) or not value:
        return [above]
    return [path for key, inner in value.items() for path in _paths(inner, f"{above}.{key}" if above else str(key))]


def _nest(path: str, value: str) -> dict[str, Any]:
    nested: Any = value
    for key in reversed(path.split(".")):
        nested = {key: nested}
    return nested  # type: ignore[no-any-return]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--seeds: must be a whole number of at least 1, not '{text}'", fix="for example --seeds 5")
    return int(text)


def _check_together(
    name: str | None, config: Path | None, resume: str | None, seed: str | None, seeds: str | None, out: Path | None, dry_run: bool, inexact: bool
) -> None:
    """Options that contradict each other, named."""
    if name is None and config is None and resume is None:
        raise UsageError("no recipe or architecture is named", fix="see `zoo list recipes`, or add --config FILE or --resume RUN")
    for given, other, why in (
        (seed and seeds, "--seed and --seeds", "one run has one seed"),
        (seeds and resume, "--seeds and --resume", "one run is resumed at a time"),
        (seeds and dry_run, "--seeds and --dry-run", "a dry run draws no seed"),
        (resume and out, "--resume and --out", "a resumed run stays where it is"),
        (resume and dry_run, "--resume and --dry-run", "a dry run writes nothing to go on from"),
        (inexact and not resume, "--inexact without --resume", "it says how to resume"),
    ):
        if given:
            raise UsageError(f"{other} do not go together: {why}", fix="leave one of them out" if " and " in other else "add --resume RUN")
