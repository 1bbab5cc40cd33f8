"""Build networks from their specs, check their outputs, and load weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from zoo.api import ArchitectureSpec
from zoo.config.item_options import options_of
from zoo.config.run_config import Section
from zoo.data.preprocessing import needs, takes
from zoo.errors import CheckpointError, PluginError, UsageError, ZooError, report_to
from zoo.models.named_outputs import OutputReader, due_shape, fits, shown
from zoo.models.tensor_files import check_finite
from zoo.registry.lookup import Item, Registry, in_plugin, load_object
from zoo.registry.plugin_isolation import describe

if TYPE_CHECKING:
    from torch.utils.flop_counter import FlopCounterMode


CHECK = "check architecture and options"
"""The fix of weights that do not fit."""


def build_model(
    registry: Registry, section: Section, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]
) -> nn.Module:
    """Build the network of a configuration section.

    Raises UsageError if its spec or its builder does not support the image size, ConfigError for an unknown option,
    PluginError if the result is not a network with the declared outputs.
    """
    item = registry.architecture(section.name)
    options = options_of(item, section.options)
    if not takes(item.spec, *image_size):
        raise UsageError(
            f"{item.canonical} does not support {image_size[0]}×{image_size[1]} images: it needs {needs(item.spec)}",
            fix="set a supported size: --set dataset.resize=N",
        )
    build = load_object(item.spec.target, item)
    try:
        with in_plugin(item, f"building {item.canonical}"):
            model = build(
                options,
                in_channels=in_channels,
                num_outputs=num_outputs,
                image_size=image_size,
                **item.spec.builder_options,
            )
    except ZooError:
        raise
    except Exception as error:
        raise _blame(
            item, f"could not be built for {in_channels}×{image_size[0]}×{image_size[1]}: {describe(error)}"
        ) from error
    if not isinstance(model, nn.Module):
        raise _blame(item, f"built a {type(model).__name__}, expected torch.nn.Module")
    _check_outputs(item, model, (in_channels, *image_size), num_outputs)
    if item.spec.head is not None and item.spec.head not in dict(model.named_modules()):
        raise _blame(item, f"has no module '{item.spec.head}', which is the head in its spec")
    return model


def _check_outputs(
    item: Item[ArchitectureSpec], model: nn.Module, shape: tuple[int, int, int], num_outputs: int
) -> None:
    """Run a forward pass with two images, without changing batch-norm statistics or the random generator."""
    reader = OutputReader(item.spec.outputs)
    try:
        with in_plugin(item, f"a forward of {item.canonical}"):
            given = dry_forward(model, shape)
    except Exception as error:
        raise _blame(item, f"fails on images of {'×'.join(map(str, shape))}: {describe(error)}") from error
    try:
        found = reader.main_of(given)
    except PluginError as error:
        raise _blame(item, error.what.removeprefix("the network ")) from error
    due = due_shape(reader.main, num_outputs, 2)
    if not fits(found.shape, due):
        raise _blame(item, f"returns {tuple(found.shape)} for two images, expected a {reader.main.kind} {shown(due)}")


def dry_forward(model: nn.Module, shape: tuple[int, int, int]) -> Any:
    """Return the output for two uniform gray images, in eval mode, on the model's device."""
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
        fix=report_to(item.plugin.distribution),
    )


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return the number of all parameters and of the trainable ones."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained)


def count_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return the multiply-accumulates (MACs) of convolutions and matrix products for one image (half of torch's
    FLOPs)."""
    with counting(model) as counter:
        dry_forward(model, shape)
    return int(counter.get_total_flops()) // 4  # two images; two operations a multiply-accumulate


@contextmanager
def counting(model: nn.Module) -> Iterator[FlopCounterMode]:
    """Count the operations of a forward pass without gradients.

    The fused attention of torch's layers is disabled, because the counter does not support it. Gradients are disabled
    for all parameters, because the counter fails for a parameter that is the input of a module (a class token).
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports triton

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


def load_state(model: nn.Module, tensors: dict[str, Tensor], where: object, fix: str = CHECK) -> None:
    """Load all weights, strictly.

    Raises CheckpointError as `check_fit` does, or with the first three tensors that are not finite.
    """
    check_fit(model, tensors, where, fix)
    check_finite(tensors, where)
    state = OrderedDict(tensors)
    state._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]  # the modules' versions; one without would be taken for the oldest, or refused
    model.load_state_dict(state)


def check_fit(
    model: nn.Module, tensors: Mapping[str, Tensor], where: object, fix: str | Callable[[], str] = CHECK
) -> None:
    """Raise CheckpointError with the first five tensors that are missing, unknown or of another shape; a function
    ``fix`` is called only then."""
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
            fix=fix if isinstance(fix, str) else fix(),
        )
