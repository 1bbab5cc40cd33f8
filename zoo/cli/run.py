"""``zoo run``"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.config_options import Assignments, BatchSize, DataName, Device, Seed, TaskName
from zoo.cli.options import ConfigKey, overrides_of, takes
from zoo.cli.output import json_alone, say_json
from zoo.cli.shared_options import KEY, WEIGHTS_KEY, AsJson, whole_number
from zoo.errors import UsageError
from zoo.runs.object_names import is_reference

if TYPE_CHECKING:
    from zoo.workflows.run_result import RunResult
    from zoo.workflows.seeds import SeedsResult


@dataclass(frozen=True)
class RunOptions:
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="What to run: a recipe (a named configuration); an architecture, with --data; folder:PATH, to train "
            "on your own images; package.module:function, a Python function that returns a network, with --data; or a "
            "task, with --from RUN, to run it on the network and dataset of that run.",
        ),
    ] = None
    data: DataName = None
    arch: Annotated[
        str | None,
        typer.Option("--arch", metavar="A", help="Architecture: a name listed by `zoo list architectures`."),
        ConfigKey("architecture.name"),
    ] = None
    task: TaskName = None
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "--from",
            metavar="W",
            help="Initial weights: a name listed by `zoo weights list`, a weights file, the address of one (hf: or "
            "https:), a run, or none (random weights).",
        ),
        ConfigKey("weights"),
    ] = None
    weights_key: Annotated[
        str | None,
        typer.Option(WEIGHTS_KEY, metavar="KEY", help=KEY),
        ConfigKey("weights_key"),
    ] = None
    epochs: Annotated[
        str | None,
        typer.Option("--epochs", metavar="N", help="Number of epochs."),
        ConfigKey("train.epochs"),
    ] = None
    batch_size: BatchSize = None
    lr: Annotated[str | None, typer.Option("--lr", metavar="X", help="Learning rate."), ConfigKey("train.lr")] = None
    seed: Seed = None
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N",
            help="Train with N consecutive seeds, and print the mean ± standard deviation of the metrics.",
        ),
    ] = None
    device: Device = None
    augment: Annotated[
        str | None,
        typer.Option(
            "--augment",
            metavar="SPEC",
            help='Augmentations of training images, such as "flip, crop: 4": random flips, then random crops after '
            "padding each side by 4 pixels. `zoo list augmentations` lists them.",
        ),
        ConfigKey("train.augment"),
    ] = None
    compile: Annotated[
        bool,
        typer.Option(
            "--compile", help="Compile the network with torch.compile: it starts more slowly and often trains faster."
        ),
        ConfigKey("train.compile"),
    ] = False
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Profile 20 training steps: print their time by phase, and write a trace to profile/ in the run "
            "directory.",
        ),
        ConfigKey("train.profile"),
    ] = False
    skip_bad_images: Annotated[
        bool,
        typer.Option(
            "--skip-bad-images",
            help="Skip training images that cannot be read, and list them in quarantine.json in the run directory.",
        ),
        ConfigKey("dataset.skip_bad_images"),
    ] = False
    assignments: Assignments = None
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="YAML file with a configuration, such as the config.yaml of a run; it overrides the settings of NAME.",
        ),
    ] = None
    run_name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="N",
            help="Name of the run directory under runs/RECIPE; default: date, time and a random suffix.",
        ),
        ConfigKey("name"),
    ] = None
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Path of the run directory; default: a new folder under runs/."),
    ] = None
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Resume an interrupted run: a folder, a run id, or the name of a recipe or architecture, which "
            "selects its newest run.",
        ),
    ] = None
    inexact: Annotated[
        bool,
        typer.Option(
            "--inexact",
            help="With --resume: resume even if the PyTorch version, device or thread count has changed. The final "
            "weights may then differ from those of an uninterrupted run.",
        ),
    ] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check configuration and data, without training or writing anything.")
    ] = False
    quality: Annotated[
        bool,
        typer.Option(
            "--quality",
            help="With folder:PATH as NAME: after training the last layer, fine-tune the layers before it, too, and "
            "keep the fine-tuned network only if it is better on the validation split.",
        ),
    ] = False
    as_json: AsJson = False


@takes(RunOptions)
def run(options: RunOptions) -> None:
    _check_together(options)
    options, objects = _references(options)
    given: dict[str, Any] = {
        "config_file": options.config,
        "overrides": overrides_of(options, options.assignments),
        "out": options.out,
        "quality": options.quality,
        **objects,
    }
    facts: dict[str, Any]
    with json_alone(options.as_json):
        if options.seeds is not None:
            from zoo.workflows.seeds import run_seeds

            facts = seeds_facts(run_seeds(whole_number("--seeds", options.seeds, 5), options.name, **given))
        else:
            from zoo.workflows.run import run as start

            facts = run_facts(
                start(options.name, **given, resume=options.resume, inexact=options.inexact, dry_run=options.dry_run)
            )
    if options.as_json:
        say_json(facts)


def _references(options: RunOptions) -> tuple[RunOptions, dict[str, str]]:
    """Take ``package.module:name`` out of the options: networks and data that the user names to be imported."""
    if options.name is not None and is_reference(options.name):
        if options.arch is not None:
            raise UsageError("two networks are named", where=options.name, fix="leave --arch out")
        options = replace(options, name=None, arch=options.name)
    found = {
        argument: text
        for argument, option in (("model", "arch"), ("data", "data"))
        if is_reference(text := getattr(options, option))
    }
    kept = replace(options, arch=None) if "model" in found else options
    return replace(kept, data=None) if "data" in found else kept, found


def run_facts(result: RunResult) -> dict[str, Any]:
    """A run as `zoo runs --json` has it; a dry run has no path."""
    from zoo.cli.runs import facts_of

    record = result.record
    status = "dry-run" if result.path is None else record.status
    return {"id": record.id, "path": result.path and str(result.path.absolute()), "status": status, **facts_of(record)}


def seeds_facts(result: SeedsResult) -> dict[str, Any]:
    return {
        "summary": str(result.path.absolute()),
        "metrics": result.metrics,
        "runs": [run_facts(run) for run in result.runs],
    }


def _check_together(options: RunOptions) -> None:
    """Options that contradict each other, named."""
    if options.name is None and options.weights is None and options.config is None and options.resume is None:
        raise UsageError(
            "no recipe or architecture is named", fix="see `zoo list recipes`, or add --config FILE or --resume RUN"
        )
    for given, other, why in (
        (options.seed and options.seeds, "--seed and --seeds", "one run has one seed"),
        (options.seeds and options.resume, "--seeds and --resume", "one run is resumed at a time"),
        (options.seeds and options.dry_run, "--seeds and --dry-run", "a dry run draws no seed"),
        (options.resume and options.out, "--resume and --out", "a resumed run stays where it is"),
        (options.resume and options.dry_run, "--resume and --dry-run", "a dry run writes nothing to go on from"),
        (options.inexact and not options.resume, "--inexact without --resume", "it says how to resume"),
    ):
        if given:
            raise UsageError(
                f"{other} do not go together: {why}",
                fix="leave one of them out" if " and " in other else "add --resume RUN",
            )
