"""Folders, the network and variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.doctor import places
from zoo.doctor.examine import examine
from zoo.doctor.finding import Finding


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_folders_are_judged_by_writing_into_them(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "there"))
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "not" / "yet"))
    monkeypatch.setenv("ZOO_EXPORTS", str(tmp_path / "file" / "in"))
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "there"))
    found = by_name(places.folders())
    assert {name: finding.level for name, finding in found.items()} == {
        "data": "ok",
        "runs": "ok",
        "exports": "problem",
        "cache": "ok",
    }
    assert "created when needed" in found["runs"].says and not (tmp_path / "not").exists()
    assert (
        found["exports"].says == f"ZOO_EXPORTS names a folder below a file ({tmp_path / 'file' / 'in'})"
        and found["exports"].fix == "set ZOO_EXPORTS to another folder"
    )
    assert list((tmp_path / "there").iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_a_problem_and_readable_data_a_warning(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(places, "is_writable", lambda folder: False)
    (tmp_path / "data").mkdir()
    found = by_name(places.folders())
    assert (found["data"].level, found["runs"].level) == ("warning", "problem")
    assert found["runs"].fix == "set ZOO_RUNS to a folder that can"
    assert not places.is_writable(Path("/proc"))


def test_little_space_is_a_warning(monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 5e8})())
    assert {finding.level for finding in places.folders()} == {"warning"}


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("0", False), ("", False)])
def test_the_policy_about_downloads_is_told(monkeypatch, value, offline) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", value)
    (finding,) = places.network()
    assert (finding.level, finding.facts) == ("ok", {"offline": offline})


def test_a_limit_of_the_cache_that_is_no_number_is_a_problem(monkeypatch) -> None:
    ((_, (finding,)),) = examine([("places", places.cached)])
    assert (finding.level, finding.facts) == ("ok", {"size": 0, "limit": 20_000_000_000})
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "much")
    ((_, (finding,)),) = examine([("places", places.cached)])
    assert (finding.level, finding.fix) == (
        "problem",
        "for example ZOO_CACHE_LIMIT=20",
    ) and "not 'much'" in finding.says


def test_variables_in_force_are_told_and_unknown_ones_have_the_nearest_known(monkeypatch) -> None:
    for name, value in {"ZOO_OFLINE": "1", "ZOO_XYZZY": "2", "ZOO_OFFLINE": "yes", "ZOO_STRICT_PLUGINS": "1"}.items():
        monkeypatch.setenv(name, value)
    found = by_name(places.environment())
    assert (found["ZOO_OFLINE"].level, found["ZOO_OFLINE"].fix) == ("warning", "did you mean ZOO_OFFLINE?")
    assert "ZOO_DATA" in found["ZOO_XYZZY"].fix
    assert found["ZOO_OFFLINE"].level == "warning" and "neither 0 nor 1" in found["ZOO_OFFLINE"].says
    assert found["ZOO_STRICT_PLUGINS"].level == "ok"


def test_no_value_that_may_be_secret_is_reported(monkeypatch) -> None:
    for name in ("ZOO_KEY_PASSWORD", "ZOO_KEY_PASWORD", "ZOO_API_KEY"):
        monkeypatch.setenv(name, "hunter2")
    findings = list(places.environment())
    assert "hunter2" not in repr(findings)
    found = by_name(findings)
    assert found["ZOO_KEY_PASSWORD"].level == "ok" and found["ZOO_KEY_PASSWORD"].says.startswith("is set")
    assert found["ZOO_KEY_PASWORD"].fix == "did you mean ZOO_KEY_PASSWORD?"
