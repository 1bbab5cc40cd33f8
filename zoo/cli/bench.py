"""``zoo bench``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.options import takes
from zoo.cli.output import json_alone, say, say_json, say_table
from zoo.cli.shared_options import AsJson, Provider
from zoo.errors import ExportError, UsageError
from zoo.support.formatting import plural, size

if TYPE_CHECKING:
    from zoo.benching.result import Benchmark, Latency, TargetResult


@dataclass(frozen=True)
class BenchOptions:
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|BUNDLE|FILE...",
            help="Runs (folder, id, or the name of a recipe or architecture for its newest run), bundles, or files "
            "exported by zoo.",
        ),
    ]
    batch: Annotated[
        str, typer.Option("--batch", metavar="N,N,…", show_default=False, help="Batch sizes; default: 1,8,32.")
    ] = "1,8,32"
    provider: Provider = "cpu"
    threads: Annotated[
        str | None,
        typer.Option(
            "--threads",
            metavar="N",
            help="CPU threads of PyTorch and of the runtime; default: the number of physical cores.",
        ),
    ] = None
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            show_default=False,
            help="Device of PyTorch: auto (default), cpu, cuda, cuda:N or mps. With --provider cpu, auto is cpu.",
        ),
    ] = "auto"
    seconds: Annotated[
        str,
        typer.Option(
            "--seconds",
            metavar="S",
            show_default=False,
            help="Seconds to measure each engine at each batch size; default: 2.",
        ),
    ] = "2"
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write bench.json and bench.png to this new folder."),
    ] = None
    as_json: AsJson = False


@takes(BenchOptions)
def bench(options: BenchOptions) -> None:
    """Measure the speed.

    Prints the latency of a call (median, interquartile range, 95th percentile), the throughput and the memory. A run
    is first exported to a temporary folder. If the outputs of an engine (torch.compile or an exported file) differ
    from PyTorch's by more than the tolerance, it is not measured, and the command exits with code 5.
    """
    batches = [_number(text, "--batch", "1,8,32") for text in options.batch.split(",")]
    threads = None if options.threads is None else _number(options.threads, "--threads", "2")
    seconds = _seconds(options.seconds)
    from zoo.workflows.bench import benchmark

    with json_alone(options.as_json):
        found = benchmark(
            options.targets,
            batches=batches,
            provider=options.provider,
            device=options.device,
            threads=threads,
            seconds=seconds,
            out=options.out,
        )
    if options.as_json:
        say_json(found.facts())
    else:
        _say(found, options.out)
    if found.differs:
        raise typer.Exit(ExportError.exit_code)


def _number(text: str, option: str, example: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise UsageError(
            f"{option}: must be whole numbers of at least 1, not '{text}'", fix=f"for example {option} {example}"
        )
    return int(text)


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--seconds: must be a number, not '{text}'", fix="for example --seconds 2") from error


COLUMNS = ("engine", "batch", "median ms", "IQR ms", "p95 ms", "images/s", "memory")


def _say(found: Benchmark, out: Path | None) -> None:
    from zoo.benching.timing import FEWEST, ROUNDS

    settings = found.settings
    for target in found.targets:
        _say_target(target)
        say()
    say(
        f"{plural(settings.threads, 'CPU thread')}; PyTorch on {settings.device}, files by provider "
        f"{settings.provider}; fp32"
    )
    rounds = sorted({each.rounds for target in found.targets for each in target.measurements})
    if rounds:
        counted = str(rounds[0]) if rounds[0] == rounds[-1] else f"{rounds[0]} to {rounds[-1]}"
        say(f"engines in turn, {counted} rounds of {settings.seconds / ROUNDS:g} s, at least {FEWEST} calls")
    if out is not None:
        say(f"written to {out}: bench.json, bench.png")


def _say_target(target: TargetResult) -> None:
    from zoo.workflows.bench_targets import COMPILED

    say(f"{target.target}: inputs {'×'.join(map(str, target.input))}")
    rows = []
    for each in target.measurements:
        memory = "–" if each.memory_bytes is None else size(each.memory_bytes)
        rows.append(
            [each.engine, str(each.batch), *_figures(each.latency_ms), f"{each.images_per_second:,.0f}", memory]
        )
    say_table(*_aligned(rows))
    for engine in target.engines:
        say(f"  {engine.name}: {engine.runtime} on {engine.place}")
    compiled = [
        f"{each.first_call_ms / 1000:.1f} s (batch {each.batch})"
        for each in target.measurements
        if each.engine == COMPILED
    ]
    if compiled:
        say(f"  compiled in {', '.join(compiled)}, not part of the latency")
    if target.preprocessing is not None:
        prepared = target.preprocessing
        median, iqr, p95 = _figures(prepared.latency_ms)
        say(f"  decoding and preprocessing: {median} ms per image (IQR {iqr}, p95 {p95});")
        say(f"    {plural(prepared.count, 'image')} {prepared.images}, one thread")
    if target.max_rel_error is not None:
        say(f"  outputs equal {target.compared_with}'s, largest relative difference {target.max_rel_error:.1e}")
    for skipped in target.skipped:
        say(f"  {'DIFFERS' if skipped.differs else 'skipped'}: {skipped.engine}: {skipped.reason}")
    for line in target.notes:
        say(f"  note: {line}")


def _figures(latency: Latency) -> tuple[str, str, str]:
    """The median, interquartile range and 95th percentile, with the same number of decimals."""
    decimals = 3 if latency.median < 10 else 2 if latency.median < 100 else 1
    median, iqr, p95 = (f"{value:,.{decimals}f}" for value in (latency.median, latency.iqr, latency.p95))
    return median, iqr, p95


def _aligned(rows: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows with right-aligned numbers."""
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]

    def line(cells: list[str]) -> list[str]:
        return [cells[0], *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]

    return line(list(COLUMNS)), [line(row) for row in rows]
