"""Files of named tensors: safetensors, and conversion from pickled state dicts."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from zoo.errors import CheckpointError, StorageError
from zoo.models.state_dicts import StateDict, state_of
from zoo.support.atomic_files import replacement, storage_errors
from zoo.support.formatting import plural
from zoo.support.pickle_scan import NotAPickle, foreign, imports
from zoo.support.untrusted_files import check_regular

PICKLES = (".pt", ".pth", ".pkl", ".bin", ".ckpt")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file. Raises CheckpointError, also for a pickle."""
    if path.suffix in PICKLES:
        raise CheckpointError(
            "this is a pickle, which can run code when it is loaded; zoo does not load it",
            where=path,
            fix=f"convert it first: zoo weights convert {path.name} {path.stem}.safetensors",
        )
    try:
        check_regular(path)
        return load_file(path)
    except FileNotFoundError as error:
        raise CheckpointError("the weights file does not exist", where=path, fix="check the path") from error
    except (
        SafetensorError,
        OSError,
        RuntimeError,
    ) as error:  # torch raises RuntimeError for a file that cannot be mapped
        raise CheckpointError(
            f"the weights file cannot be read: {error}", where=path, fix="restore it from its source"
        ) from error


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return the content of a safetensors file; equal tensors give equal bytes. Memory formats are not kept."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        if value.untyped_storage().data_ptr() in seen:  # safetensors refuses tensors that share memory
            value = value.clone()
        seen.add(value.untyped_storage().data_ptr())
        apart[name] = value
    return save(apart)


def shapes_of(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a safetensors file's tensors, from its header only. Raises CheckpointError."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (SafetensorError, OSError):
        read_tensors(path)  # raises the error
        raise


def convert(source: Path, to: Path, key: str | None = None) -> StateDict:
    """Convert a pickled state dict to safetensors, write it atomically, and return it.

    Only tensors are loaded; no code in the pickle is run. ``key`` selects one of several networks. Raises
    CheckpointError if there are no named tensors or values are not finite, UsageError if ``key`` is missing or unknown,
    StorageError if ``to`` cannot be written.
    """
    state = read_pickle(source, key)
    check_finite(state.tensors, source)
    write_tensors(to, state.tensors)
    return state


def check_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Raise CheckpointError with the first three tensors that have values that are not finite."""
    bad = {
        name: int((~value.isfinite()).sum())
        for name, value in tensors.items()
        if value.is_floating_point() and not value.isfinite().all()
    }
    if bad:
        listed = ", ".join(
            f"{name} ({count:,} of {plural(tensors[name].numel(), 'value')})" for name, count in list(bad.items())[:3]
        )
        more = f" and {len(bad) - 3:,} more" if len(bad) > 3 else ""
        raise CheckpointError(
            f"the weights have values that are not finite: {listed}{more}",
            where=where,
            fix="download them again",
        )


def read_pickle(source: Path, key: str | None = None) -> StateDict:
    """Load with ``torch.load(weights_only=True)``, which supports only tensors and plain containers."""
    try:
        with warnings.catch_warnings():
            check_regular(source)
            # of forms of pickle that it may not know: what it cannot read is an error all the same
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError("the file does not exist", where=source, fix="check the path") from error
    except Exception as error:  # the unpickler may raise anything for damaged files
        _refuse_pickle(source, error)
    state = state_of(content, key, source)
    # safetensors does not support shared memory.
    copies = {name: value.detach().clone().contiguous() for name, value in state.tensors.items()}
    return StateDict(copies, state.notes)


def _refuse_pickle(source: Path, error: Exception) -> NoReturn:
    """Raise the error for a pickle that cannot be loaded as tensors, from its opcodes, not from torch's message."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        raise CheckpointError(
            f"the file cannot be read: {error.strerror}", where=source, fix="check its permissions"
        ) from error
    try:
        others = foreign(imports(source))
    except (NotAPickle, OSError):
        raise CheckpointError(
            "this is not a pickle, or it is damaged", where=source, fix="download it again"
        ) from error
    if not others:
        raise CheckpointError(
            "this pickle of tensors is damaged or incomplete", where=source, fix="download it again"
        ) from error
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    raise CheckpointError(
        f"this pickle has other objects than tensors, and is not loaded: {', '.join(others[:3])}{more}",
        where=source,
        fix="ask its publisher for safetensors, or save only the state dict of the network",
    ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write atomically: temporary name, fsync, rename, fsync of the folder.

    Raises StorageError; an existing file then stays unchanged.
    """
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacement(path) as temporary:
            save_file(dict(tensors), temporary)
    except SafetensorError as error:  # safetensors reports a full disk as an error of its own
        raise StorageError(f"the weights cannot be written: {error}", where=path, fix="free some space") from error
