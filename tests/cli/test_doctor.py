"""zoo doctor: the report for people and for scripts, and its exit code."""

from __future__ import annotations

import json

import pytest

from zoo.doctor.examine import Finding

FOUND = {
    "versions": [Finding("python", "ok", "3.11", facts={"version": "3.11"})],
    "places": [
        Finding("data", "warning", "is nearly full", "free some space"),
        Finding("runs", "problem", "is a file", "set ZOO_RUNS"),
    ],
}


@pytest.mark.parametrize(
    ("levels", "code", "end"), [(3, 6, "1 problem, 1 warning"), (2, 0, "1 warning"), (1, 0, "no problems")]
)
def test_problems_alone_make_the_exit_code(zoo, monkeypatch, levels, code, end) -> None:
    flat = [(topic, finding) for topic, findings in FOUND.items() for finding in findings][:levels]
    monkeypatch.setattr(
        "zoo.doctor.examine.examine",
        lambda: iter({topic: [f for t, f in flat if t == topic] for topic, _ in flat}.items()),
    )
    told = zoo("doctor")
    assert (told.code, told.err) == (code, "") and told.out.splitlines()[-1] == end
    told = zoo("doctor", "--json")
    report = json.loads(told.out)
    assert told.code == code and [row["name"] for row in report["findings"]] == [finding.name for _, finding in flat]
    assert report["findings"][0] == {
        "topic": "versions",
        "name": "python",
        "level": "ok",
        "says": "3.11",
        "fix": None,
        "facts": {"version": "3.11"},
    }


def test_each_finding_is_a_line_with_what_to_do(zoo, monkeypatch) -> None:
    monkeypatch.setattr("zoo.doctor.examine.examine", lambda: iter(FOUND.items()))
    lines = zoo("doctor").out.splitlines()
    assert lines[:2] == ["versions", "  ok       python  3.11"]
    assert "  problem  runs  is a file; fix: set ZOO_RUNS" in lines


def test_the_real_report_is_json(zoo) -> None:
    told = zoo("doctor", "--json")
    report = json.loads(told.out)
    assert {row["topic"] for row in report["findings"]} == {"versions", "devices", "onnxruntime", "places", "plugins"}
    assert told.code == (6 if report["level"] == "problem" else 0)
