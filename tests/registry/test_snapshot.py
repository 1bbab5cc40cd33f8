"""What is remembered of the installed plugins holds as long as nothing that it was made from has changed."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest

from zoo.registry import snapshot
from zoo.registry.discovery import discover
from zoo.registry.lookup import Registry

PLUGIN = """
from zoo.api import MetricSpec, hookimpl
zoo_contract = "2.0"
@hookimpl
def zoo_register_metrics():
    return [MetricSpec(name="rain", summary="How wet it is", target="zoo_rain:Rain")]
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "installed"


def remember() -> Registry:
    found = Registry(*discover())
    snapshot.write("1.2.3", "2.0", found, {"help": "text"})
    return found


def test_what_is_read_is_what_was_written() -> None:
    found, kept = remember(), snapshot.read()
    assert kept is not None and (kept.core, kept.contract, kept.commands) == ("1.2.3", "2.0", {"help": "text"})
    for one, other in zip(found.plugins, kept.catalogue.plugins, strict=True):
        assert (one.namespace, one.distribution, one.version, one.module, one.contract, one.note) == (
            other.namespace,
            other.distribution,
            other.version,
            other.module,
            other.contract,
            other.note,
        )
    for kind in ("architecture", "family", "dataset", "task", "recipe", "exporter"):
        names = [[(item.canonical, item.spec.summary) for item in each.items(kind)] for each in (found, kept.catalogue)]
        assert names[0] == names[1] != []
    assert kept.catalogue.dataset("folder").spec.path_option == found.dataset("folder").spec.path_option


def test_nothing_is_there_before_it_is_written(cache) -> None:
    assert snapshot.read() is None
    remember()
    assert len(list(cache.iterdir())) == 1


def test_a_change_of_a_plugins_file_ends_it(install) -> None:
    info = install("zoo-rain", "rain", PLUGIN)
    assert [plugin.state for plugin in remember().plugins if plugin.namespace == "rain"] == ["ok"]
    kept = snapshot.read()
    assert kept is not None and kept.catalogue.metric("rain").spec.summary == "How wet it is"
    file = info.parent / "zoo_rain" / "__init__.py"
    os.utime(file, ns=(1, 1))
    assert snapshot.read() is None
    remember()
    (info.parent / "zoo_rain" / "another.py").write_text("")
    assert snapshot.read() is None


def test_a_distribution_that_comes_or_goes_ends_it(install, monkeypatch) -> None:
    info = install("zoo-rain", "rain", PLUGIN)
    remember()
    assert snapshot.read() is not None
    (info.parent / "other-1.0.dist-info").mkdir()
    assert snapshot.read() is None
    remember()
    info.rename(info.with_name("zoo_rain-1.1.dist-info"))
    assert snapshot.read() is None


@pytest.mark.parametrize("variable", ["ZOO_DISABLE_PLUGINS", "ZOO_STRICT_PLUGINS"])
def test_a_variable_that_changes_what_is_loaded_keeps_it_away(variable, cache, monkeypatch) -> None:
    remember()
    monkeypatch.setenv(variable, "svd" if "DISABLE" in variable else "1")
    assert snapshot.read() is None
    for file in cache.iterdir():
        file.unlink()
    remember()
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    "source", ["raise RuntimeError('rain')", f"import warnings\nwarnings.simplefilter('error', UserWarning)\n{PLUGIN}"]
)
def test_with_a_plugin_that_should_be_spoken_of_nothing_is_remembered(install, cache, source) -> None:
    install("zoo-rain", "rain", source)
    remember()
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"state": 1}', "\x00"], ids=repr)
def test_a_damaged_file_is_none(cache, damage) -> None:
    remember()
    file = next(cache.iterdir())
    file.write_text(damage)
    assert snapshot.read() is None


def test_wrong_content_is_none(cache) -> None:
    remember()
    file = next(cache.iterdir())
    for key, value in (("plugins", [{"facts": [1], "specs": {}}]), ("packages", 3), ("names", [1]), ("plugins", None)):
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({**kept, key: value}))
        assert snapshot.read() is None
        file.write_text(json.dumps(kept))


def test_where_nothing_can_be_written_nothing_is_remembered(cache) -> None:
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("in the way")
    remember()
    assert snapshot.read() is None and Path(cache).read_text() == "in the way"


def test_a_package_with_too_many_files_is_not_watched(cache, monkeypatch) -> None:
    monkeypatch.setattr(snapshot, "FILE_LIMIT", 10)
    remember()
    assert not cache.exists() or list(cache.iterdir()) == []


def test_the_state_of_a_package_changes_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "zoo_moss"
    package.mkdir()
    for name in ("__init__.py", "family.py"):
        (package / name).write_text("names = ['fern']\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "zoo_moss", raising=False)
    importlib.import_module("zoo_moss")
    before = snapshot.package_state("zoo_moss")
    assert before and snapshot.package_state("zoo_moss") == before
    (package / "family.py").write_text("names = ['fern', 'lichen']\n")
    assert snapshot.package_state("zoo_moss") != before
    monkeypatch.delitem(sys.modules, "zoo_moss")
