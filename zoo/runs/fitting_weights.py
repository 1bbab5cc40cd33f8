"""Whether the tensors of a weights file are those of an architecture, so that a file need not come with its name."""

from __future__ import annotations

from pathlib import Path

from zoo.api import ArchitectureSpec
from zoo.config.run_config import Section
from zoo.registry.lookup import Item, Registry


def fits(registry: Registry, item: Item[ArchitectureSpec], file: Path) -> bool:
    """Return whether a safetensors file has every tensor of the network, in its shape; the head's may be others.

    Raises CheckpointError if the file cannot be read, UsageError if several networks in it fit.
    """
    import torch

    from zoo.models.building import build_model
    from zoo.models.state_dicts import fit_to
    from zoo.models.tensor_files import shapes_of

    spec = item.spec
    channels, *size = spec.input
    section = Section(name=item.canonical)
    own = build_model(
        registry, section, in_channels=channels, num_outputs=spec.num_outputs, image_size=(size[0], size[1])
    ).state_dict()
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes_of(file).items()}
    found = fit_to(own, tensors, where=file).tensors
    wanted = {name: value for name, value in own.items() if spec.head is None or not name.startswith(f"{spec.head}.")}
    return all(name in found and found[name].shape == value.shape for name, value in wanted.items())
