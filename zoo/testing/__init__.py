"""The conformance kit for plugin authors: ``check_plugin("my_namespace")`` in a test holds a plugin to what its users
will expect of it.

`docs/plugins.md` lists what is checked. Everything is tried at its default options, on the CPU, with no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item, Registry, changes_reported, load_object, options_model, registry
from zoo.registry.plugin_isolation import isolated
from zoo.testing.faults import WITHOUT_BUILDING, Fault, Finding, guarded, is_known
from zoo.testing.light_import import import_findings
from zoo.testing.recipes import plan_findings

__all__ = ["Fault", "check_plugin", "find_faults"]

Check = Callable[[Registry, Item[Any]], Iterator[Finding]]


def check_plugin(
    name: str,
    *,
    build: bool = True,
    data: Mapping[str, str | Path] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Raise AssertionError, with a line for each fault, unless the plugin keeps the whole contract.

    ``name`` is its namespace or its import name. ``build=False`` leaves out whatever needs torch: the specs and
    references alone. ``data`` has a small example for each dataset that is the user's own, by its name:
    ``{"tides": "tests/small.parquet"}``; one that has none there is looked at by its spec alone.
    ``expected_failures`` are checks that are known to fail, each with the reason, by the identifiers
    that stand behind the faults: ``{"architecture/sepnet/channels": "the stem is for RGB alone"}``. One that does not
    fail is a fault itself.
    """
    faults = find_faults(name, build=build, data=data, expected_failures=expected_failures)
    lines = "\n".join(f"  - {fault} [{fault.check}]" for fault in faults)
    assert not faults, f"plugin '{name}' does not keep the contract:\n{lines}"  # noqa: S101


def find_faults(
    name: str,
    *,
    build: bool = True,
    data: Mapping[str, str | Path] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Fault]:
    """What `check_plugin` would complain of, a line each; nothing where all is well."""
    catalogue, expected = registry(), dict(expected_failures or {})
    plugin = next((each for each in catalogue.plugins if name in (each.namespace, each.module)), None)
    if plugin is None:
        known = ", ".join(each.namespace for each in catalogue.plugins)
        advice = "install the distribution (pip install -e .) and look at `zoo plugins`"
        return [Fault(f"no plugin has the namespace '{name}'; {advice} (known: {known})", "plugin/state")]
    if plugin.state != "ok":
        return [Fault(f"the plugin is {plugin.state}: {plugin.cause}", "plugin/state")]
    own = {dataset: str(Path(path).absolute()) for dataset, path in (data or {}).items()}
    faults = [
        *_plugin_faults(plugin),
        *_data_faults(catalogue, plugin, own),
        *_item_faults(catalogue, plugin, build, own),
    ]
    missed = [
        Fault(_told(check, reason), check)
        for check, reason in expected.items()
        if check not in {fault.check for fault in faults} and (build or not is_known(check) or _needs_no_torch(check))
    ]
    return [*(fault for fault in faults if fault.check not in expected), *missed]


def _told(check: str, reason: str) -> str:
    if not is_known(check):
        return f"expected_failures names '{check}', which is no check: write KIND/NAME/CHECK, as faults show it"
    return f"unexpected pass: '{check}' was to fail ({reason}); take it out of expected_failures"


def _needs_no_torch(check: str) -> bool:
    return (check.partition("/")[0], check.rpartition("/")[2]) in WITHOUT_BUILDING


def _plugin_faults(plugin: Plugin) -> Iterator[Fault]:
    if plugin.contract is None:
        yield Fault(f"the plugin {plugin.note or 'states no contract version'}", "plugin/contract")
    for finding in import_findings(plugin):
        yield Fault(finding.text, f"plugin/{finding.check}")


def _data_faults(catalogue: Registry, plugin: Plugin, data: Mapping[str, str]) -> Iterator[Fault]:
    datasets = catalogue.items("dataset", namespace=plugin.namespace)
    own = [item.spec.name for item in datasets if item.spec.path_option is not None]
    for name in data:
        if name not in own:
            known = f"those that take a path: {', '.join(own) or 'none'}"
            yield Fault(f"data names '{name}', which is no dataset of the plugin ({known})", "plugin/data")


def _item_faults(catalogue: Registry, plugin: Plugin, build: bool, data: Mapping[str, str]) -> Iterator[Fault]:
    sound, sizes = list[Item[Any]](), dict[str, int]()
    checks = _checks(sizes, data) if build else {"recipe": plan_findings}
    for kind in plugin.specs:
        for item in catalogue.items(kind, namespace=plugin.namespace):
            faults = list(_faults_of(catalogue, item, _reference_findings))
            if not faults and kind in checks:
                faults += _faults_of(catalogue, item, checks[kind])
            yield from faults
            sound += [] if faults else [item]
    if build:
        architectures = [item for item in sound if item.kind == "architecture"]
        yield from _export_faults(catalogue, [(sizes[item.canonical], item) for item in architectures])


def _checks(sizes: dict[str, int], data: Mapping[str, str]) -> dict[str, Check]:
    """What builds each kind and tries it; this imports torch. ``sizes`` gets the parameters of each architecture."""
    from zoo.testing.adaptations import adaptation_findings
    from zoo.testing.architectures import architecture_findings
    from zoo.testing.augmentations import augmentation_findings
    from zoo.testing.datasets import dataset_findings
    from zoo.testing.exporters import exporter_findings
    from zoo.testing.families import family_findings
    from zoo.testing.metrics import metric_findings
    from zoo.testing.recipe_training import recipe_findings
    from zoo.testing.tasks import task_findings

    return {
        "architecture": partial(architecture_findings, sizes=sizes),
        "family": family_findings,
        "dataset": partial(dataset_findings, data=data),
        "task": task_findings,
        "adaptation": adaptation_findings,
        "exporter": exporter_findings,
        "augmentation": augmentation_findings,
        "metric": metric_findings,
        "recipe": partial(recipe_findings, known={}),
    }


def _export_faults(catalogue: Registry, sizes: Sequence[tuple[int, Item[Any]]]) -> Iterator[Fault]:
    """Of the architecture with the fewest parameters for each kind of main output."""
    if not sizes:
        return
    from zoo.testing.exporters import export_findings

    for kind in dict.fromkeys(item.spec.main_output.kind for _, item in sizes):
        of_kind = [(size, item.spec.name, item) for size, item in sizes if item.spec.main_output.kind == kind]
        yield from _faults_of(catalogue, min(of_kind, key=lambda each: each[:2])[2], export_findings)


def _faults_of(catalogue: Registry, item: Item[Any], check: Check) -> Iterator[Fault]:
    """What a check finds, each finding under its item's label; and what the item changed in the process meanwhile."""
    label, place = f"{item.kind} '{item.spec.name}'", f"{item.kind}/{item.spec.name}"
    changed: list[str] = []
    with changes_reported(changed.append), isolated(item.plugin.namespace, "the checks", changed.append):
        findings = list(guarded("target", check(catalogue, item)))
    findings += [Finding("global_state", text.removesuffix("; restored")) for text in dict.fromkeys(changed)]
    for finding in findings:
        yield Fault(f"{label}: {finding.text}", f"{place}/{finding.check}")


def _reference_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    """Targets and options can be imported, and every option has a default."""
    reference = getattr(item.spec, "target", None) or getattr(item.spec, "solver", None)
    loaded = load_object(reference, item) if reference is not None else None
    if loaded is not None and item.kind != "family" and not callable(loaded):
        yield Finding("target", f"{reference} cannot be called")
    if hasattr(item.spec, "options"):
        argument = getattr(item.spec, "path_option", None)  # written behind the name, as in folder:PATH
        fields = options_model(item).model_fields
        needed = [name for name, field in fields.items() if field.is_required() and name != argument]
        if argument is not None and argument not in fields:
            yield Finding("target", f"the argument '{argument}' is not among its options")
        if needed:
            yield Finding("target", f"options without a default: {', '.join(needed)}")
    if item.kind == "command" and item.spec.name != item.plugin.namespace:
        yield Finding("name", f"a command group bears its plugin's name: call it '{item.plugin.namespace}'")
