"""The states of the random generators that a training uses."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


def generators(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators that a training on ``device`` uses."""
    states = {"generator/cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["generator/cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["generator/cpu"])
    if "generator/cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["generator/cuda"], device)


@contextmanager
def same_generators(device: torch.device) -> Iterator[None]:
    """Restore the random generators at the end, including Python's."""
    states, plain = generators(device), random.getstate()
    try:
        yield
    finally:
        set_generators(states, device)
        random.setstate(plain)
