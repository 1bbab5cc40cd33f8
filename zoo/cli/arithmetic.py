"""``zoo arithmetic``"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from zoo.analysis.layer_math import KINDS, Settings, Single, single
from zoo.cli.item_names import unknown
from zoo.cli.options import takes
from zoo.cli.output import say, say_facts, say_json
from zoo.cli.shared_options import AsJson, whole_number
from zoo.errors import UsageError

DEFAULT_INPUTS = {"conv1d": "1,64", "linear": "400"}
ORDER = {2: "channels × length", 3: "channels × height × width"}


@dataclass(frozen=True)
class ArithmeticOptions:
    kind: Annotated[str, typer.Argument(metavar="LAYER", help="conv1d, conv2d, maxpool2d, avgpool2d or linear.")]
    shape: Annotated[
        str | None,
        typer.Option("--input", metavar="C,H,W", help="Input shape; default 3,32,32 (conv1d 1,64; linear 400)."),
    ] = None
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="N", help="Output channels, or outputs of a linear layer; at least 1."),
    ] = None
    kernel: Annotated[
        str | None,
        typer.Option("--kernel", metavar="N", help="Kernel size: one number, or one for each axis, such as 1,7."),
    ] = None
    stride: Annotated[
        str | None, typer.Option("--stride", metavar="N", help="Stride; default: 1, for pools the kernel.")
    ] = None
    padding: Annotated[str, typer.Option("--padding", metavar="N", help="Padding on each side.")] = "0"
    dilation: Annotated[str, typer.Option("--dilation", metavar="N", help="Dilation.")] = "1"
    groups: Annotated[int, typer.Option("--groups", metavar="N", help="Groups of channels.")] = 1
    no_bias: Annotated[bool, typer.Option("--no-bias", help="Without a bias.")] = False
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw a conv1d as a running sum of delayed signals.")
    ] = None
    as_json: AsJson = False

    def settings(self) -> Settings:
        """Raises UsageError for what is no number."""
        return Settings(
            out=None if self.out is None else whole_number("--out", self.out),
            kernel=() if self.kernel is None else _numbers("kernel", self.kernel),
            stride=() if self.stride is None else _numbers("stride", self.stride),
            padding=_numbers("padding", self.padding),
            dilation=_numbers("dilation", self.dilation),
            groups=self.groups,
            bias=not self.no_bias,
        )


@takes(ArithmeticOptions)
def arithmetic(options: ArithmeticOptions) -> None:
    """The arithmetic of one layer: output, parameters and cost, with the formulas filled in."""
    chosen, plot = next((known for known in KINDS if known == options.kind), None), options.plot
    if chosen is None:
        raise unknown("layer", options.kind, KINDS, f"choose one of: {', '.join(KINDS)}")
    settings = options.settings()
    answer = single(
        chosen, _numbers("input", options.shape or DEFAULT_INPUTS.get(chosen, "3,32,32"), lowest=1), settings
    )
    if plot is not None:
        _plot(plot, answer, settings)
    if options.as_json:
        say_json(asdict(answer) | ({"image": str(plot.absolute())} if plot else {}))
    else:
        _say(answer, plot)


def _say(answer: Single, plot: Path | None) -> None:
    shown = "×".join(map(str, answer.output))
    if len(answer.output) == 3:
        shown += (
            f" ({ORDER[3]}; written {'×'.join(map(str, [*answer.output[1:], answer.output[0]]))} with the channels "
            "last)"
        )
    elif len(answer.output) == 2:
        shown += f" ({ORDER[2]})"
    names = {"macs": "multiply-accumulates"}
    say_facts({"output": shown, **{names.get(name, name): formula for name, formula in answer.formulas.items()}})
    if plot is not None:
        say(f"saved: {plot}")
    elif answer.kind == "conv1d":
        say("(--plot PNG draws it as the running sum of delayed signals)")


def _plot(file: Path, answer: Single, settings: Settings) -> None:
    if answer.kind != "conv1d":
        raise UsageError(
            f"{answer.kind} is not drawn", where="--plot", fix="conv1d is; `zoo info NAME --plot PNG` draws a network"
        )
    from zoo.analysis.conv1d_delays import draw
    from zoo.analysis.window_arithmetic import Window

    kernel, stride = settings.kernel[0], (settings.stride or (1,))[0]
    draw(file, answer.input[1], Window(kernel, stride, settings.padding[0], settings.dilation[0]))


def _numbers(name: str, text: str, lowest: int = 0) -> tuple[int, ...]:
    parts = text.replace("x", ",").replace("×", ",").split(",")
    if not all(part.strip().isdecimal() and int(part) >= lowest for part in parts):
        raise UsageError(
            f"--{name} takes whole numbers with commas between them, not '{text}'",
            fix=f"for example --{name} {3 if name != 'input' else '3,32,32'}",
        )
    return tuple(map(int, parts))
