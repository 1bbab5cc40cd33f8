"""The output shape, parameters and cost of a single layer, with the formulas.

Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from zoo.analysis.window_arithmetic import Window
from zoo.errors import UsageError

Kind = Literal["conv1d", "conv2d", "maxpool2d", "avgpool2d", "linear"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SPATIAL: dict[Kind, int] = {"conv1d": 1, "conv2d": 2, "maxpool2d": 2, "avgpool2d": 2}
"""Axes that the window moves along."""
AXES = {1: ("length",), 2: ("height", "width")}


@dataclass(frozen=True)
class Single:
    """The result for a layer. Shapes are (channels, …) without the batch; ``formulas`` has the formula of each
    number."""

    kind: Kind
    input: tuple[int, ...]
    output: tuple[int, ...]
    parameters: int
    macs: int
    formulas: dict[str, str]


@dataclass(frozen=True)
class Settings:
    """The settings of a layer; one number for all axes, or one per axis. The default stride of a pool is its kernel."""

    out: int | None = None
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = (0,)
    dilation: tuple[int, ...] = (1,)
    groups: int = 1
    bias: bool = True


DEFAULT_INPUTS: dict[Kind, tuple[int, ...]] = {"conv1d": (1, 64), "linear": (400,)}
DEFAULT_INPUT = (3, 32, 32)
Sizes = int | Sequence[int]


def arithmetic(
    kind: Kind,
    input: Sizes | None = None,  # noqa: A002
    *,
    out: int | None = None,
    kernel: Sizes = (),
    stride: Sizes = (),
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
) -> Single:
    """Return the output shape, parameters and cost of one layer, with the formulas.

    ``kind`` is conv1d, conv2d, maxpool2d, avgpool2d or linear; ``input`` is (C, L), (C, H, W) or the number of
    features. Sizes are one number, or one for each axis. Raises UsageError if there is no such layer.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no layer '{kind}'", fix=f"choose one of: {', '.join(KINDS)}")
    shape = DEFAULT_INPUTS.get(kind, DEFAULT_INPUT) if input is None else _tuple(input)
    windows = (_tuple(kernel), _tuple(stride), _tuple(padding), _tuple(dilation))
    return single(kind, shape, Settings(out, *windows, groups, bias))


def _tuple(sizes: Sizes) -> tuple[int, ...]:
    return (sizes,) if isinstance(sizes, int) else tuple(sizes)


def single(kind: Kind, shape: tuple[int, ...], settings: Settings) -> Single:
    """Return the result for a layer. Raises UsageError if there is no such layer."""
    if kind == "linear":
        return _linear(shape, settings)
    count = SPATIAL[kind]
    if len(shape) != count + 1:
        raise UsageError(
            f"{kind} takes {count + 1} numbers for its input (channels, {', '.join(AXES[count])}), not {len(shape)}",
            where="--input",
            fix=f"for example --input {','.join(['3', *['32'] * count])}",
        )
    windows = _windows(kind, shape[1:], settings)
    sides = tuple(window.positions(side) for window, side in zip(windows, shape[1:], strict=True))
    formulas = {
        name: window.positions_formula(side) for name, window, side in zip(AXES[count], windows, shape[1:], strict=True)
    }
    if kind.startswith("conv"):
        return _convolution(kind, shape, sides, [window.kernel for window in windows], settings, formulas)
    if settings.out is not None:
        raise UsageError(f"{kind} keeps the number of channels", where="--out", fix="leave --out away")
    return Single(
        kind,
        shape,
        (shape[0], *sides),
        0,
        0,
        {**formulas, "parameters": "none: a pool has no weights", "macs": "none: nothing is multiplied"},
    )


def _windows(kind: Kind, sides: Sequence[int], settings: Settings) -> list[Window]:
    if not settings.kernel:
        raise UsageError(f"{kind} needs a kernel", fix="add --kernel N")
    count, pool = len(sides), "pool" in kind
    kernel = _each("kernel", settings.kernel, count)
    stride = _each("stride", settings.stride or (settings.kernel if pool else (1,)), count)
    padding, dilation = _each("padding", settings.padding, count), _each("dilation", settings.dilation, count)
    windows = [Window(*terms) for terms in zip(kernel, stride, padding, dilation, strict=True)]
    for side, window in zip(sides, windows, strict=True):
        if window.positions(side) < 1:
            raise UsageError(
                f"a window that spans {window.span} does not fit into {side} + 2·{window.padding} pixels",
                fix="take a smaller kernel, or more padding",
            )
        if pool and 2 * window.padding > window.kernel:
            raise UsageError(
                f"a pool's padding is at most half its kernel, and {window.padding} is not half of {window.kernel}",
                where="--padding",
                fix=f"take at most --padding {window.kernel // 2}",
            )
        if kind == "avgpool2d" and window.dilation != 1:
            raise UsageError("an average pool has no dilation", where="--dilation", fix="leave --dilation away")
    return windows


def _each(name: str, values: tuple[int, ...], count: int) -> tuple[int, ...]:
    lowest = 0 if name == "padding" else 1
    if len(values) not in (1, count) or min(values) < lowest:
        raise UsageError(
            f"{name} takes one number, or {count}, of at least {lowest}, not {','.join(map(str, values))}",
            where=f"--{name}",
            fix=f"for example --{name} {lowest + 1}",
        )
    return values * count if len(values) == 1 else values


def _convolution(
    kind: Kind,
    shape: tuple[int, ...],
    sides: tuple[int, ...],
    kernel: list[int],
    settings: Settings,
    formulas: dict[str, str],
) -> Single:
    out, groups = _out(kind, settings), settings.groups
    if groups < 1 or shape[0] % groups or out % groups:
        raise UsageError(
            f"{groups} groups do not divide {shape[0]} and {out} channels",
            where="--groups",
            fix="take a divisor of both",
        )
    taps, written = (
        prod(kernel) * shape[0] // groups,
        "·".join(map(str, [*kernel, shape[0]])) + (f"/{groups}" if groups > 1 else ""),
    )
    parameters, macs = (taps + settings.bias) * out, prod(sides) * out * taps
    weights = f"({written} + 1)" if settings.bias else f"({written})"
    formulas |= {
        "parameters": f"{weights}·{out} = {parameters:,}",
        "macs": f"{'·'.join(map(str, sides))}·{out}·({written}) = {macs:,}",
    }
    return Single(kind, shape, (out, *sides), parameters, macs, formulas)


def _linear(shape: tuple[int, ...], settings: Settings) -> Single:
    out, inputs = _out("linear", settings), prod(shape)
    unfitting = [name for name in ("kernel", "stride") if getattr(settings, name)]
    unfitting += [
        name for name in ("padding", "dilation", "groups") if getattr(settings, name) != getattr(Settings, name)
    ]
    if unfitting:
        raise UsageError(f"a linear layer has no {unfitting[0]}", where=f"--{unfitting[0]}", fix="leave it away")
    parameters = (inputs + settings.bias) * out
    flat = f"{'·'.join(map(str, shape))} = {inputs:,}"
    formulas = {"inputs": flat} if len(shape) > 1 else {}
    formulas |= {
        "parameters": f"({inputs}{' + 1' if settings.bias else ''})·{out} = {parameters:,}",
        "macs": f"{inputs}·{out} = {inputs * out:,}",
    }
    return Single("linear", shape, (out,), parameters, inputs * out, formulas)


def _out(kind: Kind, settings: Settings) -> int:
    if settings.out is None:
        raise UsageError(
            f"{kind} needs the number of its {'outputs' if kind == 'linear' else 'output channels'}", fix="add --out N"
        )
    return settings.out
