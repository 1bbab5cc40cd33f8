"""Files of named tensors: safetensors, and once, on the way there, the pickles that others publish."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.errors import CheckpointError, StorageError
from zoo.files import replacement, storage_errors
from zoo.safe_files import check_regular

PICKLES = (".pt", ".pth", ".pkl", ".bin", ".ckpt")
NESTED = ("state_dict", "model_state_dict", "model")
"""Where trainers keep the state dict of a network among other things, the first that is there."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises CheckpointError; a pickle is refused."""
    if path.suffix in PICKLES:
        raise CheckpointError(
            "this is a pickle, which can run code when it is read, and is refused",
            where=path,
            fix=f"convert it first: zoo weights convert {path.name} {path.stem}.safetensors",
        )
    try:
        check_regular(path)
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError("the weights file does not exist", where=path, fix="check the path") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"the weights file cannot be read: {error}", where=path, fix="restore it from its source") from error


def shape_of(path: Path, name: str) -> tuple[int, ...] | None:
    """The shape of one tensor of a safetensors file, from its header alone; None where it has none of that name. Raises CheckpointError."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            return tuple(file.get_slice(name).get_shape()) if name in file.keys() else None  # noqa: SIM118  # it is no mapping
    except (SafetensorError, OSError):
        read_tensors(path)  # says what is wrong
        raise


def convert(source: Path, to: Path) -> dict[str, Tensor]:
    """A pickled state dict as safetensors, published in one step; returns the tensors. Only tensors are read: no code in it runs.

    Raises CheckpointError where it holds anything else than named tensors, StorageError where ``to`` cannot be written.
    """
    tensors = read_pickle(source)
    write_tensors(to, tensors)
    return tensors


def read_pickle(source: Path) -> dict[str, Tensor]:
    """By ``torch.load(weights_only=True)``, whose unpickler knows tensors and plain containers alone."""
    try:
        with warnings.catch_warnings():
            check_regular(source)
            warnings.simplefilter("ignore", UserWarning)  # of forms of pickle that it may not know: what it cannot read is an error all the same
            content = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError("the file does not exist", where=source, fix="check the path") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CheckpointError(
            f"this is no state dict of tensors alone: {reason[:200]}", where=source, fix="ask its publisher for safetensors"
        ) from error
    state = _state_of(content)
    if state is None:
        raise CheckpointError(
            f"this holds a {type(content).__name__}, and no named tensors", where=source, fix="save the state dict of the network alone"
        )
    return {name: value.detach().clone().contiguous() for name, value in state.items()}  # clones: safetensors takes no shared memory


def _state_of(content: Any) -> Mapping[str, Tensor] | None:
    """The mapping itself, or the one that a trainer keeps in it."""
    candidates = [content, *(content.get(key) for key in NESTED)] if isinstance(content, Mapping) else []
    for state in candidates:
        if isinstance(state, Mapping) and state and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
            return state
    return None


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Temporary name → fsync → rename → fsync of the folder. Raises StorageError; what stood there before stays where it fails."""
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacement(path) as temporary:
            save_file(dict(tensors), temporary)
    except SafetensorError as error:  # safetensors reports a full disk as an error of its own
        raise StorageError(f"the weights cannot be written: {error}", where=path, fix="free some space") from error
