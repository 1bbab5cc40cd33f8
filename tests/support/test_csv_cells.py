"""Names in CSV files are no formulas of a spreadsheet, and come back as they were."""

from __future__ import annotations

import csv
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from zoo import runtime
from zoo.api import ReportItem
from zoo.reporting.html_page import show
from zoo.support.atomic_files import write_csv
from zoo.support.formatting import csv_cell, csv_text, printable

FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "'=1", "''-x", "=", "-", "+", "@"]
PLAIN = ["", "cat", "a=b", "-1", "+1.5", "-1e-3", "1", "'", "'quoted'", "it's", "猫", "−1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_written_behind_an_apostrophe_and_read_back(text: str) -> None:
    assert csv_cell(text) == f"'{text}" and csv_text(csv_cell(text)) == text


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_formula_is_written_as_it_is(text: str) -> None:
    assert csv_cell(text) == text == csv_text(text)


def test_a_byte_that_is_no_text_is_written_as_an_escape(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["name"], [["caf\udce9.jpg"]])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "name\ncaf\\xe9.jpg\n"


def test_numbers_stay_numbers_and_names_come_back_on_the_page(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ["=name", "value"], [["=evil", -1.5], ["-1", "-0.25"]])
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == [["'=name", "value"], ["'=evil", "-1.5"], ["-1", "-0.25"]]
    shown = show(tmp_path, ReportItem("Table", "a.csv", ""))
    assert (list(shown.columns), [list(row) for row in shown.rows]) == (
        ["=name", "value"],
        [["=evil", "-1.5"], ["-1", "-0.25"]],
    )


def test_predict_py_escapes_as_the_zoo_does(tmp_path: Path) -> None:
    for text in [*FORMULAS, *PLAIN, "caf\udce9", "=caf\udce9"]:
        assert runtime.csv_cell(text) == csv_cell(text)
    decision = {"kind": "softmax", "classes": ["cat", "@dog"]}
    runtime.write_csv(tmp_path / "a.csv", [(Path("=a.png"), np.array([0.25, 0.75]))], decision)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    assert rows == [["file", "prediction", "p(cat)", "p(@dog)"], ["'=a.png", "'@dog", "0.25", "0.75"]]


def test_predict_py_prints_as_the_zoo_does() -> None:
    assert tuple(sorted({"Cc", "Cf", "Cs", "Zl", "Zp"})) == runtime.UNSEEN
    unseen = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in runtime.UNSEEN]
    assert len(unseen) > 2000
    for char in ["a", "é", "猫", " ", *unseen]:
        assert runtime.printable(char) == printable(char)
