"""Checks of the return values of evaluations and reports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.api import EvaluationResult, ReportItem
from zoo.reporting.html_page import inside
from zoo.testing.faults import Finding


def result_findings(found: object, samples: int) -> Iterator[Finding]:
    if not isinstance(found, EvaluationResult):
        text = f"evaluation returns {type(found).__name__}, expected zoo.api.EvaluationResult"
        yield Finding("evaluation", text)
        return
    wrong = [name for name, value in found.metrics.items() if not isinstance(value, float)]
    if wrong:
        yield Finding("evaluation", f"metrics must be floats: {', '.join(wrong)} is not")
    short = [name for name, column in found.per_sample.items() if len(column) != samples]
    if short:
        count = len(found.per_sample[short[0]])
        yield Finding("evaluation", f"per_sample has {count} values of {short[0]}, expected {samples}")
    try:
        json.dumps(dict(found.details))
    except (TypeError, ValueError) as error:
        yield Finding("evaluation", f"details is not JSON: {error}")


def report_findings(shown: object, folder: Path) -> Iterator[Finding]:
    if not (isinstance(shown, Sequence) and all(isinstance(each, ReportItem) for each in shown)):
        yield Finding("report", "report must return a sequence of zoo.api.ReportItem")
        return
    for each in shown:
        if inside(folder, each.file) is None:
            yield Finding("report", f"report returns '{each.file}', which is not a .png or .csv file that it wrote")
