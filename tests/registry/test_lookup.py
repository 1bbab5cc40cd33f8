"""Looking things up: bare and qualified names, clashes, suggestions, events, and what a spec names."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest

from zoo.api import ArchitectureSpec, DatasetSpec, Options, RecipeSpec, Spec
from zoo.errors import PluginError, UnknownNameError, UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import (
    Item,
    Registry,
    calls_of,
    changes_reported,
    in_plugin,
    load_object,
    options_model,
    registry,
)


def architecture(name: str, **facts: Any) -> ArchitectureSpec:
    return ArchitectureSpec(
        **{"name": name, "summary": "a net", "target": "nowhere:build", "input": (1, 8, 8), **facts}
    )


def dataset(name: str) -> DatasetSpec:
    return DatasetSpec(
        name=name,
        summary="data",
        target="nowhere:open",
        classes=("a",),
        shape=(1, 8, 8),
        mean=(0,),
        std=(1,),
        licence="CC0",
    )


def plugin(namespace: str, **specs: list[Spec]) -> Plugin:
    return Plugin(namespace, f"zoo-{namespace}", "1.0", f"zoo_{namespace}", specs=specs)


def catalogue(*plugins: Plugin) -> Registry:
    return Registry(list(plugins), pluggy.PluginManager("zoo"))


@pytest.fixture
def animals() -> Registry:
    return catalogue(
        plugin(
            "savanna",
            architecture=[architecture("zebra"), architecture("lion")],
            dataset=[dataset("zebra")],
            recipe=[RecipeSpec(name="lion_runs", summary="a run", dataset="zebra", task="classification")],
        ),
        plugin("steppe", architecture=[architecture("horse"), architecture("lion")]),
    )


@pytest.mark.parametrize("name", ["zebra", "savanna/zebra"])
def test_an_item_answers_to_its_bare_and_its_canonical_name(animals: Registry, name: str) -> None:
    item = animals.architecture(name)
    assert (item.canonical, item.kind, item.spec.name, item.plugin.distribution) == (
        "savanna/zebra",
        "architecture",
        "zebra",
        "zoo-savanna",
    )


def test_a_name_that_two_plugins_have_is_an_error_for_that_name_alone(animals: Registry) -> None:
    with pytest.raises(UsageError) as caught:
        animals.architecture("lion")
    message = str(caught.value)
    for words in ("zoo-savanna", "zoo-steppe", "savanna/lion", "steppe/lion"):
        assert words in message
    assert caught.value.exit_code == 2
    assert animals.architecture("steppe/lion").canonical == "steppe/lion"
    assert animals.architecture("horse").canonical == "steppe/horse"


@pytest.mark.parametrize("kind", ["architecture", "dataset", "task", "recipe", "exporter", "augmentation"])
def test_case_1_an_unknown_name_gets_the_nearest_ones(kind: str) -> None:
    first = {
        "architecture": "cnn",
        "dataset": "digits",
        "task": "classification",
        "recipe": "cnn_digits",
        "exporter": "onnx",
        "augmentation": "flip",
    }[kind]
    with pytest.raises(UnknownNameError) as caught:
        getattr(registry(), kind)(first + "z")
    assert f"no {kind} is called '{first}z'" in str(caught.value)
    assert first in str(caught.value).partition("did you mean")[2]
    assert caught.value.exit_code == 2


def test_a_name_like_nothing_gets_the_list_to_look_in(animals: Registry) -> None:
    with pytest.raises(UnknownNameError, match="see `zoo list architectures`"):
        animals.architecture("xyzzy_42")


def test_kinds_have_names_of_their_own(animals: Registry) -> None:
    assert animals.dataset("zebra").kind == "dataset"
    with pytest.raises(UnknownNameError):
        animals.dataset("horse")
    assert {item.kind for item in animals.find_any("zebra")} == {"architecture", "dataset"}
    with pytest.raises(UnknownNameError, match="zebra"):
        animals.find_any("zebro")


def test_what_can_be_run_is_a_recipe_or_an_architecture(animals: Registry) -> None:
    assert animals.runnable("lion_runs").kind == "recipe"
    assert animals.runnable("horse").kind == "architecture"
    with pytest.raises(UnknownNameError, match="lion_runs"):
        animals.runnable("lion_run")
    with pytest.raises(UsageError, match="ambiguous"):
        animals.runnable("lion")


@pytest.mark.parametrize(
    ("pattern", "namespace", "names"),
    [
        ("*", None, ["steppe/horse", "savanna/lion", "steppe/lion", "savanna/zebra"]),
        ("*", "steppe", ["steppe/horse", "steppe/lion"]),
        ("l*", None, ["savanna/lion", "steppe/lion"]),
        ("savanna/*", None, ["savanna/lion", "savanna/zebra"]),
        ("[hz]*", "savanna", ["savanna/zebra"]),
        ("ion", None, []),
        ("*", "nobody", []),
    ],
)
def test_items_are_listed_by_pattern_and_namespace(
    animals: Registry, pattern: str, namespace: str | None, names: list[str]
) -> None:
    assert [item.canonical for item in animals.items("architecture", pattern, namespace)] == names


def item_of(reference: str, options: str | None = None) -> Item[Any]:
    return Item("architecture", architecture("zebra", target=reference, options=options), plugin("savanna"))


# ---------------------------------------------------------------------------------------------------- what a spec names


def test_an_implementation_is_imported_by_its_reference() -> None:
    assert load_object("pathlib:Path", item_of("pathlib:Path")) is Path


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError"),
        ("", "AttributeError"),
    ],
)
def test_an_implementation_that_cannot_be_imported_is_the_plugin_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, cause: str
) -> None:
    (tmp_path / "zoo_stub_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "zoo_stub_module", sys)
    del sys.modules["zoo_stub_module"]
    with pytest.raises(PluginError) as caught:
        load_object("zoo_stub_module:build", item_of("zoo_stub_module:build"))
    for words in ("savanna/zebra", cause, "zoo_stub_module:build", "zoo-savanna"):
        assert words in str(caught.value)
    assert caught.value.exit_code == 6


class SomeOptions(Options):
    """What the items below name."""

    stripes: int = 3


def test_options_are_the_model_that_the_spec_names() -> None:
    assert options_model(item_of("a:b", f"{__name__}:SomeOptions")) is SomeOptions
    assert options_model(item_of("a:b")) is Options
    with pytest.raises(PluginError, match=r"no zoo\.api\.Options"):
        options_model(item_of("a:b", "pathlib:Path"))


# ---------------------------------------------------------------------------------------------------- the real registry


def test_the_first_party_items_are_all_there() -> None:
    real = registry()
    assert real is registry()
    assert {item.canonical for item in real.items("dataset")} >= {"datasets/digits", "datasets/mnist"}
    assert all(
        item.plugin.state == "ok"
        for kind in ("architecture", "task", "recipe", "exporter", "augmentation")
        for item in real.items(kind)
    )


def test_every_recipe_resolves() -> None:
    from zoo.runs.resolve_config import resolve

    for item in registry().items("recipe"):
        assert resolve(registry(), item.canonical).config.recipe == item.canonical


def test_looking_around_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from zoo.registry.lookup import registry; r = registry();"
        "[r.items(kind) for kind in ('architecture', 'dataset', 'task', 'recipe', 'exporter', 'augmentation')];"
        "assert r.members() and not r.faults;"
        "print(sorted({'torch', 'numpy', 'onnx', 'sklearn', 'requests', 'pooch'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_a_third_party_s_architecture_clashes_by_its_bare_name_only(install: Callable[..., Path]) -> None:
    from zoo.registry.discovery import discover

    source = """
    from zoo.api import ArchitectureSpec, hookimpl

    @hookimpl
    def zoo_register_architectures():
        return [ArchitectureSpec(name="cnn", summary="another", target="nowhere:build", input=(1, 8, 8))]
    """
    install("zoo-rival", "rival", source)
    both = Registry(*discover())
    with pytest.raises(UsageError, match=r"(?=.*torch-zoo)(?=.*zoo-rival)(?=.*classics/cnn)(?=.*rival/cnn)"):
        both.architecture("cnn")
    assert both.architecture("rival/cnn").spec.summary == "another"
    assert both.architecture("fnn").canonical == "classics/fnn"
    assert both.recipe("cnn_digits").canonical == "classics/cnn_digits"


@pytest.mark.parametrize(
    "call", [in_plugin, lambda item, doing: calls_of([item], doing)], ids=["in_plugin", "calls_of"]
)
def test_what_plugins_change_goes_to_whoever_asks(call: Any, capsys: pytest.CaptureFixture[str]) -> None:
    item, told = Item("architecture", architecture("net"), plugin("lab")), list[str]()
    change = "plugin 'lab' changed the recursion limit in a call; restored"
    with changes_reported(told.append), call(item, "a call"):
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    assert told == [change] and capsys.readouterr().err == ""
    with call(item, "a call"):
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    assert told == [change] and capsys.readouterr().err == f"warning: {change}\n"
