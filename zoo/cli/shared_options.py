"""What several commands share: their settings, and the options that mean the same in each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from zoo.cli.plain_command import PlainCommands
from zoo.errors import UsageError

HELP = {"help_option_names": ["-h", "--help"]}
WEIGHTS_KEY = "--weights-key"
WEIGHTS = (
    "Pretrained weights: a name listed by `zoo weights list`, a safetensors file, or the address of one "
    "(hf:ORG/NAME@COMMIT[:FILE] or https://URL#sha256=HEX)."
)
KEY = (
    "For a weights file that contains several networks: prefix of the tensor names to load, such as ema for "
    "ema.fc.weight."
)
MODEL = (
    "A run (folder or id), a bundle (a folder written by `zoo export`), an exported file, or the name of a recipe or "
    "architecture. A name selects its newest finished run; if there is none, the name of a recipe selects its "
    "pretrained weights. With --weights, a name selects only the network, which gets those weights."
)
DEVICE = "auto (default), cpu, cuda, cuda:N or mps."
MODEL_DEVICE = f"Device to run a trained model on: {DEVICE[:-1]}; for an exported model, use --provider."

PROVIDERS = "cpu (default), cuda, or another one that the format supports."

Provider = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="P",
        show_default=False,
        help=f"Execution provider of an exported model: {PROVIDERS}",
    ),
]
BundleProvider = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="P",
        show_default=False,
        help=f"If the model is a bundle: execution provider, {PROVIDERS}",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON on stdout; messages go to stderr.")]


def parse_shape(text: str) -> tuple[int, int, int]:
    """``"3,224,224"`` or ``"3×224×224"`` → (3, 224, 224). Raises UsageError."""
    parts = text.replace("x", ",").replace("×", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--input takes channels, height and width, not '{text}'", fix="for example --input 3,224,224")
    channels, height, width = map(int, parts)
    return channels, height, width


def whole_number(option: str, text: str, example: int = 10) -> int:
    """Return a whole number of at least 1. Raises UsageError."""
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(
            f"{option}: must be a whole number of at least 1, not '{text}'", fix=f"for example {option} {example}"
        )
    return int(text)


def options_of(assignments: list[str] | None, section: str) -> dict[str, Any]:
    """What ``--set SECTION.key=value`` said, for a command that takes those of one section.

    Raises UsageError for others.
    """
    from zoo.runs.resolve_config import merge, parse_assignment

    values: dict[str, Any] = {}
    for text in assignments or []:
        merge(values, parse_assignment(text))
    options = values.pop(section, {})
    if values or not isinstance(options, dict):
        raise UsageError(
            f"--set {next(iter(values), section)} is none of the {section}'s options",
            fix=f"write --set {section}.NAME=VALUE",
        )
    return options


def group(text: str) -> typer.Typer:
    """A command that has commands of its own; called by itself it shows its help."""
    made = PlainCommands(help=text, add_completion=False, rich_markup_mode=None, context_settings=HELP)

    @made.callback(invoke_without_command=True)
    def main(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())

    return made
