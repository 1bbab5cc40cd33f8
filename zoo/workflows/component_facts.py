"""What `zoo info` knows of an item, as JSON data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zoo.config.item_options import adaptations_of, options_of, task_options_model
from zoo.errors import UsageError, ZooError
from zoo.registry.item_facts import as_dict
from zoo.registry.lookup import Item, Registry, options_model
from zoo.support.paths import data_root

if TYPE_CHECKING:
    from pydantic import BaseModel

    from zoo.analysis.layer_table import Anatomy
    from zoo.api import DatasetSpec, TaskSpec
    from zoo.config.run_config import Section


@dataclass(frozen=True)
class Asked:
    """What a network is to be examined with, where that is not its own: ``input`` (C, H, W), the number of outputs, its
    options."""

    input: tuple[int, int, int] | None = None
    outputs: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


def describe(catalogue: Registry, item: Item[Any]) -> dict[str, Any]:
    """Everything about an item but its network (`examine`).

    Where a part cannot be told (a broken options module), ``problems`` says why.
    """
    problems: list[str] = []
    facts: dict[str, Any] = {**as_dict(item), **item.spec.model_dump(mode="json", exclude={"name", "summary"})}
    if hasattr(item.spec, "options"):
        facts["options"] = _attempt(problems, lambda: options(_model_of(catalogue, item))) or []
    match item.kind:
        case "architecture":
            for name, weights in item.spec.weights.items():
                # thousands of names, of which many weights have the same
                facts["weights"][name]["classes"] = len(weights.classes)
        case "family":
            facts["members"] = len(catalogue.members(namespace=item.plugin.namespace))
            problems += [
                str(fault) for namespace, fault in catalogue.faults.items() if namespace == item.plugin.namespace
            ]
        case "task":
            facts |= _needs(catalogue, item, problems)
        case "recipe":
            facts["configuration"] = _attempt(problems, lambda: _configuration(catalogue, item))
        case "dataset":
            facts |= {
                "embedded": item.spec.embedded,
                "download_size": item.spec.download_size,
                "data_folder": str(data_root()),
            }
            facts |= _files(item, problems)
    if problems:
        facts["problems"] = problems
    return facts


def _needs(catalogue: Registry, item: Item[TaskSpec], problems: list[str]) -> dict[str, bool]:
    """What a run of a task has to have; a task made of adaptations needs what these need."""
    adaptations = _attempt(problems, lambda: adaptations_of(catalogue, item)) or []
    return {
        "needs_architecture": item.spec.needs_architecture,
        "needs_labels": item.spec.needs_labels,
        "needs_weights": any(each.spec.needs_weights for each in adaptations),
    }


def _model_of(catalogue: Registry, item: Item[Any]) -> type[BaseModel]:
    """A task made of adaptations has the options of all its parts."""
    return task_options_model(catalogue, item) if item.kind == "task" else options_model(item)


def options(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Each option with its type, default and description."""
    schema = model.model_json_schema()
    required = set(schema.get("required", ()))
    rows = []
    for name, entry in schema.get("properties", {}).items():
        facts = {"name": name, "type": _type(entry), "required": name in required}
        if name not in required:
            facts["default"] = entry.get("default")
        rows.append({**facts, "description": entry.get("description", "")})
    return rows


def _type(entry: dict[str, Any]) -> str:
    if "enum" in entry:
        return " | ".join(str(value) for value in entry["enum"])
    if "const" in entry:
        return str(entry["const"])
    if "anyOf" in entry:
        return " | ".join(_type(each) for each in entry["anyOf"])
    limits = [f"{sign} {entry[key]}" for key, sign in LIMITS.items() if key in entry]
    return " ".join([str(entry.get("type", "any")), *limits])


LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _configuration(catalogue: Registry, item: Item[Any]) -> dict[str, Any]:
    from zoo.runs.resolve_config import resolve

    return resolve(catalogue, item.canonical).config.as_dict()


def examine(catalogue: Registry, item: Item[Any], asked: Asked) -> tuple[Anatomy, int]:
    """The network of an architecture, or of a recipe with its data, and its number of outputs; this imports torch.

    An architecture that nothing else is asked of has its default input and the number of outputs it was published with.
    """
    from zoo.analysis.layer_table import anatomy
    from zoo.models.building import build_model

    section, (channels, height, width), outputs = _network(catalogue, item, asked)
    accepted = catalogue.architecture(section.name).spec.channels
    if accepted is not None and channels not in accepted:
        counts = " or ".join(map(str, accepted))
        raise UsageError(
            f"{section.name} takes images of {counts} channels, not {channels}",
            where="--input",
            fix=f"give {accepted[0]},H,W",
        )
    model = build_model(catalogue, section, in_channels=channels, num_outputs=outputs, image_size=(height, width))
    return anatomy(model, (channels, height, width)), outputs


def _network(catalogue: Registry, item: Item[Any], asked: Asked) -> tuple[Section, tuple[int, int, int], int]:
    from zoo.runs.resolve_config import resolve

    if item.kind == "architecture":
        return (
            _architecture_section(item, asked.options),
            asked.input or item.spec.input,
            asked.outputs or item.spec.num_outputs,
        )
    plan = resolve(catalogue, item.canonical, overrides={"architecture": asked.options})
    if plan.architecture is None or plan.config.architecture is None:
        raise UsageError(
            f"recipe {item.canonical} has no network of its own", fix="name an architecture or another recipe"
        )
    outputs = asked.outputs or len(plan.classes) or plan.architecture.spec.num_outputs
    return plan.config.architecture, asked.input or plan.preprocessing.shape, outputs


def _architecture_section(item: Item[Any], options: dict[str, Any]) -> Section:
    from zoo.config.run_config import Section

    return Section(name=item.canonical, **options_of(item, options).model_dump())


def _files(item: Item[DatasetSpec], problems: list[str]) -> dict[str, Any]:
    """The files of a dataset, the archives that are read instead of them, and in words whether the data is here."""
    if not item.spec.files:
        return {"files": []}
    from zoo.config.run_config import DatasetSection
    from zoo.workflows.data_download import Needs, look

    official = Needs(item, DatasetSection(name=item.canonical), item.spec.files)
    need = _attempt(problems, lambda: look(item.canonical)) or official
    return {"files": need.files(), "instead": need.instead, "here": not need.missing, "state": need.state}


def _attempt(problems: list[str], question: Any) -> Any:
    """Return the answer, or None after adding the reason to ``problems``."""
    try:
        return question()
    except (ZooError, ValueError) as error:
        problems.append(str(error))
        return None
