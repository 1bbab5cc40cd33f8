"""`zoo doctor` itself: every check is carried out, and none stops another."""

from __future__ import annotations

import json

import pytest

from zoo.doctor.examine import examine, worst
from zoo.doctor.finding import Finding, Level


def overall(found: dict[str, list[Finding]]) -> Level:
    return worst(finding.level for findings in found.values() for finding in findings)


def test_every_check_of_a_sound_installation_is_carried_out(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    found = dict(examine())
    assert list(found) == ["versions", "devices", "onnxruntime", "places", "plugins"]
    assert [
        finding for findings in found.values() for finding in findings if "could not be examined" in finding.says
    ] == []
    assert [finding for findings in found.values() for finding in findings if finding.level == "problem"] == []
    assert json.loads(json.dumps([dict(finding.facts) for findings in found.values() for finding in findings]))


def test_a_check_that_raises_or_exits_is_a_problem_and_keeps_what_it_found() -> None:
    def half_way():
        print("stdout is the report's")
        yield Finding("first", "ok", "fine")
        raise ZeroDivisionError("oh\nno")

    def exits():
        raise SystemExit(3)
        yield

    def sound():
        yield Finding("last", "warning", "so so", "do better")

    found = dict(examine([("a", half_way), ("a", sound), ("b", exits)]))
    assert [(finding.name, finding.level) for finding in found["a"]] == [
        ("first", "ok"),
        ("half way", "problem"),
        ("last", "warning"),
    ]
    assert found["a"][1].says == "could not be examined: ZeroDivisionError: oh no" and found["a"][1].fix
    assert found["b"][0].says == "could not be examined: SystemExit: 3"
    assert (overall(found), overall({"a": found["a"][2:]}), overall({})) == ("problem", "warning", "ok")


def test_ctrl_c_stops_the_examination() -> None:
    def interrupted():
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        list(examine([("a", interrupted)]))
