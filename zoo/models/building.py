"""Building networks from their specs, checking what came out, and loading weights into them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zoo.config.run_config import Section
from zoo.data.preprocessing import needs, takes
from zoo.errors import CheckpointError, PluginError, UsageError, ZooError
from zoo.models.tensor_files import check_finite
from zoo.registry.lookup import Item, Registry, in_plugin, load_object
from zoo.registry.plugin_isolation import describe


def build_model(
    registry: Registry, section: Section, *, in_channels: int, num_classes: int, image_size: tuple[int, int]
) -> nn.Module:
    """The network of a section.

    Raises UsageError where its spec says that it cannot take such pictures or its builder refuses them, PluginError
    where the plugin builds something else than a network with these logits.
    """
    item = registry.architecture(section.name)
    if not takes(item.spec, *image_size):
        raise UsageError(
            f"{item.canonical} cannot take {image_size[0]}×{image_size[1]} pictures: it needs {needs(item.spec)}",
            fix="choose such a size: --set dataset.resize=N",
        )
    build = load_object(item.spec.target, item)
    try:
        with in_plugin(item, f"building {item.canonical}"):
            model = build(
                in_channels=in_channels,
                num_classes=num_classes,
                image_size=image_size,
                **item.spec.arguments,
                **section.options,
            )
    except ZooError:
        raise
    except Exception as error:
        raise _blame(
            item, f"could not be built for {in_channels}×{image_size[0]}×{image_size[1]}: {describe(error)}"
        ) from error
    if not isinstance(model, nn.Module):
        raise _blame(item, f"built a {type(model).__name__}, which is no torch.nn.Module")
    _check_logits(item, model, (in_channels, *image_size), num_classes)
    if item.spec.head is not None and item.spec.head not in dict(model.named_modules()):
        raise _blame(item, f"has no module '{item.spec.head}', which its spec names as its head")
    return model


def _check_logits(item: Item[Any], model: nn.Module, shape: tuple[int, int, int], num_classes: int) -> None:
    """A dry forward of two pictures; batch-norm statistics and the random generator stay as they were."""
    try:
        with in_plugin(item, f"a forward of {item.canonical}"):
            logits = dry_forward(model, shape)
    except Exception as error:
        raise _blame(item, f"fails on pictures of {'×'.join(map(str, shape))}: {describe(error)}") from error
    got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if got != (2, num_classes):
        raise _blame(item, f"gives {got} for two pictures, where logits (2, {num_classes}) are due")


def dry_forward(model: nn.Module, shape: tuple[int, int, int]) -> Any:
    """The output for two grey pictures, in eval mode, on the model's device."""
    training = model.training
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    model.eval()
    try:
        with torch.no_grad():
            return model(torch.zeros(2, *shape, device=device))
    finally:
        model.train(training)


def _blame(item: Item[Any], what: str) -> PluginError:
    return PluginError(
        f"architecture '{item.canonical}' {what}",
        where=item.plugin.distribution,
        fix="report it to the plugin's authors",
    )


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All parameters, and those that are trained."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def count_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-accumulates of convolutions and matrix products for one picture (half of torch's FLOP count)."""
    with counting(model) as counter:
        dry_forward(model, shape)
    return int(counter.get_total_flops()) // 4  # two pictures; two operations a multiply-accumulate


@contextmanager
def counting(model: nn.Module) -> Iterator[FlopCounterMode]:
    """Around a forward without gradients whose operations are counted, all of them and for every network.

    The fused attention of torch's own layers is counted by nobody, so it is left out; and the counter stumbles over a
    parameter that is the input of a module (a class token), unless no parameter asks for a gradient.
    """
    fused, trained = (
        torch.backends.mha.get_fastpath_enabled(),
        [each for each in model.parameters() if each.requires_grad],
    )
    torch.backends.mha.set_fastpath_enabled(False)
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            yield counter
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        torch.backends.mha.set_fastpath_enabled(fused)


def load_state(model: nn.Module, tensors: dict[str, Tensor], where: object) -> None:
    """Load every weight, strictly.

    Raises CheckpointError naming the first five that are missing, unknown or of another shape, or the first three that
    are not finite.
    """
    own = model.state_dict()
    faults = [f"missing {key}" for key in own if key not in tensors]
    faults += [f"unknown {key}" for key in tensors if key not in own]
    for key, value in tensors.items():
        if key in own and own[key].shape != value.shape:
            faults.append(f"{key} is {tuple(value.shape)}, not {tuple(own[key].shape)}")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(
            f"the weights do not fit the network: {'; '.join(faults[:5])}{more}",
            where=where,
            fix="check architecture and options",
        )
    check_finite(tensors, where)
    state = OrderedDict(tensors)
    state._metadata = own._metadata  # type: ignore[attr-defined]  # the modules' versions; one without would be taken for the oldest, or refused
    model.load_state_dict(state)
