"""What may stand in a place of the command line, for completion: each a value and a word about it.

None of this imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.registry.lookup import Item

Candidates = list[tuple[str, str]]


def kinds() -> Candidates:
    from zoo.cli.list_items import KINDS

    return [(kind, "") for kind in KINDS]


def recipes_and_architectures(incomplete: str = "") -> Candidates:
    return [*_items("recipe", "architecture"), *members(incomplete)]


def architectures(incomplete: str = "") -> Candidates:
    return [*_items("architecture"), *members(incomplete)]


def members(incomplete: str) -> Candidates:
    """Of the family whose name is typed; else the families, each ready for a member's name."""
    from zoo.registry.lookup import registry

    namespace, slash, _ = incomplete.partition("/")
    if slash:
        return [(member.canonical, "") for member in registry().members(namespace=namespace)]
    return [(item.canonical.removesuffix("*"), item.spec.summary) for item in registry().items("family")]


def datasets(incomplete: str = "") -> Candidates:
    """Names and, after the colon of one that takes a folder, folders."""
    name, colon, start = incomplete.partition(":")
    if colon:
        return [(f"{name}:{folder}", "folder") for folder in _folders(start)]
    from zoo.registry.lookup import registry

    catalogue = registry()
    own = {catalogue.short_name(item) for item in catalogue.items("dataset") if item.spec.path_option is not None}
    return [(f"{name}:" if name in own else name, summary) for name, summary in _items("dataset")]


def cache_keys() -> Candidates:
    from zoo.data.dataset_cache import entries

    return [(entry.key, str(entry.description.get("dataset", ""))) for entry in entries()]


def tasks() -> Candidates:
    return _items("task")


def exporters() -> Candidates:
    return _items("exporter")


def items(incomplete: str = "") -> Candidates:
    kinds = ("recipe", "architecture", "dataset", "task", "adaptation", "exporter", "augmentation", "metric")
    return [*_items(*kinds), *members(incomplete)]


def exportable(incomplete: str = "") -> Candidates:
    return [*recipes_and_architectures(incomplete), *runs()]


def predictors() -> Candidates:
    """Bundles and runs."""
    from zoo.support.paths import exports_root

    bundles = [(str(file.parent), "bundle") for file in sorted(exports_root().glob("*/bundle.json"))]
    return [*bundles, *runs()]


def runs() -> Candidates:
    """Newest first; the label of several stands for the newest of them."""
    from zoo.runs.run_directory import all_runs, run_id

    found = [run_id(run.path) for run in all_runs()]
    labels = dict.fromkeys(name.partition("/")[0] for name in found)
    return [*((label, "newest run of it") for label in labels), *((name, "run") for name in found)]


def plugins() -> Candidates:
    from zoo.registry.lookup import registry

    return [(plugin.namespace, f"{plugin.distribution} {plugin.version}") for plugin in registry().plugins]


def devices() -> Candidates:
    """Those that the driver shows as files; which of them torch can use is said when it is imported."""
    cards = [f"cuda:{index}" for index, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    names = ["cpu", *(["cuda", *cards] if cards else []), *(["mps"] if sys.platform == "darwin" else [])]
    return [("auto", "the best there is"), *((name, "") for name in names)]


def settings() -> Candidates:
    """The keys of a configuration, ready for their value."""
    from zoo.config.run_config import DatasetSection, RunConfig, Section, TrainConfig

    found: Candidates = []
    for prefix, model in (("", RunConfig), ("dataset.", DatasetSection), ("train.", TrainConfig)):
        for name, field in model.model_fields.items():
            if name in ("architecture", "dataset", "task", "train") or (
                prefix == "dataset." and name in Section.model_fields
            ):
                continue
            found.append((f"{prefix}{field.alias or name}=", field.description or ""))
    return [*found, *((f"{section}.", "its own options") for section in ("architecture", "dataset", "task"))]


def parts() -> Candidates:
    from typing import get_args

    from zoo.api import Part

    return [(part, "") for part in get_args(Part)]


def layers() -> Candidates:
    from zoo.analysis.layer_math import KINDS

    return [(kind, "") for kind in KINDS]


def shells() -> Candidates:
    from zoo.cli.completion_scripts import SCRIPTS

    return [(shell, "") for shell in SCRIPTS]


def _items(*wanted: str) -> Candidates:
    """Bare names where one plugin alone has it, else canonical ones."""
    from zoo.cli.item_names import display_name
    from zoo.registry.lookup import registry

    catalogue = registry()
    found: Iterable[Item[Any]] = (item for kind in wanted for item in catalogue.items(kind))
    return list(
        {display_name(catalogue, item): (display_name(catalogue, item), item.spec.summary) for item in found}.values()
    )


def _folders(start: str) -> Iterator[str]:
    """Folders whose path begins with what was typed, each with its slash."""
    from zoo.errors import UsageError
    from zoo.support.paths import user_path

    above, _, _ = start.rpartition("/")
    try:
        inside = sorted(user_path(f"{above}/" if start.startswith("/") or above else ".").iterdir())
    except (OSError, UsageError):
        return
    for folder in inside:
        if folder.is_dir() and not folder.name.startswith("."):
            yield f"{above}/{folder.name}/" if "/" in start else f"{folder.name}/"


OPTIONS: dict[str, Callable[[], Candidates]] = {
    "--device": devices,
    "--format": exporters,
    "--plugin": plugins,
    "--resume": runs,
    "--set": settings,
    "--split": parts,
    "--task": tasks,
}
ARGUMENTS: dict[str, Callable[[], Candidates]] = {
    "KEY": cache_keys,
    "KIND": kinds,
    "LAYER": layers,
    "RUN": runs,
    "RUN|BUNDLE|MODEL": predictors,
    "SHELL": shells,
}
"""By what help calls it, alone or after its command; so a plugin's command that speaks of a RUN is completed as ours
are."""
DEPENDING: dict[str, Callable[[str], Candidates]] = {
    "--arch": architectures,
    "--data": datasets,
    "DATASET": datasets,
    "info NAME": items,
    "run NAME": recipes_and_architectures,
    "gradients NAME": recipes_and_architectures,
    "ARCHITECTURE": architectures,
    "NAME|RUN": exportable,
}
"""The places whose candidates depend on what was typed, named in the same ways."""


def candidates_for(command: str, names: Iterable[str], typed: str) -> Candidates | None:
    """What may stand for a parameter, by one of its ``names``: an option's, or what help calls an argument.

    None where nothing is known.
    """
    for name in names:
        depending = DEPENDING.get(f"{command} {name}") or DEPENDING.get(name)
        if depending is not None:
            return depending(typed)
        known = OPTIONS.get(name) or ARGUMENTS.get(f"{command} {name}") or ARGUMENTS.get(name)
        if known is not None:
            return known()
    return None
