"""Finding plugins: small distributions are installed beside the real ones, and the faulty ones must not stop
anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from zoo.api import Exported
from zoo.errors import PluginError, UnknownNameError
from zoo.registry.catalogue import Plugin
from zoo.registry.discovery import CORE, discover
from zoo.registry.lookup import Registry, core_version

Install = Callable[..., Path]

GOOD = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    return [ArchitectureSpec(name="zebra", summary="a net", target="nowhere:build", input=(1, 8, 8))]
"""
NONE_GIVEN = """
from zoo.api import hookimpl

@hookimpl
def zoo_register_architectures():
    {}
"""


FIRST_PARTY = (
    "augment",
    "classics",
    "datasets",
    "onnx",
    "svd",
    "tasks",
    "timm",
    "torch_export",
    "torchvision",
    "trackers",
)


def found(namespace: str) -> Plugin:
    plugins, _ = discover()
    return next(plugin for plugin in plugins if plugin.namespace == namespace)


def first_party() -> dict[str, str]:
    plugins, _ = discover()
    return {plugin.namespace: plugin.state for plugin in plugins if plugin.distribution == CORE}


def test_a_third_party_s_plugin_is_found_beside_the_first_party_ones(install: Install) -> None:
    install("zoo-good", "good", GOOD, requires=[f"{CORE}>=0.1", "numpy"])
    plugin = found("good")
    assert (plugin.distribution, plugin.version, plugin.module, plugin.state, plugin.cause) == (
        "zoo-good",
        "1.0",
        "zoo_good",
        "ok",
        None,
    )
    assert [spec.name for spec in plugin.specs["architecture"]] == ["zebra"]
    assert first_party() == dict.fromkeys(FIRST_PARTY, "ok")


def test_plugins_are_sorted_whatever_order_they_are_found_in(install: Install) -> None:
    for name in ("zz", "aa", "mm"):
        install(f"zoo-{name}", name, GOOD)
    points = list(metadata.entry_points(group="zoo"))
    orders = [[plugin.namespace for plugin in discover(some)[0]] for some in (points, points[::-1])]
    assert orders[0] == orders[1] == sorted(orders[0])


FAULTS = {
    "import raises": (
        "import no_such_module_anywhere",
        [],
        "broken",
        ["ModuleNotFoundError", "no_such_module_anywhere"],
    ),
    "a syntax error": ("def", [], "broken", ["SyntaxError"]),
    "SystemExit at import": ("import sys; sys.exit(3)", [], "broken", ["SystemExit: 3"]),
    "another core version": (GOOD, [f"{CORE}>=99,<100"], "incompatible", [f"{CORE}<100,>=99", core_version()]),
    "unmarked": (
        "def zoo_register_tasks(): return []",
        [],
        "broken",
        ["zoo_register_tasks is not marked", "@zoo.api.hookimpl"],
    ),
    "misspelt": (
        "def zoo_register_archtectures(): return []",
        [],
        "broken",
        ["did you mean zoo_register_architectures?"],
    ),
    "misspelt and marked": (
        GOOD.replace("zoo_register_architectures", "zoo_registr_architectures"),
        [],
        "broken",
        ["did you mean"],
    ),
    "returns nothing": (NONE_GIVEN.format("pass"), [], "broken", ["zoo_register_architectures", "NoneType"]),
    "returns a number": (NONE_GIVEN.format("return 3"), [], "broken", ["zoo_register_architectures", "int"]),
    "returns text": (
        NONE_GIVEN.format("return 'net'"),
        [],
        "broken",
        ["str 'n' where ArchitectureSpec is due"],
    ),
    "returns dicts": (
        NONE_GIVEN.format("return [{'name': 'net'}]"),
        [],
        "broken",
        ["dict", "ArchitectureSpec is due"],
    ),
    "another kind's spec": (
        GOOD.replace("zoo_register_architectures", "zoo_register_tasks"),
        [],
        "broken",
        ["ArchitectureSpec", "where TaskSpec is due"],
    ),
    "one name twice": (
        GOOD.replace("input=(1, 8, 8))]", "input=(1, 8, 8))] * 2"),
        [],
        "broken",
        ["returned 'zebra' twice"],
    ),
    "raises": (
        NONE_GIVEN.format("return 1 / 0"),
        [],
        "broken",
        ["zoo_register_architectures raised ZeroDivisionError"],
    ),
    "exits": (NONE_GIVEN.format("raise SystemExit('bye')"), [], "broken", ["SystemExit: bye"]),
    "raises midway": (NONE_GIVEN.format("yield 1 / 0"), [], "broken", ["ZeroDivisionError"]),
    "an invalid spec": (GOOD.replace('"zebra"', '"Big Zebra"'), [], "broken", ["ValidationError"]),
    "a wrapper": (
        GOOD.replace("@hookimpl", "@hookimpl(wrapper=True)"),
        [],
        "broken",
        ["hook wrapper", "drop wrapper=True"],
    ),
    "an old wrapper": (GOOD.replace("@hookimpl", "@hookimpl(hookwrapper=True)"), [], "broken", ["hook wrapper"]),
    "an argument that is not given": (GOOD.replace("architectures()", "architectures(names)"), [], "broken", ["names"]),
    "unreadable requirements": (GOOD, [f"{CORE} is nice"], "broken", ["metadata cannot be read"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_plugin_is_reported_and_does_not_stop_the_others(
    install: Install, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, requires, state, words = FAULTS[fault]
    install("zoo-faulty", "faulty", source, requires=requires)
    install("zoo-good", "good", GOOD)
    registry = Registry(*discover())  # once: each discovery imports every plugin
    plugins = {each.namespace: each for each in registry.plugins}
    plugin = plugins["faulty"]
    assert plugin.state == state
    assert plugin.specs == {}
    for word in words:
        assert word in (plugin.cause or "")
    assert "\n" not in (plugin.cause or "\n")
    assert plugins["good"].state == "ok"
    assert {each.state for each in registry.plugins if each.distribution == CORE} == {"ok"}

    assert registry.architecture("zebra").canonical == "good/zebra"
    with pytest.raises(PluginError, match="is not available") as caught:
        registry.architecture("faulty/zebra")
    assert (caught.value.exit_code, state in str(caught.value), "zoo-faulty" in str(caught.value)) == (6, True, True)
    with pytest.raises(UnknownNameError, match="1 plugin\\(s\\) could not be loaded, see `zoo plugins`"):
        registry.architecture("no_such_thing")

    monkeypatch.setenv("ZOO_STRICT_PLUGINS", "1")
    with pytest.raises(PluginError, match=f"plugin 'faulty' is {state}"):
        discover()


def test_a_broken_plugin_gets_no_events(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "trackers")  # which listens
    source = (
        "from zoo.api import hookimpl\n@hookimpl\ndef zoo_exported(event): raise AssertionError\n"
        + NONE_GIVEN.format("return 3")
    )
    install("zoo-faulty", "faulty", source)
    assert not Registry(*discover()).listens(Exported)


def test_ctrl_c_at_import_is_not_swallowed(install: Install) -> None:
    install("zoo-faulty", "faulty", "import signal\nsignal.raise_signal(signal.SIGINT)")
    with pytest.raises(KeyboardInterrupt):
        discover()


@pytest.mark.parametrize(
    ("requires", "state"),
    [
        (["torch_zoo>=99"], "incompatible"),
        (["Torch-Zoo<0.0.1"], "incompatible"),
        (["torch-zoo-extras>=99"], "ok"),
        (["torch-zoo>=99; extra == 'next'"], "ok"),
        (["torch-zoo>=99; python_version < '3'"], "ok"),
        (["torch-zoo"], "ok"),
    ],
)
def test_only_what_is_asked_of_the_core_counts(install: Install, requires: list[str], state: str) -> None:
    install("zoo-good", "good", GOOD, requires=requires)
    assert found("good").state == state


def test_an_incompatible_plugin_is_not_even_imported(install: Install) -> None:
    install("zoo-faulty", "faulty", "raise RuntimeError('imported')", requires=[f"{CORE}>=99"])
    assert found("faulty").state == "incompatible"


def test_a_disabled_plugin_is_not_imported_and_no_fault(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("zoo-faulty", "faulty", "raise RuntimeError('imported')")
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", " faulty ,datasets")
    monkeypatch.setenv("ZOO_STRICT_PLUGINS", "1")
    assert found("faulty").state == "disabled"
    assert "ZOO_DISABLE_PLUGINS" in (found("faulty").cause or "")
    assert first_party() == {**dict.fromkeys(FIRST_PARTY, "ok"), "datasets": "disabled"}
    with pytest.raises(PluginError, match="is disabled"):
        Registry(*discover()).dataset("datasets/digits")


# ------------------------------------------------------------------------------------------------------------ conflicts


def test_case_21_two_distributions_of_one_name_are_a_conflict_for_both(install: Install) -> None:
    install("zoo-one", "twin", GOOD)
    install("zoo-two", "twin", GOOD)
    install("zoo-good", "good", GOOD)
    twins = [plugin for plugin in discover()[0] if plugin.namespace == "twin"]
    assert [(plugin.distribution, plugin.state) for plugin in twins] == [
        ("zoo-one", "conflict"),
        ("zoo-two", "conflict"),
    ]
    for plugin in twins:
        assert "zoo-one" in (plugin.cause or "")
        assert "zoo-two" in (plugin.cause or "")
    registry = Registry(*discover())
    assert registry.architecture("zebra").canonical == "good/zebra"
    with pytest.raises(PluginError, match=r"zoo-one and zoo-two|zoo-two and zoo-one"):
        registry.architecture("twin/zebra")


def test_a_first_party_name_is_reserved(install: Install) -> None:
    install("zoo-evil", "datasets", GOOD)
    claims = {plugin.distribution: plugin for plugin in discover()[0] if plugin.namespace == "datasets"}
    assert claims[CORE].state == "ok"
    assert claims["zoo-evil"].state == "conflict"
    assert f"'datasets' is reserved for {CORE}" in (claims["zoo-evil"].cause or "")
    assert Registry(*discover()).dataset("datasets/digits").plugin.distribution == CORE


def test_the_namespace_of_this_process_is_no_plugin_s(install: Install) -> None:
    install("zoo-near", "local", GOOD)
    plugin = found("local")
    assert plugin.state == "conflict" and "the namespace 'local' is that of zoo.register" in (plugin.cause or "")


def test_a_third_party_s_module_in_the_place_of_a_first_party_one_is_a_conflict(install: Install) -> None:
    install("zoo-evil", "evil", "raise RuntimeError('not even imported')", module="zoo_datasets")
    plugin = found("datasets")
    assert plugin.state == "conflict"
    assert "module 'zoo_datasets' is imported from" in (plugin.cause or "")
    assert f"which {CORE} did not install" in (plugin.cause or "")
    assert first_party() == {**dict.fromkeys(FIRST_PARTY, "ok"), "datasets": "conflict"}


def test_an_editable_plugin_owns_its_project_s_folder_but_not_the_environment_inside_it(
    install: Install, tmp_path: Path
) -> None:
    info = install("zoo-good", "good", GOOD)
    (info / "RECORD").write_text(f"{info.name}/RECORD,,\n")
    (info / "direct_url.json").write_text(json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}}))
    assert found("good").state == "conflict"  # the module lies in site-packages, where somebody else's wheel put it
    elsewhere = tmp_path / "elsewhere"
    (info / "direct_url.json").write_text(json.dumps({"url": elsewhere.as_uri(), "dir_info": {"editable": True}}))
    assert found("good").state == "conflict"


def test_an_editable_plugin_in_its_own_folder_is_fine(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = install("zoo-good", "good", GOOD)
    project = tmp_path / "a project"
    project.mkdir()
    shutil.move(info.parent / "zoo_good", project / "zoo_good")
    monkeypatch.syspath_prepend(project)
    (info / "RECORD").write_text(f"{info.name}/RECORD,,\n")
    assert found("good").state == "conflict"
    (info / "direct_url.json").write_text(json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}}))
    assert found("good").state == "ok"


@pytest.mark.parametrize("text", ["{", "[]", '{"dir_info": {"editable": true}}'])
def test_damaged_metadata_is_the_plugin_s_fault_alone(install: Install, text: str) -> None:
    info = install("zoo-good", "good", GOOD)
    (info / "direct_url.json").write_text(text)
    assert found("good").state == "broken"
    assert set(first_party().values()) == {"ok"}


@pytest.mark.parametrize(
    ("written", "advice"),
    [("dataset", "did you mean datasets?"), ("nonsense!", "the plugins are augment, classics, ")],
)
def test_a_name_that_disables_nothing_is_told(
    written: str, advice: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", f"onnx,{written}")
    discover()
    told = capsys.readouterr().err
    assert (
        told.startswith(f"warning: ZOO_DISABLE_PLUGINS names '{written}', and no plugin is called that; {advice}")
        and told.count("\n") == 1
    )


def test_an_item_of_a_disabled_plugin_is_an_error_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "svd,tasks")
    catalogue = Registry(*discover())
    for look in (
        lambda: catalogue.task("svd_image"),
        lambda: catalogue.runnable("svd_image"),
        lambda: catalogue.task("svd/svd_image"),
    ):
        with pytest.raises(
            PluginError, match=r"ZOO_DISABLE_PLUGINS.*; fix: take svd.* out of ZOO_DISABLE_PLUGINS"
        ) as caught:
            look()
        assert caught.value.exit_code == 6
    with pytest.raises(UnknownNameError, match="did you mean alexnet"):
        catalogue.architecture("classics_alexnet"[9:] + "s")
