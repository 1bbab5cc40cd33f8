"""``report.html``: a self-contained page about a run, without scripts, network access or other files.

It shows the run's report_items (`zoo.api.ReportItem`): images as ``data:`` URLs, tables as HTML tables. All names are
escaped, and isolated against right-to-left text.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from zoo.api import Expected, ReportItem
from zoo.errors import UsageError, ZooError
from zoo.registry.core_commands import format_flag
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import SECTIONS, resolve
from zoo.runs.run_directory import Record, RunDir, find, run_id
from zoo.support.atomic_files import write_text
from zoo.support.checksummed_json import reason
from zoo.support.formatting import csv_text, duration, known, label, plural, value
from zoo.support.paths import optional_path
from zoo.support.untrusted_files import read_bytes, read_text

ROWS = 200
"""The maximum number of rows of a table."""
PHOTOGRAPH = 20_000
"""The bytes of a PNG from which JPEG is tried."""
MOST_PIXELS = 20_000_000
QUALITY = 90
"""Of JPEG, without subsampling of colours, so that titles stay sharp."""
IMAGE = "image"
"""The name of a column with image files."""


@dataclass(frozen=True)
class Shown:
    """An item of the page: an image, a table, or cards of (image, facts); ``remark`` explains what is missing."""

    title: str
    caption: str
    image: str | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    cards: Sequence[tuple[str | None, Sequence[tuple[str, str]]]] = ()
    remark: str = ""


@dataclass(frozen=True)
class Facts:
    """Names and values under a heading."""

    title: str
    facts: dict[str, str] = field(default_factory=dict)


def report(run: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run, finished or not, into its folder or to ``out``, and return its path.

    Raises UsageError, or StorageError.
    """
    where = find(run)
    return write_page(where, where.record, optional_path(out))


def write_page(run: RunDir, record: Record, out: Path | None = None) -> Path:
    """Write the page, replacing an older one atomically."""
    file = run.page_file if out is None else out
    if file.is_dir():
        raise UsageError("the page would be a folder", where=file, fix="name a file, for example report.html")
    if not file.parent.is_dir():
        raise UsageError("there is no such folder for the page", where=file.parent, fix="choose another --out")
    write_text(file, render(run, record))
    return file


def render(run: RunDir, record: Record) -> str:
    environment = Environment(
        loader=PackageLoader("zoo.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    part, metrics = next(iter(record.results.items()), ("test", {}))
    return environment.get_template("run.html.j2").render(
        record=record,
        standing=run.standing if record.status == "running" else record.status,
        metrics=[(_with_interval(record, part, name), value(name, number)) for name, number in metrics.items()],
        evaluated=evaluated_sentence(run, record, part) if metrics else "",
        expected=expected_sentence(run),
        summary=summary(record, run),
        notes=record.notes,
        report_items=[show(run.path, each) for each in record.report_items or drawn(run)],
        epochs=epoch_table(run, record),
        configuration=read_text(run.config_file),
        environment=environment_of(record),
        commands=commands(run, record),
    )


def _with_interval(record: Record, part: str, metric: str) -> str:
    bounds = record.intervals.get(part, {}).get(metric)
    if bounds is None:
        return f"{part} {label(metric)}"
    return f"{part} {label(metric)} (95% confidence interval {value(metric, bounds[0])} to {value(metric, bounds[1])})"


def evaluated_sentence(run: RunDir, record: Record, part: str) -> str:
    """Return which split and which checkpoint the results are of."""
    samples = plural(record.samples.get(part, 0), "sample")
    if part == "test":
        split = f"Evaluated once on the test split ({samples}), which is not used for training or model selection."
    else:
        split = f"Evaluated on the {part} split ({samples})."
    last = run.root.last
    if record.checkpoint is None or last is None or not run.metrics_file.exists():
        return split
    best = last.best
    if best is None or best.checkpoint != record.checkpoint:
        return f"{split} Evaluated checkpoint: step {last.step:,} (epoch {last.epoch}), the last."
    place = f"step {best.step:,} (epoch {best.epoch})" if best.epoch else "the network before training"
    return f"{split} Evaluated checkpoint: {place}, the best {label(best.metric)}."


def _resumes(record: Record) -> str:
    return ", ".join(f"at step {each['step']:,} (epoch {each['epoch']})" for each in record.resumed)


def summary(record: Record, run: RunDir) -> Facts:
    train = run.config.train
    network = {
        "Parameters": _count(record.parameters)
        + (f", {record.trainable:,} of them trainable" if record.trainable not in (None, record.parameters) else ""),
        "Multiply-accumulates": f"{_count(record.macs)} per image",
        "Training": (
            f"{plural(train.epochs, 'epoch')}, batch size {train.batch_size}, {train.optimizer}, learning rate "
            f"{train.lr:g}"
        ),
        **({"Resumed": _resumes(record)} if record.resumed else {}),
        "Seed": str(run.config.seed),
    }
    if record.status == "finished" and not run.metrics_file.exists():
        network["Training"] = "none (the network was adapted, not trained)"
    return Facts(
        "Run",
        {
            **({"Architecture": record.architecture} if record.architecture else {}),
            "Dataset": record.dataset,
            "Task": record.task,
            "Samples": ", ".join(f"{part} {count:,}" for part, count in record.samples.items()),
            **(network if record.architecture else {}),
            "Duration": f"{duration(record.seconds)} on {record.device.get('name', 'an unknown device')}, without "
            "writing this page",
            "Training started": record.created.replace("T", " ")[:19] + " UTC",
        },
    )


def environment_of(record: Record) -> list[Facts]:
    source = {
        "git commit of the working directory": record.git_commit or "none",
        "hash of the data": record.fingerprint,
        "evaluated checkpoint": record.checkpoint or "none",
    }
    device = {
        name: fact for name, fact in record.device.items() if name != "name" or fact != record.device.get("device")
    }
    return [
        Facts("Device", {name.replace("_", " "): str(fact) for name, fact in device.items()}),
        Facts("Versions", record.versions),
        Facts("Plugins and their packages (torch-zoo: plugins that come with zoo)", record.plugins),
        Facts("Source", source),
    ]


def expected_sentence(run: RunDir) -> str | None:
    """Return a sentence with the expected metric of the run's recipe, or None if there is none or the run differs."""
    recipe = run.config.recipe
    if recipe is None:
        return None
    try:
        expected: Expected | None = registry().recipe(recipe).spec.expected
        theirs = resolve(registry(), recipe).config.as_dict()
    except ZooError:  # its plugin is no longer here
        return None
    ours = run.config.as_dict()
    if expected is None or any((ours[part] or {}).get("name") != (theirs[part] or {}).get("name") for part in SECTIONS):
        return None
    same = all(ours[part] == theirs[part] for part in (*SECTIONS, "weights", "train"))
    return (
        f"Expected result of the recipe {recipe}: "
        f"{known(expected.metric, expected.mean, expected.sd, expected.seeds)}, measured on {expected.device}"
        f"{'' if same else '. The settings of this run differ from those of the recipe'}"
    )


def commands(run: RunDir, record: Record) -> dict[str, str]:
    """Return command lines for this run, by purpose; they can be copied as they are, except for the image name."""
    name, own = shlex.quote(run_id(run.path)), run.config.name
    again = "" if own is None else f" --name {shlex.quote(f'{own}-again')}"
    shown = {"Repeat the run": f"zoo run --config {shlex.quote(str(run.config_file))}{again}"}
    if record.status != "finished":
        return shown | ({"Resume the run": f"zoo run --resume {name}"} if any(run.checkpoints.glob("step-*")) else {})
    if record.architecture is None:
        return shown | {"Evaluate the run again": f"zoo evaluate {name}"}
    other = next((part for part in record.samples if part not in (*record.results, "predict")), None)
    if other is not None:
        shown["Evaluate another split"] = f"zoo evaluate {name} --split {other}"
    predicted = f"Predict {PREDICTED[record.target.kind]} of an image"
    return {**shown, predicted: f"zoo predict {name} IMAGE", **dict(_exports(name))}


PREDICTED = {
    "classes": "the class",
    "multi_label": "the labels",
    "values": "the values",
    "mask": "the mask",
    "opaque": "the output",
    "none": "the output",
}
"""What is predicted of an image, by the kind of the target."""


def _exports(run: str) -> Iterator[tuple[str, str]]:
    """A command for each installed format, with its flag if it has one."""
    for item in registry().items("exporter"):
        name = registry().short_name(item)
        option = format_flag(name) or f"--format {shlex.quote(name)}"
        yield f"Export in the format {name} ({item.spec.suffix})", f"zoo export {run} {option}"


# --------------------------------------------------------------------------------------------------------- report_items


def drawn(run: RunDir) -> list[ReportItem]:
    """Return the images of a run without report_items: an unfinished one, or one from an older version."""
    return [
        ReportItem(file.stem.replace("_", " ").capitalize(), f"plots/{file.name}")
        for file in sorted(run.plots.glob("*.png"))
    ]


def show(folder: Path, item: ReportItem) -> Shown:
    file = inside(folder, item.file)
    if file is None:
        return Shown(item.title, item.caption, remark=f"{item.file} is missing from the run directory.")
    try:
        if file.suffix == ".png":
            return Shown(item.title, item.caption, image=address(file))
        rows = [[csv_text(cell) for cell in row] for row in csv.reader(io.StringIO(read_text(file)))]
    except (OSError, csv.Error) as error:
        return Shown(item.title, item.caption, remark=f"{item.file} cannot be read: {reason(error)}.")
    columns, rows = (rows[0], rows[1:]) if rows else ([], [])
    remark = f"First {ROWS} of {len(rows):,} rows. All rows are in {item.file}." if len(rows) > ROWS else ""
    if IMAGE in columns:
        return Shown(item.title, item.caption, cards=list(_cards(folder, columns, rows[:ROWS])), remark=remark)
    return Shown(item.title, item.caption, columns=[label(name) for name in columns], rows=rows[:ROWS], remark=remark)


def _cards(
    folder: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[tuple[str | None, list[tuple[str, str]]]]:
    for row in rows:
        cells = dict(zip(columns, row, strict=False))
        file = inside(folder, cells.pop(IMAGE, ""))
        yield (address(file) if file is not None and file.suffix == ".png" else None), list(cells.items())


def inside(folder: Path, name: str) -> Path | None:
    """Return a .png or .csv file under ``folder``, or None; a run from an untrusted source must not include other files
    in its page."""
    file = Path(os.path.realpath(folder / name))  # Path.resolve raises a RuntimeError for links in a circle
    return (
        file
        if file.suffix in (".png", ".csv") and file.is_relative_to(os.path.realpath(folder)) and file.is_file()
        else None
    )


def address(image: Path) -> str:
    """Return a PNG as a ``data:`` URL: as JPEG if that takes less than half as much, as for photographs.

    Plots and small images stay exact. A PNG that cannot be decoded is included as it is.
    """
    content, kind = read_bytes(image), "png"
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # of the header
    if len(content) > PHOTOGRAPH and width * height <= MOST_PIXELS:
        with suppress(OSError, ValueError, SyntaxError), io.BytesIO() as stream:
            with Image.open(io.BytesIO(content), formats=["PNG"]) as drawn:
                if drawn.mode in ("L", "RGB"):
                    drawn.save(stream, "JPEG", quality=QUALITY, subsampling=0)
            if 0 < stream.tell() < len(content) / 2:
                content, kind = stream.getvalue(), "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def epoch_table(run: RunDir, record: Record) -> Shown:
    rows = run.epochs()
    columns = list(rows[0]) if rows else []
    cells = [[_cell(name, number) for name, number in row.items()] for row in rows]
    parts = [
        f"Epoch {each['epoch']} was resumed at step {each['step']:,}: its train seconds and samples per second are "
        f"those "
        "of the steps after it."
        for each in record.resumed
        if each["batches"]
    ]
    return Shown("Epochs", "", columns=[label(name) for name in columns], rows=cells, remark=" ".join(parts))


def _cell(name: str, number: float) -> str:
    """A count exactly, another number with five significant digits."""
    if name.endswith("accuracy"):
        return value(name, number)
    return f"{number:.0f}" if name in ("epoch", "step") else f"{number:.5g}"


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
