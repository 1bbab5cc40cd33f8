"""A network's anatomy in words and tables, as `zoo info` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zoo.analysis.layer_table import blocks, hints
from zoo.cli.output import emphasised, say, say_table, say_wrapped

if TYPE_CHECKING:
    from zoo.analysis.layer_table import Anatomy, Layer
    from zoo.analysis.window_arithmetic import Axis

BAR = 40
"""Characters of the longest bar."""
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """15470264320 → "15.47 G"; what is below ten thousand in full."""
    if value < 1e4:
        return f"{value:,.0f}"
    scale, unit = next((scale, unit) for scale, unit in UNITS if value >= scale)
    return f"{value / scale:.4g} {unit}"


def facts(found: Anatomy, classes: int) -> Iterator[tuple[str, object]]:
    """The totals, for the list of facts."""
    frozen = found.parameters - found.trainable
    trained = "all trainable" if not frozen else f"{found.trainable:,} trainable"
    yield "parameters", f"{found.parameters:,}, {trained} ({_shape(found.input)}, {classes} classes)"
    yield (
        "by layer kind",
        ", ".join(f"{kind} {size:,} ({size / found.parameters:.1%})" for kind, size in found.by_kind.items()),
    )
    yield "multiply-accumulates", f"{count(found.macs)} ({found.macs:,}) per image"
    yield "activations", f"{found.activation_bytes / 1e6:.3g} MB per image in fp32"
    yield "output", _shape(found.output)
    widest = _widest(found)
    if widest is not None:
        sides, stride = _pair(widest.axes, "field"), _pair(widest.axes, "stride")
        yield "receptive field", f"{sides} pixels after {widest.name or '(itself)'}, one every {stride} pixels"


def _widest(found: Anatomy) -> Layer | None:
    """The first layer of those that see most; of several along one axis each (1×n beside n×1), what they are brought
    together in."""
    placed = [layer for layer in found.layers if layer.axes and not layer.whole]
    if not any(_looks(layer) for layer in placed):
        return None
    most = {name: max(layer.axes[name].field for layer in placed) for name in placed[0].axes}
    reaching = (layer for layer in placed if all(axis.field == most[name] for name, axis in layer.axes.items()))
    return next(reaching, max(placed, key=lambda layer: sum(axis.field for axis in layer.axes.values())))


def say_bars(found: Anatomy) -> None:
    """Where the parameters are, and what is worth a thought."""
    rows = blocks(found.layers)
    if rows:
        say()
        say(emphasised("where the parameters are"))
        width, most = max(len(name) for name, _ in rows), max(size for _, size in rows)
        for name, size in rows:
            bar = "█" * round(BAR * size / most) or "▏"
            say(f"  {name.ljust(width)}  {bar} {count(size)} ({size / found.parameters:.1%})")
    said = hints(found)
    if said:
        say()
        say(emphasised("worth knowing"))
        for hint in said:
            say_wrapped("  ", hint)


def say_layers(found: Anatomy) -> None:
    """The table of layers, then the arithmetic of those that look through a window."""
    say()
    say(emphasised("layers, in the order of their calls"))
    columns = ["name", "kind", "output", "kernel", "stride", "padding", "parameters", "MACs", "field", "jump"]
    say_table(columns, [_row(layer) for layer in found.layers], indent="  ")
    if any(axis.whole for layer in found.layers for axis in layer.axes.values()):
        say_wrapped(
            "  ",
            "all: the whole image; *: the field of its windows; a gate, a norm or attention adds the whole image",
        )
    if any(layer.output is not None and not layer.axes for layer in found.layers):
        say("  ?: what it sees of the image is not followed through an operation before it")
    windows = [row for layer in found.layers for row in _arithmetic(layer)]
    if windows:
        say()
        say(emphasised("receptive field, layer by layer"))
        say_wrapped(
            "  ", "positions = (side + 2·padding − kernel)/stride + 1; field = field before + (kernel − 1)·jump"
        )
        say_table(["name", "positions", "receptive field"], windows, indent="  ")


def _row(layer: Layer) -> list[str]:
    step = layer.steps[0] if len(layer.steps) == 1 else None
    windows = [
        _numbers([getattr(window, name) for window in step.windows.values()]) if step else ""
        for name in ("kernel", "stride", "padding")
    ]
    field = "" if layer.output is None else _field(layer.axes)
    jump = _pair(layer.axes, "stride") if layer.axes and any(axis.side > 1 for axis in layer.axes.values()) else ""
    output = "not called" if layer.output is None else _shape(layer.output)
    return [
        layer.name or "(itself)", layer.kind, output, *windows,
        f"{layer.parameters:,}" if layer.parameters else "", count(layer.macs) if layer.macs else "", field, jump,
    ]  # fmt: skip


def _arithmetic(layer: Layer) -> Iterator[list[str]]:
    for step in layer.steps:
        alike = (
            len({(window, step.before[name].side, step.before[name].field) for name, window in step.windows.items()})
            == 1
        )
        for name, window in list(step.windows.items())[: 1 if alike else None]:
            axis = step.before[name]
            where = "" if alike else {"h": " (height)", "w": " (width)"}[name]
            field = axis.field_formula(window) if not axis.whole else f"{axis.field_formula(window)} *"
            yield [f"{layer.name}{where}", window.positions_formula(axis.side), field]


def _looks(layer: Layer) -> bool:
    """Whether it looks at more than one position."""
    return any(window.span > 1 for step in layer.steps for window in step.windows.values())


def _field(axes: dict[str, Axis]) -> str:
    if not axes:
        return "?"
    if all(axis.whole for axis in axes.values()):
        return "all" if all(axis.side == 1 for axis in axes.values()) else f"{_pair(axes, 'field')}*"
    return _pair(axes, "field")


def _pair(axes: dict[str, Axis], name: str) -> str:
    return _numbers([getattr(axis, name) for axis in axes.values()])


def _numbers(values: list[int]) -> str:
    return str(values[0]) if len(set(values)) == 1 else "×".join(map(str, values))


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
