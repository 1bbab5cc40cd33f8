"""The choice of device, precision and memory format. It is printed and recorded in run.json."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from zoo.config.run_config import RunConfig
from zoo.errors import OutOfMemory, SetupError, UsageError


@dataclass(frozen=True)
class Engine:
    """Device, autocast dtype (None: fp32) and memory format of a run."""

    device: torch.device
    autocast: torch.dtype | None
    memory_format: torch.memory_format

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type

    def describe(self) -> dict[str, Any]:
        precision = "fp32" if self.autocast is None else str(self.autocast).removeprefix("torch.")
        return {
            "device": str(self.device),
            "name": self.name,
            "precision": precision,
            "channels_last": self.memory_format == torch.channels_last,
            "threads": torch.get_num_threads(),
        }


def choose_device(name: str) -> torch.device:
    """Return the device for auto, cpu, cuda, cuda:N or mps.

    Raises UsageError with the available devices if it does not exist.
    """
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return choose_device(best)
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"'{name}' is not a device", fix=f"choose one of: auto, {', '.join(available())}") from error
    if device.type == "cuda" and device.index is None and torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
    if str(device) not in available():
        raise UsageError(f"device '{name}' is not available", fix=f"choose one of: auto, {', '.join(available())}")
    return device


def available() -> list[str]:
    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*devices, "mps"] if torch.backends.mps.is_available() else devices


def set_up(config: RunConfig) -> Engine:
    """Choose the engine of a run, and set the threads and the determinism of the process."""
    device = choose_device(config.device)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    if config.deterministic:
        # Without it, cuBLAS is not deterministic, and torch raises an error.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    now = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if now != (config.deterministic, False):  # the call imports torch's compiler, as long as all of torch
        torch.use_deterministic_algorithms(config.deterministic)
    on_cuda = device.type == "cuda"
    bf16 = on_cuda and torch.cuda.is_bf16_supported()
    wanted = config.train.precision
    if wanted == "bf16" and on_cuda and not bf16:
        raise SetupError(f"{torch.cuda.get_device_name(device)} does not support bf16", fix="use train.precision=fp32")
    types = {"bf16": torch.bfloat16, "fp16": torch.float16, "auto": torch.bfloat16 if bf16 else None}
    last = on_cuda if config.train.channels_last == "auto" else config.train.channels_last
    return Engine(device, types.get(wanted), torch.channels_last if last else torch.contiguous_format)


@contextmanager
def out_of_memory(what: str) -> Iterator[None]:
    """Turn an out-of-memory error into one line with the cause and the fix; batch sizes are never reduced silently."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if (
            isinstance(error, RuntimeError)
            and not isinstance(error, torch.OutOfMemoryError)
            and "can't allocate memory" not in text
        ):
            raise
        asked = re.search(r"[Tt]ried to allocate (\d[\d.]* ?\w+)", text)
        size = f" ({asked[1]} at once)" if asked else ""
        raise OutOfMemory(
            f"out of memory{size} with {what}",
            fix="use a smaller --batch-size, split batches (--set train.micro_batches=2), or recompute activations "
            "(--set train.gradient_checkpointing=true)",
        ) from error


def free_memory() -> None:
    """Give back the memory of a training that ended: what torch holds for reuse is not free for another size."""
    gc.collect()  # an error's traceback and the modules of a network refer to each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
