"""The description of an exported model: all that a client needs, where the model is from, and under which licences."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from zoo import runtime
from zoo.errors import UnknownNameError
from zoo.exporting.decision_rules import as_json
from zoo.registry.lookup import Registry, core_version

if TYPE_CHECKING:
    from zoo.runs.load_model import LoadedModel

FORMAT = 3
"""The version of bundles and descriptions. Version 3 has the steps of the preprocessing, licences, sealed JSON files,
the list of the model's files, and the exporter's client; version 2 had the decision; version 1 had only classes, with
softmax implied."""


def describe(registry: Registry, loaded: LoadedModel, batch: int | None) -> dict[str, Any]:
    """Return all that is needed to use the file without zoo, as JSON; it is also written into the file."""
    return {
        "format": FORMAT,
        "name": loaded.name,
        "summary": _summary(registry, loaded),
        "input": _input(loaded, batch),
        "output": {"kind": loaded.output.kind, "decision": as_json(loaded.decision)},
        "provenance": {
            **loaded.origin,
            **_names(loaded),
            "torch-zoo": core_version(),
            "licences": licences(registry, loaded),
        },
    }


def metadata_of(description: dict[str, Any]) -> dict[str, str]:
    """Return the metadata of the file: the whole description under one key, and common entries for other readers."""
    whole = json.dumps(description, ensure_ascii=False)
    found = {runtime.METADATA_KEY: whole, "name": description["name"], "description": description["summary"]}
    classes = description["output"]["decision"].get("classes")
    return found if classes is None else {**found, "classes": json.dumps(classes, ensure_ascii=False)}


def _input(loaded: LoadedModel, batch: int | None) -> dict[str, Any]:
    spec = loaded.preprocessing.describe()
    return {**spec, **({} if batch is None else {"batch": batch}), "steps": runtime.preprocessing_steps(spec)}


def licences(registry: Registry, loaded: LoadedModel) -> dict[str, Any]:
    """Return what the model was made of, with licences: the training data, the ancestors of its weights, the code."""
    found = sources(registry, loaded)
    config = loaded.config
    items = [] if config.architecture is None else [registry.architecture(config.architecture.name)]
    plugins = {item.plugin.distribution: item.plugin.version for item in items}
    return {
        "data": {key: value for key, value in found["dataset"].items() if value},
        "ancestors": loaded.ancestry,
        "code": {"architecture": found["architecture"], "distributions": plugins},
    }


def _names(loaded: LoadedModel) -> dict[str, str]:
    config = loaded.config
    named = {
        "recipe": config.recipe,
        "architecture": config.architecture.name if config.architecture else None,
        "task": config.task.name,
    }
    dataset = None if "classes_of" in loaded.origin else config.dataset.name  # of a file it is not known
    return {key: value for key, value in {"dataset": dataset, **named}.items() if value}


def _summary(registry: Registry, loaded: LoadedModel) -> str:
    config = loaded.config
    if config.recipe is not None:
        return registry.recipe(config.recipe).spec.summary
    if config.architecture is not None:
        about = registry.architecture(config.architecture.name).spec.summary
        if loaded.origin.get("kind") == "pretrained weights":
            return f"{about}, with the weights {loaded.origin['weights']}"
        return f"{about}, trained on {config.dataset.name}"
    return f"{loaded.name}, trained on {config.dataset.name}"


def sources(registry: Registry, loaded: LoadedModel) -> dict[str, Any]:
    """Return the references of the model card: dataset and architecture, from their specs."""
    architecture: dict[str, Any] = {"name": "", "source": None}
    if loaded.config.architecture is not None:
        spec = registry.architecture(loaded.config.architecture.name).spec
        architecture = {"name": spec.name, "source": spec.paper or spec.source}
    return {"dataset": _dataset_source(registry, loaded), "architecture": architecture}


def _dataset_source(registry: Registry, loaded: LoadedModel) -> dict[str, Any]:
    """The dataset of pretrained weights need not be installed, and that of a file is not known."""
    name = loaded.config.dataset.name
    if "classes_of" in loaded.origin:
        name = f"not stated; with the classes and the preprocessing of the weights {loaded.origin['classes_of']}"
    try:
        item = registry.dataset(name)
    except UnknownNameError:
        return {"name": name, "homepage": None, "licence": "not stated"}
    return {"name": item.canonical, "homepage": item.spec.homepage, "licence": item.spec.licence}
