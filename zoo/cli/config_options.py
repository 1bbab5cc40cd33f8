"""Options that set a key of the configuration, for the commands in which they mean the same."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.options import ConfigKey
from zoo.cli.shared_options import DEVICE

DataName = Annotated[
    str | None,
    typer.Option("--data", metavar="D", help="Dataset: a name listed by `zoo list datasets`, or folder:PATH."),
    ConfigKey("dataset.name"),
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", metavar="T", help="Task: a name listed by `zoo list tasks`."),
    ConfigKey("task.name"),
]
BatchSize = Annotated[
    str | None,
    typer.Option(
        "--batch-size", metavar="N", help="Batch size, or auto: the largest power of two that fits into memory."
    ),
    ConfigKey("train.batch_size"),
]
Seed = Annotated[str | None, typer.Option("--seed", metavar="N", help="Random seed."), ConfigKey("seed")]
Device = Annotated[str | None, typer.Option("--device", metavar="DEVICE", help=DEVICE), ConfigKey("device")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Set any configuration key; may be repeated."),
]
