"""docs/security.md: every line of the threat model names a test, and that test exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!line|---)(.+?) \| (.+?) \|$", PAGE, re.M)


def test_the_page_has_its_lines() -> None:
    assert len(ROWS) > 30 and len({line for line, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("line", "test"), ROWS, ids=[line for line, _ in ROWS])
def test_each_line_is_held_by_a_test_that_exists(line: str, test: str) -> None:
    named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)
    assert named is not None, f"{line} names no test: {test}"
    source = (TOP / named[1]).read_text(encoding="utf-8")
    assert re.search(rf"^def {named[2]}\(", source, re.M), f"there is no {named[2]} in {named[1]}"
