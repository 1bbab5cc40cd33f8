"""The files of a bundle and its description (bundle.json)."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import runtime
from zoo.exporting.atomic_publish import INDEX
from zoo.exporting.card import write_card
from zoo.exporting.decision_rules import as_json
from zoo.registry.lookup import Item, Registry, core_version
from zoo.support.atomic_files import sha256, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from zoo.api import ExporterSpec
    from zoo.runs.load_model import LoadedModel

FORMAT = 2
"""The version of the format. Version 2 has the decision; version 1 had only classes, with softmax implied."""
VERIFICATION, CARD, PREDICT = "verify.json", "README.md", "predict.py"


@dataclass(frozen=True)
class Bundle:
    """A published export: its folder, a description of the model's source, and the content of verify.json."""

    path: Path
    source: str
    verification: dict[str, Any]
    notes: tuple[str, ...] = ()


def describe(registry: Registry, loaded: LoadedModel, batch: int | None) -> dict[str, Any]:
    """Return all that is needed to use the file without zoo, as JSON; it is also written into the file."""
    return {
        "format": FORMAT,
        "name": loaded.name,
        "summary": _summary(registry, loaded),
        "input": {**loaded.preprocessing.describe(), **({} if batch is None else {"batch": batch})},
        "output": {"kind": loaded.output.kind, "decision": as_json(loaded.decision)},
        "provenance": {
            **loaded.origin,
            **_names(loaded),
            "torch-zoo": core_version(),
            "exported": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        },
    }


def metadata_of(description: dict[str, Any]) -> dict[str, str]:
    """Return the metadata of the file: the whole description under one key, and common entries for other readers."""
    whole = json.dumps(description, ensure_ascii=False)
    found = {runtime.METADATA_KEY: whole, "name": description["name"], "description": description["summary"]}
    classes = description["output"]["decision"].get("classes")
    return found if classes is None else {**found, "classes": json.dumps(classes, ensure_ascii=False)}


def stage(folder: Path, model: Path, description: dict[str, Any]) -> None:
    """Write predict.py, and a bundle.json with the digests of the files so far, so that predict.py can run."""
    write_bytes(folder / PREDICT, Path(runtime.__file__).read_bytes())
    write_json(
        folder / INDEX, {"format": FORMAT, "model": model.name, "description": description, "files": _digests(folder)}
    )


def fill(
    folder: Path,
    model: Path,
    registry: Registry,
    loaded: LoadedModel,
    exporter: Item[ExporterSpec],
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Write the other files of the bundle, bundle.json last. ``facts``: ``description``, ``verification``.

    Returns the content of verify.json.
    """
    verification = {
        "format": FORMAT,
        "model": {"file": model.name, "sha256": sha256(model), "size_bytes": model.stat().st_size},
        **facts["verification"],
        "versions": {**versions(), **facts["verification"]["form"].get("versions", {})},
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }
    verification["form"] = {key: value for key, value in verification["form"].items() if key != "versions"}
    write_json(folder / VERIFICATION, verification)
    bundle = {
        "format": FORMAT,
        "name": loaded.name,
        "model": model.name,
        "exporter": {
            "name": exporter.canonical,
            "distribution": exporter.plugin.distribution,
            "version": exporter.plugin.version,
        },
        "description": facts["description"],
        "files": _digests(folder),
        "requires": {name: f">={'.'.join(map(str, oldest))}" for name, oldest in runtime.OLDEST.items()},
        "provenance": facts["description"]["provenance"],
        "versions": verification["versions"],
    }
    write_text(folder / CARD, write_card(bundle, verification, _sources(registry, loaded)))
    write_json(folder / INDEX, {**bundle, "files": _digests(folder)})
    return verification


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for distribution in ("torch-zoo", "torch", "numpy"):
        found[distribution] = metadata.version(distribution)
    return found


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        file.name: {"sha256": sha256(file), "size": file.stat().st_size}
        for file in sorted(folder.iterdir())
        if file.name != INDEX
    }


def _names(loaded: LoadedModel) -> dict[str, str]:
    config = loaded.config
    named = {
        "recipe": config.recipe,
        "architecture": config.architecture.name if config.architecture else None,
        "task": config.task.name,
    }
    return {key: value for key, value in {"dataset": config.dataset.name, **named}.items() if value}


def _summary(registry: Registry, loaded: LoadedModel) -> str:
    config = loaded.config
    if config.recipe is not None:
        return registry.recipe(config.recipe).spec.summary
    if config.architecture is not None:
        return f"{registry.architecture(config.architecture.name).spec.summary}, trained on {config.dataset.name}"
    return f"{loaded.name}, trained on {config.dataset.name}"


def _sources(registry: Registry, loaded: LoadedModel) -> dict[str, Any]:
    """Return the references of the model card: dataset and architecture, from their specs."""
    dataset = registry.dataset(loaded.config.dataset.name)
    architecture: dict[str, Any] = {"name": "", "source": None}
    if loaded.config.architecture is not None:
        spec = registry.architecture(loaded.config.architecture.name).spec
        architecture = {"name": spec.name, "source": spec.paper or spec.source}
    return {
        "dataset": {"name": dataset.canonical, "homepage": dataset.spec.homepage, "licence": dataset.spec.licence},
        "architecture": architecture,
    }
