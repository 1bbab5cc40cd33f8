"""The formats of tables of predictions: CSV, and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import runtime
from zoo.data.targets import truth_cells, truth_columns, truth_facts
from zoo.support.formatting import csv_cell, without_surrogates

if TYPE_CHECKING:
    from zoo.workflows.predict import Predictions
    from zoo.workflows.predict_dataset import Samples


class Lines(NamedTuple):
    """A format: the text before the first row, for the number of values in a row, and the rows of predictions."""

    header: Callable[[int], str]
    rows: Callable[[Predictions], str]


def csv_of_files(decision: dict[str, Any]) -> Lines:
    """The table of `zoo.runtime.write_csv`: file, and the cells of `zoo.runtime.cells`."""
    return Lines(
        lambda count: runtime.csv_header(count, decision), lambda found: runtime.csv_rows(found.rows, found.decision)
    )


def csv_of_samples(decision: dict[str, Any], samples: Samples) -> Lines:
    """The format of a run's predictions.csv: sample, target (if known), and the cells of `zoo.runtime.cells`: for a
    classifier, the prediction and the probability of each class."""
    # probabilities and shares have 6 decimal places; other numbers may be of any size
    digits = ".6f" if decision.get("classes") else ".9g"

    def rows(found: Predictions) -> str:
        return _csv(
            [
                samples.name(path),
                *truth_cells(samples.target, samples.truths.get(path)),
                *runtime.cells(values, found.decision, digits),
            ]
            for path, values in found.rows
        )

    return Lines(
        lambda count: _csv([["sample", *truth_columns(samples.target), *runtime.columns(decision, count)]]), rows
    )


def _csv(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([csv_cell(cell) for cell in row] for row in rows)
    return without_surrogates(stream.getvalue())


def json_lines(samples: Samples | None, top: int) -> Lines:
    """A line of JSON for each image, with the keys of `row_facts`."""

    def rows(found: Predictions) -> str:
        facts = (row_facts(found, path, values, samples, top) for path, values in found.rows)
        return "".join(f"{json.dumps(each, ensure_ascii=False, default=str)}\n" for each in facts)

    return Lines(lambda _count: "", rows)


def row_facts(found: Predictions, path: Path, values: Any, samples: Samples | None, top: int) -> dict[str, Any]:
    """Return the prediction for one image as JSON, with its name and target if it is of a dataset.

    ``samples`` are those of a dataset; a file that was a copy is not named.
    """
    row: dict[str, Any] = {"file": path if samples is None or samples.kept else None, **found.facts(values, top)}
    if samples is None:
        return row
    return {"sample": samples.name(path), "truth": truth_facts(samples.target, samples.truths.get(path)), **row}
