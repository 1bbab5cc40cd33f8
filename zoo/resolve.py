"""From a name, a file and overrides to a `RunConfig` in which every name is canonical and every option is checked.

Layers, each over the one before: defaults < recipe < file < command line. Changing the item of a section drops the options that belonged
to the former item, since they are not the new one's; the dataset options that the core gives to every dataset stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from zoo.config import NO_WEIGHTS, TEXT_KEYS, DatasetSection, RunConfig, Section
from zoo.errors import ConfigError, UsageError, ZooError
from zoo.registry import Item, Registry, options_model
from zoo.validation import explain, suggest_among
from zoo.yamlfile import parse_yaml, read_yaml

if TYPE_CHECKING:
    from zoo.api import ArchitectureSpec
    from zoo.rundir import RunDir

SECTIONS = ("architecture", "dataset", "task")
Layer = Mapping[str, Any]


def resolve(registry: Registry, name: str | None = None, *, file: Path | None = None, overrides: Layer | None = None) -> RunConfig:
    """The configuration of a run. Raises UnknownNameError, or ConfigError with every problem found."""
    written: Layer = {} if file is None else read_yaml(file, TEXT_KEYS)
    base = name if name is not None else written.get("recipe")  # a file that names a recipe says what differs from it
    layers: list[Layer] = [written, overrides or {}]
    if isinstance(base, str):
        layers.insert(0, _layer_of_name(registry, base))
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge_layer(registry, merged, layer)
    if merged.get("task") is None or (isinstance(merged["task"], Mapping) and "name" not in merged["task"]):
        merged["task"] = {**(merged.get("task") or {}), "name": _default_task(registry)}
    _apply_options_of_weights(registry, merged)
    try:
        return check(registry, merged, where=file)
    except ConfigError as error:
        if error.problems in (["dataset: missing"], ["dataset.name: missing"]):
            raise UsageError("no dataset is named", fix="add --data NAME (see `zoo list datasets`)") from error
        raise


def _apply_options_of_weights(registry: Registry, merged: dict[str, Any]) -> None:
    """Options that the weights' network was built with, where no layer says others: without them the weights would not be the same function.

    Of a file, which does not say them, those on which all of the architecture's own weights agree.
    """
    architecture, weights = merged.get("architecture"), merged.get("weights")
    if isinstance(weights, str) and (architecture is None or merged.get("dataset") is None):
        _take_from_run(merged, weights)
        architecture = merged.get("architecture")
    if not isinstance(architecture, dict) or not isinstance(architecture.get("name"), str) or not isinstance(weights, str) or weights == NO_WEIGHTS:
        return
    from zoo.pretrained import weights_named

    try:
        item = registry.architecture(architecture["name"])
    except ZooError:
        return  # it is told where the section is checked
    run = run_of_weights(item, weights)
    if run is not None and run.config.architecture is not None and run.config.architecture.name == item.canonical:
        for key, value in run.config.architecture.options.items():
            architecture.setdefault(key, value)
        return
    name, own = weights_named(item, weights), item.spec.weights
    known = [own[name]] if name is not None else list(own.values()) if Path(weights).expanduser().is_file() else []
    for key, value in known[0].architecture_options.items() if known else ():
        if all(each.architecture_options.get(key) == value for each in known):
            architecture.setdefault(key, value)


def run_of_weights(item: Item[ArchitectureSpec] | None, weights: str | None) -> RunDir | None:
    """The run that ``weights`` names, where they are neither none, nor a file, nor weights that the architecture names."""
    if weights in (None, NO_WEIGHTS) or Path(weights).expanduser().is_file():
        return None
    from zoo.pretrained import weights_named
    from zoo.rundir import find, is_run

    if item is not None and weights_named(item, weights) is not None:
        return None
    return find(weights) if is_run(weights) else None


def _take_from_run(merged: dict[str, Any], weights: str) -> None:
    """A run's weights say which network they are of, and on what they were trained, where no layer does."""
    run = run_of_weights(None, weights)
    for section in ("architecture", "dataset") if run is not None else ():
        theirs = getattr(run.config, section) if run is not None else None
        if merged.get(section) is None and theirs is not None:
            merged[section] = theirs.model_dump()


def check(registry: Registry, values: Layer, *, where: object = None) -> RunConfig:
    """Validate a whole configuration, its options included; every problem is reported at once."""
    problems: list[str] = []
    refusals: list[ZooError] = []
    config: RunConfig | None = None
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        problems += explain(error, RunConfig)
    for section in SECTIONS:
        part = getattr(config, section) if config else values.get(section)
        try:
            problems += _settle_section(registry, section, part)
        except ZooError as refusal:
            refusals.append(refusal)
    if config is not None:
        problems += _check_weights(registry, config)
        try:
            config.recipe = config.recipe and registry.recipe(config.recipe).canonical
        except ZooError as refusal:
            refusals.append(refusal)
    if len(refusals) == 1 and not problems:
        raise refusals[0]
    problems += [str(refusal) for refusal in refusals]
    if problems or config is None:
        raise ConfigError(list(dict.fromkeys(problems)), where=where)
    return config


def parse_assignment(text: str) -> dict[str, Any]:
    """``"train.lr=1e-3"`` → ``{"train": {"lr": 0.001}}``; the value is YAML."""
    path, equals, value = text.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise UsageError(f"--set takes key.path=value, not '{text}'", fix="for example --set train.lr=0.1")
    nested: Any = parse_yaml(value, where=f"--set {path}", text_keys=[each[len(keys) :] for each in TEXT_KEYS if each[: len(keys)] == tuple(keys)])
    for key in reversed(keys):
        nested = {key: nested}
    return nested  # type: ignore[no-any-return]


def merge(below: dict[str, Any], above: Layer) -> dict[str, Any]:
    """``above`` over ``below``, mappings key by key; changes and returns ``below``."""
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            merge(below[key], value)
        else:
            below[key] = merge({}, value) if isinstance(value, Mapping) else value
    return below


def _layer_of_name(registry: Registry, name: str) -> Layer:
    item = registry.runnable(name)
    if item.kind == "architecture":
        return {"architecture": {"name": item.canonical}}
    if item.kind == "task":
        return {"task": {"name": item.canonical}}
    recipe = item.spec
    layer: dict[str, Any] = {"recipe": item.canonical, "dataset": {"name": recipe.dataset}, "task": {"name": recipe.task}}
    if recipe.architecture is not None:
        layer["architecture"] = {"name": recipe.architecture}
    return merge(layer, recipe.parameters)


def _default_task(registry: Registry) -> str:
    defaults = [item.canonical for item in registry.items("task") if item.spec.default]
    if len(defaults) != 1:
        raise UsageError("no task is named", fix="add --task NAME (see `zoo list tasks`)")
    return defaults[0]


def _merge_layer(registry: Registry, merged: dict[str, Any], layer: Layer) -> None:
    for section in SECTIONS:
        new, old = layer.get(section), merged.get(section)
        if isinstance(new, str):  # `dataset: mnist` in a file says the same as `dataset: {name: mnist}`
            layer = {**layer, section: {"name": new}}
            new = layer[section]
        if section == "dataset" and isinstance(new, Mapping) and ":" in str(new.get("name", "")):
            new = _with_argument(registry, new)
            layer = {**layer, section: new}
        if isinstance(new, Mapping) and isinstance(old, dict) and "name" in new and not _same(registry, section, new["name"], old.get("name")):
            core = DatasetSection.model_fields if section == "dataset" else Section.model_fields
            merged[section] = {key: value for key, value in old.items() if key in core}
    merge(merged, layer)


def _with_argument(registry: Registry, section: Layer) -> Layer:
    """``folder:PATH`` is the dataset `folder` with the option that its spec calls its argument."""
    name, _, argument = str(section["name"]).partition(":")
    spec = registry.dataset(name).spec
    if spec.argument is None:
        raise UsageError(f"dataset '{name}' takes nothing behind its name, and '{argument}' stands there", fix=f"say {name}")
    if section.get(spec.argument, argument) != argument:
        raise UsageError(f"dataset.{spec.argument} is given twice, as '{argument}' and as '{section[spec.argument]}'", fix="keep one of them")
    return {**section, "name": name, spec.argument: argument}


def dataset_section(registry: Registry, name: str, **core: Any) -> DatasetSection:
    """The section of a dataset that is named by itself, its argument and options settled. Raises UsageError."""
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
    """The keys that every dataset has, for no dataset in particular. Raises ConfigError, for a dataset's own options too."""
    try:
        section = DatasetSection(name="any", **options)
    except ValidationError as error:
        raise ConfigError(explain(error, DatasetSection, "dataset.")) from error
    if section.options:
        known = [key for key in DatasetSection.model_fields if key != "name"]
        raise ConfigError([f"dataset.{key}: not a key that every dataset has; known: {', '.join(known)}" for key in section.options])
    return section


def _same(registry: Registry, section: str, one: object, other: object) -> bool:
    try:
        return _item(registry, section, str(one)).canonical == _item(registry, section, str(other)).canonical
    except ZooError:
        return one == other


def _item(registry: Registry, section: str, name: str) -> Item[Any]:
    return getattr(registry, section)(name)  # type: ignore[no-any-return]


def _settle_section(registry: Registry, section: str, part: Any) -> list[str]:
    """Make the name of a section canonical and its options complete; returns the problems, or raises where a name is unknown."""
    if not isinstance(part, Section):  # the config as a whole did not validate: still look at the options
        if not isinstance(part, Mapping) or not isinstance(part.get("name"), str):
            return []  # nothing, or what pydantic has complained of already
        core = DatasetSection.model_fields if section == "dataset" else Section.model_fields
        options = {key: value for key, value in part.items() if isinstance(key, str) and key not in core}
        part = Section(name=part["name"], **options)
    item = _item(registry, section, part.name)
    model = options_model(item)
    argument = getattr(item.spec, "argument", None)
    if argument is not None and not part.options.get(argument):
        raise UsageError(f"dataset '{item.spec.name}' needs its {argument}", fix=f"say {item.spec.name}:{argument.upper()}")
    try:
        options = model.model_validate(part.options).model_dump(mode="json")
    except ValidationError as error:
        known = [*model.model_fields, *(DatasetSection.model_fields if section == "dataset" else ())]
        return [suggest_among(line, known) for line in explain(error, model, prefix=f"{section}.")]
    part.name = item.canonical
    for key, value in options.items():
        setattr(part, key, value)
    return []


def _check_weights(registry: Registry, config: RunConfig) -> list[str]:
    """Weights are named in full from here on; a file is left as it is written."""
    if config.weights not in (None, NO_WEIGHTS) and Path(config.weights).expanduser().is_file():
        return []
    if config.weights_key is not None:
        return [f"weights_key: '{config.weights_key}' chooses in a file of weights, and weights names none; leave it out"]
    return _check_named_weights(registry, config)


def _check_named_weights(registry: Registry, config: RunConfig) -> list[str]:
    if config.weights in (None, NO_WEIGHTS):
        return []
    if config.architecture is None:
        return [f"weights: '{config.weights}' is no file, and there is no architecture that could name it"]
    from zoo.pretrained import no_such_weights, weights_named

    try:
        item = registry.architecture(config.architecture.name)
    except ZooError:
        return []  # the architecture's own trouble is told already
    run, name = run_of_weights(item, config.weights), weights_named(item, config.weights)
    if run is not None:
        return _settle_run(config, item, run)
    if name is None:
        return [str(no_such_weights(item, config.weights))]
    config.weights = name
    return []


def _settle_run(config: RunConfig, item: Item[ArchitectureSpec], run: RunDir) -> list[str]:
    """The run is named so that it stays the same one, when there is a newer of its recipe."""
    from zoo.paths import runs_root
    from zoo.rundir import run_id

    label, theirs = run_id(run.path), run.config.architecture
    if theirs is None or theirs.name != item.canonical:
        return [f"weights: the run {label} is of {theirs.name if theirs else 'no architecture'}, not of {item.canonical}; leave --arch out"]
    inside = run.path.resolve() == (runs_root() / label).resolve()
    config.weights = label if inside else str(run.path.resolve())
    return []
