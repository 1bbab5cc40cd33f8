"""The conformance kit for plugin authors: call ``check_plugin("my_namespace")`` in a test.

`docs/plugins.md` lists the checks. They use default options, run on the CPU and need no network.
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
    """Check a plugin against the plugin API; raise AssertionError with one line per fault.

    ``name`` is the plugin's namespace or import name. ``build=False`` checks only specs and references, without torch.
    ``data`` gives a small example for each dataset of the user's own (one with a ``path_option``), such as ``{"tides":
    "tests/small.parquet"}``. Without an example, only the spec of such a dataset is checked.

    ``expected_failures`` maps the identifiers of checks that are known to fail to the reason, such as
    ``{"architecture/sepnet/channels": "the stem is for RGB only"}``. The identifier follows each fault in brackets. An
    expected failure that passes is a fault.
    """
    faults = find_faults(name, build=build, data=data, expected_failures=expected_failures)
    lines = "\n".join(f"  - {fault} [{fault.check}]" for fault in faults)
    assert not faults, f"plugin '{name}' violates the plugin API:\n{lines}"  # noqa: S101


def find_faults(
    name: str,
    *,
    build: bool = True,
    data: Mapping[str, str | Path] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> list[Fault]:
    """Return the faults that `check_plugin` would raise; an empty list if there are none."""
    catalogue, expected = registry(), dict(expected_failures or {})
    plugin = next((each for each in catalogue.plugins if name in (each.namespace, each.module)), None)
    if plugin is None:
        known = ", ".join(each.namespace for each in catalogue.plugins)
        advice = "install the distribution (pip install -e .) and check `zoo plugins`"
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
        Fault(_expectation_fault(check, reason), check)
        for check, reason in expected.items()
        if check not in {fault.check for fault in faults} and (build or not is_known(check) or _needs_no_torch(check))
    ]
    return [*(fault for fault in faults if fault.check not in expected), *missed]


def _expectation_fault(check: str, reason: str) -> str:
    if not is_known(check):
        return f"expected_failures: '{check}' is not a check: write KIND/NAME/CHECK, as shown behind each fault"
    return f"unexpected pass: '{check}' did not fail ({reason}); remove it from expected_failures"


def _needs_no_torch(check: str) -> bool:
    return (check.partition("/")[0], check.rpartition("/")[2]) in WITHOUT_BUILDING


def _plugin_faults(plugin: Plugin) -> Iterator[Fault]:
    if plugin.contract is None:
        yield Fault(f"the plugin {plugin.note or 'states no plugin API version'}", "plugin/contract")
    for finding in import_findings(plugin):
        yield Fault(finding.text, f"plugin/{finding.check}")


def _data_faults(catalogue: Registry, plugin: Plugin, data: Mapping[str, str]) -> Iterator[Fault]:
    datasets = catalogue.items("dataset", namespace=plugin.namespace)
    own = [item.spec.name for item in datasets if item.spec.path_option is not None]
    for name in data:
        if name not in own:
            known = f"datasets with a path: {', '.join(own) or 'none'}"
            yield Fault(f"data: '{name}' is not a dataset of the plugin that takes a path ({known})", "plugin/data")


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
    """Return the checks of each kind; imports torch. ``sizes`` receives the parameter count of each architecture."""
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
    """Export the smallest architecture of each kind of main output."""
    if not sizes:
        return
    from zoo.testing.exporters import export_findings

    for kind in dict.fromkeys(item.spec.main_output.kind for _, item in sizes):
        of_kind = [(size, item.spec.name, item) for size, item in sizes if item.spec.main_output.kind == kind]
        yield from _faults_of(catalogue, min(of_kind, key=lambda each: each[:2])[2], export_findings)


def _faults_of(catalogue: Registry, item: Item[Any], check: Check) -> Iterator[Fault]:
    """Yield the findings of a check, and every change of process-wide state during it."""
    label, place = f"{item.kind} '{item.spec.name}'", f"{item.kind}/{item.spec.name}"
    changed: list[str] = []
    with changes_reported(changed.append), isolated(item.plugin.namespace, "the checks", changed.append):
        findings = list(guarded("target", check(catalogue, item)))
    findings += [Finding("global_state", text.removesuffix("; restored")) for text in dict.fromkeys(changed)]
    for finding in findings:
        yield Fault(f"{label}: {finding.text}", f"{place}/{finding.check}")


def _reference_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    """Check that targets and options can be imported, and that every option has a default."""
    reference = getattr(item.spec, "target", None) or getattr(item.spec, "solver", None)
    loaded = load_object(reference, item) if reference is not None else None
    if loaded is not None and item.kind != "family" and not callable(loaded):
        yield Finding("target", f"{reference} is not callable")
    if hasattr(item.spec, "options"):
        argument = getattr(item.spec, "path_option", None)  # given after the name, as in folder:PATH
        fields = options_model(item).model_fields
        needed = [name for name, field in fields.items() if field.is_required() and name != argument]
        if argument is not None and argument not in fields:
            yield Finding("target", f"path_option '{argument}' is not a field of its options")
        if needed:
            yield Finding("target", f"options without a default: {', '.join(needed)}")
    if item.kind == "command" and item.spec.name != item.plugin.namespace:
        yield Finding("name", f"a command group must have its plugin's namespace as name: '{item.plugin.namespace}'")
