"""Whether an architecture gives logits of the declared shape, can be trained, is deterministic, and survives being
saved."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.config.run_config import Section
from zoo.models.building import build_model, load_state
from zoo.models.named_outputs import OutputReader, due_shape, fits, shown
from zoo.models.pretrained_weights import weights_file
from zoo.models.tensor_files import read_tensors
from zoo.registry.lookup import Item, Registry
from zoo.testing.options import default_options

CLASSES, OTHER_CLASSES = 10, 3


def architecture_faults(catalogue: Registry, item: Item[Any]) -> Iterator[str]:
    """All of it at the smallest size; at the default size, and with another number of classes, whether it gives its
    logits."""
    channels, *default = item.spec.input
    smallest = [item.spec.smallest] * 2 if item.spec.sizing == "min" else default
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield from _network_faults(catalogue, item, (channels, smallest[0], smallest[1]), CLASSES)
        _build(catalogue, item, (channels, smallest[0], smallest[1]), OTHER_CLASSES)
        if smallest != default:
            _build(catalogue, item, (channels, default[0], default[1]), CLASSES)
    for name in item.spec.weights:
        yield from _weights_faults(catalogue, item, name)


def _network_faults(catalogue: Registry, item: Item[Any], shape: tuple[int, int, int], classes: int) -> Iterator[str]:
    """One network of this input (C, H, W) and number of classes; `build_model` looks at its logits for two pictures."""
    where = f"at {'×'.join(map(str, shape))} with {classes} classes, "
    model, reader = _build(catalogue, item, shape, classes), OutputReader(item.spec.outputs)
    if item.spec.head is not None and item.spec.head not in dict(model.named_modules()):
        yield f"its head '{item.spec.head}' is no module of the network"
    for batch in (1, 3):
        given = tuple(reader.main_of(model.eval()(torch.randn(batch, *shape))).shape)
        due = due_shape(reader.main, classes, batch)
        if not fits(given, due):
            yield f"{where}its {reader.main.kind} for a batch of {batch} is {given}, not {shown(due)}"
    unreached = _unreached(model, reader, torch.randn(4, *shape))
    if unreached:
        yield f"{where}no gradient reaches {', '.join(unreached[:5])}"
    inputs = torch.randn(3, *shape)
    outputs = partial(_main, reader, model.eval())
    if not torch.equal(outputs(inputs), outputs(inputs)):
        yield f"{where}two passes in eval mode differ"
    with torch.no_grad():
        if not torch.allclose(outputs(inputs)[:1], outputs(inputs[:1]), rtol=1e-4, atol=1e-5):
            yield f"{where}in eval mode an image's outputs depend on the batch it is in"
    loaded = _saved_and_loaded(model, _build(catalogue, item, shape, classes)).eval()
    if not torch.equal(outputs(inputs), _main(reader, loaded, inputs)):
        yield f"{where}the outputs change when the weights are saved and loaded"


def _build(catalogue: Registry, item: Item[Any], shape: tuple[int, int, int], classes: int) -> nn.Module:
    section = Section(name=item.canonical, **default_options(item))
    return build_model(catalogue, section, in_channels=shape[0], num_outputs=classes, image_size=shape[1:])


def _main(reader: OutputReader, model: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return reader.main_of(model(inputs))


def _unreached(model: nn.Module, reader: OutputReader, inputs: Tensor) -> list[str]:
    """Names of the parameters without a gradient after one training pass; auxiliary outputs count."""
    outputs = reader.by_name(model.train()(inputs))
    torch.stack([each.square().sum() for each in outputs.values()]).sum().backward()  # type: ignore[no-untyped-call]
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]


def _saved_and_loaded(model: nn.Module, other: nn.Module) -> nn.Module:
    """``other`` with the weights of ``model``, by way of a safetensors file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, file)
        load_state(other, read_tensors(file), file)
    return other


def _weights_faults(catalogue: Registry, item: Item[Any], name: str) -> Iterator[str]:
    """Shipped weights are the file they claim to be, and fit the network."""
    weights = item.spec.weights[name]
    if len(weights.mean) != weights.input[0] or len(weights.std) != weights.input[0]:
        yield f"weights '{name}': mean and std need a number for each of {weights.input[0]} channels"
    if weights.resource is None:
        return
    channels, height, width = weights.input
    section = Section(name=item.canonical, **{**default_options(item), **weights.architecture_options})
    model = build_model(
        catalogue, section, in_channels=channels, num_outputs=len(weights.classes), image_size=(height, width)
    )
    path = weights_file(item, name)
    load_state(model, read_tensors(path), path.name)
