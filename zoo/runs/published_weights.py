"""A trained model without a run: an architecture or a recipe, and pretrained weights of the network.

`find_published` reads no tensors and imports no torch, except to see what a safetensors file contains.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.api import ArchitectureSpec, WeightsSpec
from zoo.config.item_options import default_task
from zoo.config.run_config import DatasetSection, RunConfig, Section, TrainConfig
from zoo.data.preprocessing import Preprocessing, preprocessing_of
from zoo.errors import CheckpointError, UsageError, ZooError, report_to
from zoo.models import pretrained_weights
from zoo.registry.lookup import Item, Registry, options_model
from zoo.runs.file_weights import FileWeights, target_of
from zoo.runs.initial_weights import NamedWeights, parse_weights, unknown
from zoo.runs.resolve_config import dataset_section, resolve
from zoo.support.paths import runs_root

EVAL_BATCH = 128
"""Samples per evaluation step, for networks whose images are often large."""
UNSTATED = "not stated"


class Published(NamedTuple):
    """Weights of an architecture; ``item`` is what was named, the architecture or a recipe.

    ``config`` describes the model as that of a run does; its dataset need not be installed. ``recipe`` is the recipe
    whose own weights these are, if any.
    """

    item: Item[Any]
    architecture: Item[ArchitectureSpec]
    weights: NamedWeights | FileWeights
    spec: WeightsSpec
    config: RunConfig
    recipe: Item[Any] | None

    @property
    def name(self) -> str:
        name: str = self.item.spec.name
        return name

    @property
    def preprocessing(self) -> Preprocessing:
        """Published weights do not record a permutation of pixels; that of their recipe is used."""
        return preprocessing_of(self.spec, self.config.dataset.permute_pixels)

    @property
    def label(self) -> str:
        weights = self.weights
        if isinstance(weights, FileWeights):
            return (
                f"{self.architecture.canonical} with {weights.path.name if weights.address is None else weights.text}"
            )
        return f"{self.architecture.canonical} with {weights.text}"


def find_published(catalogue: Registry, name: str, weights: str | None = None, key: str | None = None) -> Published:
    """Return an architecture or a recipe with ``weights``: a name, a safetensors file, or the address of one. ``key``
    selects one of several networks in the file. Without ``weights``, it is a recipe with its pretrained weights.

    Raises UnknownNameError, UsageError if no weights are named or their classes are unknown, CheckpointError if a
    recipe has no weights.
    """
    item = catalogue.runnable(name)
    base = resolve(catalogue, item.canonical).config if item.kind == "recipe" else None
    network = item if item.kind == "architecture" else _architecture_of(catalogue, item, base)
    own = item.spec.weights if item.kind == "recipe" else None
    if weights is None:
        weights = _own_weights(item, network, own)
    chosen = parse_weights(weights, network, key)
    if not isinstance(chosen, NamedWeights | FileWeights):
        raise unknown(network, weights)
    spec = chosen.spec if isinstance(chosen, NamedWeights) else chosen.known
    if not spec.classes:
        raise UsageError(
            f"the weights '{weights}' of {network.canonical} have no classifier",
            where="weights",
            fix="choose other weights, or train a classifier first: zoo run --weights",
        )
    recipe = item if isinstance(chosen, NamedWeights) and chosen.text == own else None
    options = base.architecture.options if base is not None and base.architecture is not None else {}
    section = _section(network, options, spec, chosen)
    if recipe is not None and base is not None:
        config = base.model_copy(update={"architecture": section, "weights": None})
    else:
        config = _config(catalogue, section, network, spec)
    return Published(item, network, chosen, spec, config, recipe)


def _architecture_of(catalogue: Registry, item: Item[Any], config: RunConfig | None) -> Item[ArchitectureSpec]:
    if config is None or config.architecture is None:
        raise UsageError(
            f"{item.kind} '{item.spec.name}' has no network to load weights into",
            fix="name an architecture (see `zoo list architectures`)",
        )
    return catalogue.architecture(config.architecture.name)


def _own_weights(item: Item[Any], network: Item[ArchitectureSpec], own: str | None) -> str:
    """Return the name of a recipe's pretrained weights. Raises an error that lists the network's otherwise."""
    name = item.spec.name
    if own is not None and own in network.spec.weights:
        return own
    if own is not None:
        raise CheckpointError(
            f"recipe '{item.canonical}' ships the weights '{own}', but its architecture does not have them",
            fix=report_to(),
        )
    known = [each for each, spec in network.spec.weights.items() if spec.classes]
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    listed = f"{', '.join(known[:10])}{more}"
    train = f"train it first: zoo run {name}{'' if item.kind == 'recipe' else ' --data DATASET'}"
    if item.kind == "architecture" and known:
        what, fix = f"no weights are named; it has {listed}", f"add --weights {known[0]}, or {train}"
    else:
        others = f"; {network.canonical} has {listed} (--weights)" if known else ""
        what, fix = f"no pretrained weights{others}", train
    raise CheckpointError(
        f"{item.kind} '{name}' has no finished run, and {what}", where=f"looked under {runs_root()}", fix=fix
    )


def _section(
    network: Item[ArchitectureSpec], options: Mapping[str, Any], spec: WeightsSpec, chosen: NamedWeights | FileWeights
) -> Section:
    """Return the architecture with the options that its weights were trained with."""
    own = options_model(network)().model_dump()
    return Section(name=network.canonical, **{**own, **options, **chosen.builder_options, **spec.architecture_options})


def _config(catalogue: Registry, section: Section, network: Item[ArchitectureSpec], spec: WeightsSpec) -> RunConfig:
    """Return the configuration that describes weights without a recipe: the default task on their dataset."""
    target = target_of(network.spec, spec)
    task = default_task(catalogue, ("classes" if target is None else target.kind,))
    return RunConfig(
        architecture=section,
        dataset=_dataset_of(catalogue, spec),
        task=Section(name=task.canonical, **options_model(task)().model_dump(mode="json")),
        train=TrainConfig(eval_batch_size=EVAL_BATCH),
    )


def _dataset_of(catalogue: Registry, spec: WeightsSpec) -> DatasetSection:
    """Return the dataset of the weights, with their classes alone; only its name if it is not installed."""
    try:
        found = dataset_section(catalogue, spec.dataset)
        known = catalogue.dataset(spec.dataset).spec.classes
    except ZooError:
        return DatasetSection(name=spec.dataset)
    return found.model_copy(update={"classes": list(spec.classes)}) if set(spec.classes) < set(known) else found


def origin_of(found: Published, path: Path, sha256: str) -> dict[str, Any]:
    """Return the source of the weights as JSON, for the provenance of an export. ``sha256`` is that of the loaded file
    ``path``; no path of this machine is recorded. ``classes_of`` are the weights whose classes and preprocessing a file
    is assumed to have."""
    weights, spec = found.weights, found.spec
    kind = "pretrained weights" if found.recipe is None else "shipped weights"
    facts: dict[str, Any] = {"kind": kind, "model": found.item.canonical}
    if isinstance(weights, NamedWeights):
        return facts | {
            "weights": f"{found.architecture.canonical}:{weights.text}",
            "source": spec.url or spec.resource,
            "sha256": sha256,
            "licence": spec.licence,
            "dataset": spec.dataset,
            "metrics": spec.metrics,
        }
    address = weights.address
    return facts | {
        "weights": path.name if address is None else weights.text,
        "source": "a local file" if address is None else address.source,
        "sha256": sha256,
        "licence": UNSTATED if weights.fetched is None else weights.fetched.licence,
        "classes_of": next(name for name, each in found.architecture.spec.weights.items() if each is spec),
        "metrics": {},
    }


def named_file(found: Published) -> Path | None:
    """Return the file of weights that a plugin names, if it is here; nothing is downloaded."""
    weights = found.weights
    if not isinstance(weights, NamedWeights) or not pretrained_weights.is_here(weights.item, weights.text):
        return None
    return weights.file()
