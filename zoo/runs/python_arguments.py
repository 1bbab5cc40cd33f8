"""The arguments of `zoo.run` and its siblings as one layer of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.api import Target, TargetKind
from zoo.config.item_options import default_task
from zoo.config.run_config import RunConfig, TrainConfig
from zoo.errors import UnknownNameError, UsageError, nearest
from zoo.registry.lookup import Registry
from zoo.runs.object_names import is_reference
from zoo.runs.python_objects import output_of_task, register_data, register_network
from zoo.runs.resolve_config import Whole, merge, named_sections
from zoo.runs.task_plan import plan_task_for


@dataclass(frozen=True)
class Objects:
    """What is passed from Python: ``model`` and ``data`` (objects, references or names), and what y is."""

    model: Any = None
    data: Any = None
    target: TargetKind | Target | None = None
    names: Sequence[str] | None = None

    def check(self) -> None:
        """Raise UsageError for ``target`` or ``names`` without data that they describe."""
        if (self.target is not None or self.names is not None) and (self.data is None or isinstance(self.data, str)):
            raise UsageError("target= and names= describe arrays", fix="pass data=, or leave them out")


def as_layer(*settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return settings as one nested mapping; later ones override earlier ones.

    A key is dotted (``train.lr``), a key of the configuration (``seed``), or one of its section ``train`` (``lr``). A
    mapping behind a dotted key replaces the whole mapping. Raises UsageError for an unknown key.
    """
    layer: dict[str, Any] = {}
    for given in settings:
        for key, value in (given or {}).items():
            path = _path(str(key))
            nested: Any = Whole(value) if isinstance(value, Mapping) and len(path) > 1 else value
            for each in reversed(path):
                nested = {each: nested}
            merge(layer, nested)
    return layer


def _path(key: str) -> list[str]:
    if "." in key or key in RunConfig.model_fields or key == "schema":
        return key.split(".")
    if key in TrainConfig.model_fields:
        return ["train", key]
    near = nearest(key, [*RunConfig.model_fields, *TrainConfig.model_fields], count=1)
    raise UsageError(
        f"there is no setting '{key}'",
        fix=f"did you mean {near[0]}?" if near else 'a setting of a component has its section: {"dataset.resize": 28}',
    )


def with_objects(
    catalogue: Registry, name: str | None, file: Path | None, overrides: Mapping[str, Any], objects: Objects
) -> dict[str, Any]:
    """Return ``overrides`` with the names of ``objects``, which are registered as components of this process."""
    objects.check()
    layer = merge({}, overrides)
    if objects.data is not None:
        dataset = _dataset(catalogue, objects, named_sections(catalogue, name, file, layer)["task"])
        merge(layer, {"dataset": _named(layer.get("dataset"), dataset)})
    if objects.model is not None:
        sections = named_sections(catalogue, name, file, layer)
        architecture = _architecture(catalogue, objects.model, sections["dataset"], sections["task"])
        merge(layer, {"architecture": _named(layer.get("architecture"), architecture)})
    return layer


def _named(section: Any, name: str) -> dict[str, Any]:
    """The section with this name; raises UsageError if it has another already."""
    known = section if isinstance(section, str) else (section or {}).get("name")
    if known not in (None, name):
        raise UsageError(f"the settings name {known}, and the arguments {name}", fix="keep one of them")
    return {**(section if isinstance(section, Mapping) else {}), "name": name}


def _dataset(catalogue: Registry, objects: Objects, task: str | None) -> str:
    data = objects.data
    if isinstance(data, str) and (_is_registered(catalogue, data) or not is_reference(data)):
        return data
    item = None if task is None else catalogue.task(task)
    accepts = () if item is None else item.spec.accepts
    found = register_data(catalogue, data, target=objects.target, names=objects.names, accepts=accepts)
    return found.canonical


def _is_registered(catalogue: Registry, text: str) -> bool:
    """Whether a text is a dataset, or one with its path."""
    try:
        catalogue.dataset(text.partition(":")[0])
    except UnknownNameError:
        return False
    return True


def _architecture(catalogue: Registry, model: Any, dataset: str | None, task: str | None) -> str:
    if isinstance(model, str) and not is_reference(model):
        return model
    if dataset is None:
        raise UsageError("no data is given", fix="add data=(train, test), or the name of a dataset")
    data = catalogue.dataset(dataset.partition(":")[0])
    item = default_task(catalogue, data.spec.targets) if task is None else catalogue.task(task)
    plan = plan_task_for(catalogue, item, data.spec.targets, data.spec.name)
    output = output_of_task(None if plan.learned is None else plan.learned.spec.needs)
    return register_network(catalogue, model, shape=data.spec.shape, output=output).canonical
