"""Resolve a name, a configuration file and overrides into the plan of a run, with full names and validated options.

Precedence: defaults < recipe < file < command line. If a layer names another item in a section, the options of the
previous item are dropped; the options common to all datasets stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo.api import Options, TargetKind
from zoo.config.item_options import default_task, task_options_model
from zoo.config.run_config import TEXT_KEYS, DatasetSection, RunConfig, Section
from zoo.config.validation_errors import explain, suggest_among
from zoo.data.dataset_kind import with_known_kind
from zoo.errors import ConfigError, DataError, UsageError, ZooError
from zoo.registry.lookup import Item, Registry, options_model
from zoo.runs import own_data
from zoo.runs.initial_weights import RandomWeights, RunWeights, Weights, parse_weights, run_of
from zoo.runs.plan import RunPlan, make_plan
from zoo.runs.run_directory import find
from zoo.support.paths import user_path
from zoo.support.progress import announce
from zoo.support.yaml_files import parse_yaml, read_yaml

SECTIONS = ("architecture", "dataset", "task")
ADD_DATASET = "add --data NAME (see `zoo list datasets`)"
NO_DATASET = f"no dataset is given; {ADD_DATASET}"
Layer = Mapping[str, Any]


class Whole(dict[str, Any]):
    """A mapping that replaces the value of lower layers instead of being merged with it."""


def resolve(
    registry: Registry,
    name: str | None = None,
    *,
    file: Path | None = None,
    overrides: Layer | None = None,
    quality: bool = False,
) -> RunPlan:
    """Return the plan of a run. ``quality`` chooses the recipe for a user's own data (`zoo.runs.own_data`).

    Raises UnknownNameError, UsageError, or ConfigError with every problem found.
    """
    merged = _merge_layers(registry, name, file, overrides or {}, quality=quality)
    problems: list[str] = []
    refusals: list[ZooError] = []
    weights: Weights | None = None
    try:
        weights = _settle_weights(registry, merged)
    except UsageError as refusal:
        refusals.append(refusal)
    try:
        _settle_teacher(merged)
    except UsageError as refusal:
        refusals.append(refusal)
    config = _validated(merged, problems)
    for section in SECTIONS:
        try:
            model = _options_model(registry, section, merged)
            part = getattr(config, section) if config else merged.get(section)
            problems += _settle_section(registry, section, part, model)
        except ZooError as refusal:
            refusals.append(refusal)
    for part in config.adapt if config else ():
        try:
            problems += _settle_section(registry, "adaptation", part, options_model)
        except ZooError as refusal:
            refusals.append(refusal)
    try:
        if config is not None:
            config.recipe = config.recipe and registry.recipe(config.recipe).canonical
        known = config or _sections_alone(merged)
        if known is not None and weights is not None and not refusals:
            plan = make_plan(registry, known, weights)
            if not problems:
                return plan
    except ZooError as refusal:
        refusals.append(refusal)
    raise _combined(problems, refusals, file)


def named_sections(registry: Registry, name: str | None, file: Path | None, overrides: Layer) -> dict[str, str | None]:
    """Return the names of architecture, dataset and task that the layers give, without defaults."""
    merged = _merged(registry, name, file, overrides)
    return {section: None if _is_unnamed(merged.get(section)) else str(merged[section]["name"]) for section in SECTIONS}


def _merge_layers(
    registry: Registry, name: str | None, file: Path | None, overrides: Layer, *, quality: bool
) -> dict[str, Any]:
    merged = _merged(registry, name, file, overrides, quality=quality)
    if _is_unnamed(merged.get("task")):
        merged["task"] = {**(merged.get("task") or {}), "name": _default_task(registry, merged)}
    return merged


def _merged(
    registry: Registry, name: str | None, file: Path | None, overrides: Layer, *, quality: bool = False
) -> dict[str, Any]:
    written: Layer = {} if file is None else read_yaml(file, TEXT_KEYS)
    base = name if name is not None else written.get("recipe")  # a file with a recipe overrides that recipe
    layers: list[Layer] = [written, overrides]
    own = isinstance(base, str) and is_own_data(registry, base)
    if quality and not own:
        raise UsageError("--quality is for your own data", fix="leave it out, or name a folder: folder:PATH")
    if isinstance(base, str):
        layers[:0] = _layers_of_own(registry, base, quality, layers) if own else [_layer_of_name(registry, base)]
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_layer(registry, merged, layer)
    return merged


def _settle_weights(registry: Registry, merged: dict[str, Any]) -> Weights | None:
    """Look up the initial weights, and replace their text in ``merged`` by the canonical one.

    Options of the weights' network become options of the architecture unless a layer sets them. A run also provides
    architecture and dataset unless a layer names them. Returns None if another problem prevents the lookup.
    """
    text, key = merged.get("weights"), merged.get("weights_key")
    if not isinstance(text, str | None) or not isinstance(key, str | None):
        return None
    if any(_is_unnamed(merged.get(section)) for section in ("architecture", "dataset")):
        _take_from_run(merged, text)
    section, item = merged.get("architecture"), None
    if section is not None:
        try:
            item = registry.architecture(section["name"])
        except (ZooError, TypeError, KeyError):
            return None  # reported when the section is validated
    weights = parse_weights(text, item, key)
    merged["weights"] = weights.text
    if isinstance(section, dict) and not isinstance(weights, RandomWeights):
        for option, value in weights.builder_options.items():
            section.setdefault(option, value)
    return weights


def _settle_teacher(merged: dict[str, Any]) -> None:
    """Replace the teacher by a name that identifies the same run even if there is a newer one of its recipe."""
    train = merged.get("train")
    if isinstance(train, dict) and isinstance(train.get("teacher"), str):
        train["teacher"] = RunWeights(find(train["teacher"])).text


def _take_from_run(merged: dict[str, Any], text: str | None) -> None:
    run = run_of(text)
    if run is None:
        return
    for section in ("architecture", "dataset"):
        theirs = getattr(run.config, section)
        if _is_unnamed(merged.get(section)) and theirs is not None:
            merged[section] = merge(theirs.model_dump(), merged.get(section) or {})


def _is_unnamed(section: Any) -> bool:
    return section is None or (isinstance(section, Mapping) and "name" not in section)


def _validated(merged: dict[str, Any], problems: list[str]) -> RunConfig | None:
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        problems += [
            NO_DATASET if each in ("dataset: missing", "dataset.name: missing") else each
            for each in explain(error, RunConfig)
        ]
        return None


def _sections_alone(merged: dict[str, Any]) -> RunConfig | None:
    """Return the sections of a configuration with problems elsewhere, so that incompatible components are reported with
    them; None if the sections have problems."""
    try:
        return RunConfig.model_validate(
            {section: merged[section] for section in SECTIONS if merged.get(section) is not None}
        )
    except ValidationError:
        return None


def _combined(problems: list[str], refusals: list[ZooError], where: object) -> ZooError:
    if len(refusals) == 1 and not problems:
        return refusals[0]
    if problems == [NO_DATASET] and not refusals:
        return UsageError("no dataset is given", fix=ADD_DATASET)
    return ConfigError(list(dict.fromkeys([*problems, *map(str, refusals)])), where=where)


def parse_assignment(text: str) -> dict[str, Any]:
    """Parse ``"train.lr=1e-3"`` into ``{"train": {"lr": 0.001}}``; the value is YAML.

    A mapping as value becomes a `Whole`, except for a section.
    """
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(f"--set expects KEY.PATH=VALUE, not '{text}'", fix="for example --set train.lr=0.1")
    nested: Any = parse_yaml(
        value,
        where=f"--set {path}",
        text_keys=[each[len(keys) :] for each in TEXT_KEYS if each[: len(keys)] == tuple(keys)],
    )
    nested = Whole(nested) if isinstance(nested, dict) and len(keys) > 1 else nested
    for key in reversed(keys):
        nested = {key: nested}
    return nested  # type: ignore[no-any-return]


def merge(below: dict[str, Any], above: Layer) -> dict[str, Any]:
    """Merge ``above`` into ``below``, mappings key by key unless they are `Whole`; modify and return ``below``."""
    for key, value in above.items():
        if isinstance(value, Mapping):
            replaced = isinstance(value, Whole) or not isinstance(below.get(key), dict)
            below[key] = (
                merge(type(value)() if isinstance(value, Whole) else {}, value)
                if replaced
                else merge(below[key], value)
            )
        else:
            below[key] = value
    return below


def _layer_of_name(registry: Registry, name: str) -> Layer:
    item = registry.runnable(name)
    if item.kind == "architecture":
        return {"architecture": {"name": item.canonical}}
    if item.kind == "task":
        return {"task": {"name": item.canonical}}
    recipe = item.spec
    layer: dict[str, Any] = {
        "recipe": item.canonical,
        "dataset": {"name": recipe.dataset},
        "task": {"name": recipe.task},
    }
    if recipe.architecture is not None:
        layer["architecture"] = {"name": recipe.architecture}
    return merge(layer, recipe.parameters)


def is_own_data(registry: Registry, name: str) -> bool:
    """Return whether a name is a dataset with a path, as in ``folder:PATH``."""
    try:
        return ":" in name and registry.dataset(name.partition(":")[0]).spec.path_option is not None
    except ZooError:
        return False


def require_path(registry: Registry, section: DatasetSection) -> None:
    """Raise DataError if nothing is at the path of the dataset; of a pattern, the dataset finds the files."""
    option = registry.dataset(section.name).spec.path_option
    path = None if option is None else section.options.get(option)
    if path and not any(char in path for char in "*?[") and not Path(path).exists():
        name = section.name.rpartition("/")[2]
        raise DataError("nothing is at the path of the dataset", where=path, fix=f"check the path behind {name}:")


def _layers_of_own(registry: Registry, name: str, quality: bool, above: Sequence[Layer]) -> list[Layer]:
    """Return the recipe for a user's own data, the data, and what the recipe adds for it (`zoo.runs.own_data`).

    Weights that the layers ``above`` name without an architecture choose it, if they are a file.
    """
    given = next((layer["weights"] for layer in reversed(above) if layer.get("weights")), None)
    file = user_path(given) if isinstance(given, str) and not any("architecture" in each for each in above) else None
    section = dataset_section(registry, name)
    require_path(registry, section)
    kind = _kinds(registry, section.model_dump())[0]
    offer = own_data.choose(
        registry, kind, name, gpu=own_data.has_gpu, quality=quality, file=file and (file if file.is_file() else None)
    )
    announce(own_data.sentence(offer, kind, name))
    return [_layer_of_name(registry, offer.recipe.canonical), {"dataset": {"name": name}}, own_data.layer_of(offer)]


def _default_task(registry: Registry, merged: Layer) -> str:
    return default_task(registry, _kinds(registry, merged.get("dataset"))).canonical


def _kinds(registry: Registry, dataset: Any) -> Sequence[TargetKind]:
    """Return the kinds of targets of a dataset; classes if it is missing or unknown, which is reported elsewhere."""
    try:
        item = registry.dataset(str(dataset["name"]))
    except (ZooError, TypeError, KeyError):
        return ("classes",)
    try:
        options = {key: value for key, value in dataset.items() if key not in DatasetSection.model_fields}
        return with_known_kind(item, options).spec.targets
    except ZooError:
        return item.spec.targets


def _merge_layer(registry: Registry, merged: dict[str, Any], layer: Layer) -> None:
    for section in SECTIONS:
        new, old = layer.get(section), merged.get(section)
        if isinstance(new, str):  # `dataset: mnist` is short for `dataset: {name: mnist}`
            layer = {**layer, section: {"name": new}}
            new = layer[section]
        if section == "dataset" and isinstance(new, Mapping) and ":" in str(new.get("name", "")):
            new = _with_argument(registry, new)
            layer = {**layer, section: new}
        if (
            isinstance(new, Mapping)
            and isinstance(old, dict)
            and "name" in new
            and not _same(registry, section, new["name"], old.get("name"))
        ):
            core = DatasetSection.model_fields if section == "dataset" else Section.model_fields
            merged[section] = {key: value for key, value in old.items() if key in core}
    merge(merged, layer)


def _with_argument(registry: Registry, section: Layer) -> Layer:
    """Split ``folder:PATH`` into the dataset `folder` and its path option."""
    name, _, argument = str(section["name"]).partition(":")
    spec = registry.dataset(name).spec
    if spec.path_option is None:
        raise UsageError(f"dataset '{name}' takes no path, but '{name}:{argument}' has one", fix=f"write {name}")
    if section.get(spec.path_option, argument) != argument:
        raise UsageError(
            f"dataset.{spec.path_option} is given twice, as '{argument}' and as '{section[spec.path_option]}'",
            fix="keep one of them",
        )
    return {**section, "name": name, spec.path_option: argument}


def dataset_section(registry: Registry, name: str, **core: Any) -> DatasetSection:
    """Return the complete section of a dataset given by name or as NAME:PATH. Raises UsageError."""
    values: dict[str, Any] = {}
    _merge_layer(registry, values, {"dataset": {"name": name, **core}})
    try:
        section = DatasetSection.model_validate(values["dataset"])
    except ValidationError as error:
        raise ConfigError(explain(error, DatasetSection, "dataset.")) from error
    problems = _settle_section(registry, "dataset", section)
    if problems:
        raise ConfigError(problems)
    return section


def core_dataset_section(options: Layer) -> DatasetSection:
    """Return a section with the options common to all datasets, for no particular dataset.

    Raises ConfigError, also for options of a particular dataset.
    """
    try:
        section = DatasetSection(name="any", **options)
    except ValidationError as error:
        raise ConfigError(explain(error, DatasetSection, "dataset.")) from error
    if section.options:
        known = [key for key in DatasetSection.model_fields if key != "name"]
        raise ConfigError(
            [
                f"dataset.{key}: not an option common to all datasets; known: {', '.join(known)}"
                for key in section.options
            ]
        )
    return section


def _same(registry: Registry, section: str, one: object, other: object) -> bool:
    try:
        return _item(registry, section, str(one)).canonical == _item(registry, section, str(other)).canonical
    except ZooError:
        return one == other


def _item(registry: Registry, section: str, name: str) -> Item[Any]:
    return getattr(registry, section)(name)  # type: ignore[no-any-return]


def _options_model(registry: Registry, section: str, merged: Layer) -> Callable[[Item[Any]], type[Options]]:
    """A task made of adaptations also has the options of the default task, which depends on the dataset."""
    if section != "task":
        return options_model
    kinds = _kinds(registry, merged.get("dataset"))
    return lambda item: task_options_model(registry, item, kinds)


def _settle_section(
    registry: Registry, section: str, part: Any, model_of: Callable[[Item[Any]], type[Options]] = options_model
) -> list[str]:
    """Complete a section with its full name and all options, and return the problems.

    Raises UnknownNameError.
    """
    if not isinstance(part, Section):  # the configuration is invalid: still validate the options
        if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
            return []  # missing, or already reported by pydantic
        core = DatasetSection.model_fields if section == "dataset" else Section.model_fields
        options = {key: value for key, value in part.items() if isinstance(key, str) and key not in core}
        part = Section(name=part["name"], **options)
    item = _item(registry, section, part.name)
    model = model_of(item)
    argument = item.spec.path_option if section == "dataset" else None
    if argument is not None and not part.options.get(argument):
        raise UsageError(
            f"dataset '{item.spec.name}' needs its {argument}",
            fix=f"say {registry.short_name(item)}:{argument.upper()}",
        )
    given = part.options
    if argument is not None and isinstance(given[argument], str):
        given = {
            **given,
            argument: str(user_path(given[argument]).absolute()),
        }  # config.yaml may be used from another folder
    try:
        options = model.model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        known = [*model.model_fields, *(DatasetSection.model_fields if section == "dataset" else ())]
        place = "adapt" if section == "adaptation" else section
        return [suggest_among(line, known) for line in explain(error, model, prefix=f"{place}.")]
    part.name = item.canonical
    for key, value in options.items():
        setattr(part, key, value)
    return []
