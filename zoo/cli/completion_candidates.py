"""What may stand in a place of the command line, for completion: each a value and a word about it.

None of this imports torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.registry.catalogue import Catalogue

Candidates = list[tuple[str, str]]


def kinds(_catalogue: Catalogue, _typed: str) -> Candidates:
    from zoo.cli.listing import KINDS

    return [(kind, "") for kind in KINDS]


def recipes_and_architectures(catalogue: Catalogue, typed: str) -> Candidates:
    return [*_items(catalogue, "recipe", "architecture"), *members(catalogue, typed)]


def architectures(catalogue: Catalogue, typed: str) -> Candidates:
    return [*_items(catalogue, "architecture"), *members(catalogue, typed)]


def members(catalogue: Catalogue, typed: str) -> Candidates:
    """Of the family whose name is typed; else the families, each ready for a member's name."""
    namespace, slash, _ = typed.partition("/")
    if slash:
        return [(member.canonical, "") for member in catalogue.members(namespace=namespace)]
    return [(item.canonical.removesuffix("*"), item.spec.summary) for item in catalogue.items("family")]


def datasets(catalogue: Catalogue, typed: str) -> Candidates:
    """Names and, after the colon of one that takes a folder, folders."""
    name, colon, start = typed.partition(":")
    if colon:
        return [(f"{name}:{folder}", "folder") for folder in _folders(start)]
    own = {catalogue.short_name(item) for item in catalogue.items("dataset") if item.spec.path_option is not None}
    return [(f"{name}:" if name in own else name, summary) for name, summary in _items(catalogue, "dataset")]


def cache_keys(_catalogue: Catalogue, _typed: str) -> Candidates:
    from zoo.data.dataset_cache import entries

    return [(entry.key, str(entry.description.get("dataset", ""))) for entry in entries()]


def tasks(catalogue: Catalogue, _typed: str) -> Candidates:
    return _items(catalogue, "task")


def exporters(catalogue: Catalogue, _typed: str) -> Candidates:
    return _items(catalogue, "exporter")


def items(catalogue: Catalogue, typed: str) -> Candidates:
    kinds = ("recipe", "architecture", "dataset", "task", "adaptation", "exporter", "augmentation", "metric")
    return [*_items(catalogue, *kinds), *members(catalogue, typed)]


def exportable(catalogue: Catalogue, typed: str) -> Candidates:
    return [*recipes_and_architectures(catalogue, typed), *runs(catalogue, typed)]


def predictors(catalogue: Catalogue, typed: str) -> Candidates:
    """Bundles and runs."""
    from zoo.support.paths import exports_root

    bundles = [(str(file.parent), "bundle") for file in sorted(exports_root().glob("*/bundle.json"))]
    return [*bundles, *runs(catalogue, typed)]


def runs(_catalogue: Catalogue, _typed: str) -> Candidates:
    """Newest first; the label of several stands for the newest of them."""
    from zoo.runs.run_directory import all_runs, run_id

    found = [run_id(run.path) for run in all_runs()]
    labels = dict.fromkeys(name.partition("/")[0] for name in found)
    return [*((label, "newest run of it") for label in labels), *((name, "run") for name in found)]


def plugins(catalogue: Catalogue, _typed: str) -> Candidates:
    return [(plugin.namespace, f"{plugin.distribution} {plugin.version}") for plugin in catalogue.plugins]


def devices(_catalogue: Catalogue, _typed: str) -> Candidates:
    """Those that the driver shows as files; which of them torch can use is said when it is imported."""
    cards = [f"cuda:{index}" for index, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]
    names = ["cpu", *(["cuda", *cards] if cards else []), *(["mps"] if sys.platform == "darwin" else [])]
    return [("auto", "the best there is"), *((name, "") for name in names)]


def settings(_catalogue: Catalogue, _typed: str) -> Candidates:
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


def parts(_catalogue: Catalogue, _typed: str) -> Candidates:
    from typing import get_args

    from zoo.api import Part

    return [(part, "") for part in get_args(Part)]


def layers(_catalogue: Catalogue, _typed: str) -> Candidates:
    from zoo.analysis.layer_math import KINDS

    return [(kind, "") for kind in KINDS]


def shells(_catalogue: Catalogue, _typed: str) -> Candidates:
    from zoo.cli.completion_scripts import SCRIPTS

    return [(shell, "") for shell in SCRIPTS]


def _items(catalogue: Catalogue, *wanted: str) -> Candidates:
    """Bare names where one plugin alone has it, else canonical ones."""
    found = (item for kind in wanted for item in catalogue.items(kind))
    return list({catalogue.short_name(item): item.spec.summary for item in found}.items())


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


Source = Callable[["Catalogue", str], Candidates]
PLACES: dict[str, Source] = {
    "--arch": architectures,
    "--data": datasets,
    "--device": devices,
    "--format": exporters,
    "--plugin": plugins,
    "--resume": runs,
    "--set": settings,
    "--split": parts,
    "--task": tasks,
    "ARCHITECTURE": architectures,
    "DATASET": datasets,
    "KEY": cache_keys,
    "KIND": kinds,
    "LAYER": layers,
    "NAME|RUN": exportable,
    "RUN": runs,
    "RUN|BUNDLE|FILE": predictors,
    "RUN|BUNDLE|FILE|NAME": predictors,
    "RUN|BUNDLE|MODEL": predictors,
    "RUN|BUNDLE|ARCH": predictors,
    "SHELL": shells,
    "gradients NAME": recipes_and_architectures,
    "lr-range NAME": recipes_and_architectures,
    "info NAME": items,
    "run NAME": recipes_and_architectures,
}
"""By what help calls a place, alone or after its command; so a plugin's command that speaks of a RUN is completed as
ours are."""


def candidates_for(catalogue: Catalogue, command: str, names: Iterable[str], typed: str) -> Candidates | None:
    """What may stand for a parameter, by one of its ``names``: an option's, or what help calls an argument.

    None where nothing is known.
    """
    for name in names:
        known = PLACES.get(f"{command} {name}") or PLACES.get(name)
        if known is not None:
            return known(catalogue, typed)
    return None
