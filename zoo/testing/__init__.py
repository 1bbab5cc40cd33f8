"""The conformance kit for plugin authors: ``check_plugin("my_namespace")`` in a test holds a plugin to what its users
will expect of it.

`docs/plugins.md` lists what is checked. Everything is tried at its default options, on the CPU, with no network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from zoo.api import FamilySpec
from zoo.errors import ZooError
from zoo.registry.discovery import Plugin
from zoo.registry.lookup import Item, Registry, load_object, options_model, registry

__all__ = ["check_plugin", "find_faults"]

HEAVY = ("torch", "numpy")
IMPORT_SECONDS = 60


def check_plugin(name: str, *, build: bool = True) -> None:
    """Raise AssertionError, with a line for each fault, unless the plugin keeps the whole contract.

    ``name`` is its namespace or its import name. ``build=False`` leaves out whatever needs torch: the specs and
    references alone.
    """
    faults = find_faults(name, build=build)
    assert not faults, f"plugin '{name}' does not keep the contract:\n" + "\n".join(f"  - {fault}" for fault in faults)  # noqa: S101


def find_faults(name: str, *, build: bool = True) -> list[str]:
    """What `check_plugin` would complain of, a line each; nothing where all is well."""
    catalogue = registry()
    plugin = next((each for each in catalogue.plugins if name in (each.namespace, each.module)), None)
    if plugin is None:
        known = ", ".join(each.namespace for each in catalogue.plugins)
        advice = "install the distribution (pip install -e .) and look at `zoo plugins`"
        return [f"no plugin has the namespace '{name}'; {advice} (known: {known})"]
    if plugin.state != "ok":
        return [f"the plugin is {plugin.state}: {plugin.cause}"]
    return [*_light_import(plugin), *_item_faults(catalogue, plugin, build)]


def _light_import(plugin: Plugin) -> Iterator[str]:
    """Import the plugin, call its hooks and list its families in a fresh interpreter: neither torch nor numpy may come
    with it."""
    script = (
        f"import sys, json, importlib; sys.path[:] = {sys.path!r}\n"
        f"module = importlib.import_module({plugin.module!r})\n"
        "[list(hook()) for name, hook in vars(module).items() if name.startswith('zoo_register_')]\n"
        "references = "
        f"{[spec.target.split(':') for spec in plugin.specs.get('family', ()) if isinstance(spec, FamilySpec)]!r}\n"
        "[list(getattr(importlib.import_module(module), attribute).names()) for module, attribute in references]\n"
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    environment = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=IMPORT_SECONDS,
        env=environment,
        check=False,
    )
    if done.returncode:
        yield f"importing {plugin.module} in a fresh interpreter failed: {done.stderr.strip().splitlines()[-1:]}"
        return
    heavy = json.loads(done.stdout.strip().splitlines()[-1])
    if heavy:
        advice = "name implementations as 'module:attribute' and import there"
        yield f"importing {plugin.module} imports {' and '.join(heavy)}; {advice}"


def _item_faults(catalogue: Registry, plugin: Plugin, build: bool) -> Iterator[str]:
    checks = _checks() if build else {}
    for kind in plugin.specs:
        for item in catalogue.items(kind, namespace=plugin.namespace):
            label = f"{kind} '{item.spec.name}'"
            loaded = list(_guarded(label, _reference_faults(item)))
            yield from loaded
            if kind == "recipe":
                yield from _guarded(label, _recipe_faults(catalogue, item))
            elif not loaded and kind in checks:
                yield from _guarded(label, checks[kind](catalogue, item))


def _checks() -> dict[str, Callable[[Registry, Item[Any]], Iterator[str]]]:
    """What builds each kind and tries it; this imports torch."""
    from zoo.testing.architectures import architecture_faults
    from zoo.testing.datasets import dataset_faults
    from zoo.testing.families import family_faults
    from zoo.testing.tasks import adaptation_faults, exporter_faults, task_faults

    return {
        "architecture": architecture_faults,
        "family": family_faults,
        "dataset": dataset_faults,
        "task": task_faults,
        "adaptation": adaptation_faults,
        "exporter": exporter_faults,
    }


def _guarded(label: str, faults: Iterator[str]) -> Iterator[str]:
    """Each fault under its label; an exception is a fault, and ends this item's checks."""
    try:
        for fault in faults:
            yield f"{label}: {fault}"
    except ZooError as error:
        yield f"{label}: {error}"
    except Exception as error:
        yield f"{label}: raised {type(error).__name__}: {error}"


def _reference_faults(item: Item[Any]) -> Iterator[str]:
    """Targets and options can be imported, and every option has a default."""
    reference = getattr(item.spec, "target", None) or getattr(item.spec, "solver", None)
    loaded = load_object(reference, item) if reference is not None else None
    if loaded is not None and item.kind != "family" and not callable(loaded):
        yield f"{reference} cannot be called"
    if hasattr(item.spec, "options"):
        argument = getattr(item.spec, "path_option", None)  # written behind the name, as in folder:PATH
        needed = [
            name for name, field in options_model(item).model_fields.items() if field.is_required() and name != argument
        ]
        if argument is not None and argument not in options_model(item).model_fields:
            yield f"the argument '{argument}' is not among its options"
        if needed:
            yield f"options without a default: {', '.join(needed)}"
    if item.kind == "command" and item.spec.name != item.plugin.namespace:
        yield f"a command group bears its plugin's name: call it '{item.plugin.namespace}'"


def _recipe_faults(catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    """It resolves to a valid configuration, and the weights it ships are named by its architecture."""
    from zoo.runs.resolve_config import resolve

    architecture = resolve(catalogue, item.canonical).architecture
    if item.spec.weights is not None:
        known = {} if architecture is None else architecture.spec.weights
        if item.spec.weights not in known:
            yield f"its architecture names no weights '{item.spec.weights}'"
