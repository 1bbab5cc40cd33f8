"""Tables in notebooks: all text is escaped."""

from __future__ import annotations

from zoo.support.html_tables import html_facts, html_line, html_table


def test_text_is_escaped_and_absent_facts_are_left_out() -> None:
    hostile = "<script>alert('x')</script>\x1b[31m"
    facts = html_facts(hostile, {hostile: hostile, "none": None})
    told = [html_table([hostile], [[hostile]]), facts, html_line(hostile)]
    assert all("<script" not in text and "\x1b" not in text and "&lt;script&gt;" in text for text in told)
    assert "none" not in told[1]
    assert html_table(["a"], [[1], [2]]).count("<tr>") == 3
