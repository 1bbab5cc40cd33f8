"""Tensors on a device, made without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def to_device(host: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on ``device`` without waiting for the work that the device has been given.

    On CUDA, only copies from page-locked memory are asynchronous. Its allocator gives the memory to another tensor when
    the copy is complete.
    """
    if host.device == device:
        return host
    if device.type == "cuda" and host.device.type == "cpu":
        host = host.pin_memory()
    return host.to(device, non_blocking=True)


def numbers_on(values: Sequence[float], device: torch.device) -> Tensor:
    """Return a few numbers as float32 (n,), filled on the device: a copy of them (`torch.tensor`) would wait for it."""
    return torch.cat([torch.full((1,), value, dtype=torch.float32, device=device) for value in values])
