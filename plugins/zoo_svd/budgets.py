"""Accuracy by budget: with the method of a run, with plain SVD, and in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter
from torch import Tensor, nn

from zoo.errors import UsageError
from zoo.plugin import registry, save_figure, tracked
from zoo_svd.allocation import Menu, spent
from zoo_svd.compression import Compressor
from zoo_svd.latency import deployed
from zoo_svd.options import NetworkOptions

Point = tuple[str, float, float]
"""Method, share of the layers' cost, accuracy in points."""
OF = {"bytes": "bytes", "macs": "multiply-accumulates", "ms": "milliseconds"}


def points(
    compressor: Compressor,
    menus: dict[str, Menu],
    options: NetworkOptions,
    calibrating: Tensor,
    accuracy: Callable[[nn.Module], float],
    original: tuple[float, float | None],
) -> list[Point]:
    """At every budget of the curve, and of the ``original``: its accuracy, and that in 8 bits, which are a quarter of
    the bytes."""
    found: list[Point] = [("the original", 1.0, original[0])]

    def in_eight_bits(name: str, share: float, model: nn.Module) -> list[Point]:
        if options.of != "bytes":
            return []
        shape = tuple(calibrating.shape[1:])
        network = next(
            (each for item in registry().items("exporter") if (each := deployed(item, model, shape, calibrating))), None
        )
        return [] if network is None else [(name, share / 4, accuracy(network))]

    if options.of == "bytes" and original[1] is not None:
        found.append(("8 bits alone", 0.25, original[1]))
    bare = Compressor(
        compressor.model,
        compressor.images[:2],
        "plain",
        options.of,
        ("channels",),
        compressor.stopwatch,
        compressor.batch,
    )
    ours = "by responses" if options.method == "responses" and not options.even else "as asked"
    methods = (
        (ours, compressor, menus, options.even),
        ("plain SVD", bare, bare.menus(measured=False, even=True), True),
    )
    work = [(*method, budget) for method in methods for budget in sorted(options.curve)]
    for method, each, menu, even, budget in tracked(work, f"evaluating the network at {len(options.curve)} budgets"):
        try:
            choices = each.choices(budget, menu, even=even)
        except UsageError:
            continue  # it cannot be so small
        share, model = spent(menu, choices), each.compressed(choices)
        found.append((method, share, accuracy(model)))
        found += in_eight_bits(f"{method}, 8 bits", share, model) if method == ours else []
    return found


def draw(found: Sequence[Point], of: str, file: Path) -> None:
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    axis.axhline(found[0][2], color="0.5", linestyle="--", linewidth=1, label=found[0][0])
    for method in dict.fromkeys(name for name, *_ in found[1:]):
        shares, reached = zip(
            *sorted((share, accuracy) for name, share, accuracy in found if name == method), strict=True
        )
        axis.plot(shares, reached, marker="o", label=method)
    axis.set(xscale="log", xlabel=f"share of the layers' {OF[of]}", ylabel="accuracy in %")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    save_figure(figure, file)
