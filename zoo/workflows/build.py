"""`zoo.build`: build a network by name, with random or trained weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from zoo.api import ArchitectureSpec
from zoo.config.run_config import Section
from zoo.contract.targets import target_names
from zoo.errors import UsageError
from zoo.models.building import build_model
from zoo.registry.lookup import Item, registry
from zoo.runs.initial_weights import RandomWeights, parse_weights
from zoo.runs.load_initial_weights import load_into


def build(
    name: str,
    *,
    num_outputs: int | None = None,
    weights: str | None = None,
    weights_key: str | None = None,
    input: tuple[int, int, int] | None = None,  # noqa: A002
    **options: Any,
) -> nn.Module:
    """Return the network of an architecture, or of a recipe, in training mode on the CPU.

    ``weights`` is the name of pretrained weights (see `zoo.info`), a safetensors file or its address, or a run; None
    means random weights from torch's generator. ``num_outputs`` and ``input`` (C, H, W) default to those of the
    weights, otherwise of the architecture. With another ``num_outputs`` than the weights', the head is re-initialised.
    ``options`` are those of the architecture.

    Raises UnknownNameError, UsageError for an unsupported size, ConfigError for an unknown option, CheckpointError for
    weights that do not fit.
    """
    item, given = _network(name)
    chosen = parse_weights(weights, item, weights_key)
    trained = None if isinstance(chosen, RandomWeights) else chosen
    learned = None if trained is None else trained.learned
    target = None if trained is None or trained.target is None else trained.target
    channels, height, width = input or (item.spec.input if learned is None else learned.input)
    outputs = len(target_names(target)) if target is not None else item.spec.num_outputs
    section = {**given, **({} if trained is None else trained.builder_options), **options}
    model = build_model(
        registry(),
        Section(name=item.canonical, **section),
        in_channels=channels,
        num_outputs=num_outputs or outputs,
        image_size=(height, width),
    )
    if trained is not None:
        load_into(model, trained, item.spec.head, same=num_outputs in (None, outputs), new_head=num_outputs is not None)
    return model


def _network(name: str) -> tuple[Item[ArchitectureSpec], dict[str, Any]]:
    """The architecture of a name, and the options that a recipe gives it. Raises UsageError if there is none."""
    catalogue = registry()
    item = catalogue.runnable(name)
    if item.kind == "architecture":
        return item, {}
    if item.kind == "recipe":
        from zoo.runs.resolve_config import resolve

        section = resolve(catalogue, item.canonical).config.architecture
        if section is not None:
            return catalogue.architecture(section.name), section.options
    raise UsageError(
        f"{item.kind} '{item.spec.name}' has no network", fix="name an architecture (see `zoo list architectures`)"
    )
