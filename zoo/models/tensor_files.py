"""Files of named tensors: safetensors, and once, on the way there, the pickles that others publish."""

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
    except (SafetensorError, OSError, RuntimeError) as error:  # the last is torch's, of a file that cannot be mapped
        raise CheckpointError(
            f"the weights file cannot be read: {error}", where=path, fix="restore it from its source"
        ) from error


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """The content of a safetensors file; equal tensors give equal bytes. Their memory format is not kept."""
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
    """The shapes of a safetensors file's tensors, from its header alone. Raises CheckpointError."""
    try:
        check_regular(path)
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    except (SafetensorError, OSError):
        read_tensors(path)  # says what is wrong
        raise


def convert(source: Path, to: Path, key: str | None = None) -> StateDict:
    """A pickled state dict as safetensors, published in one step; returns it.

    Only tensors are read: no code in it runs.

    ``key`` names one of several networks in it. Raises CheckpointError where it holds no named tensors or some that are
    not finite, UsageError where the choice of a network is missing or wrong, StorageError where ``to`` cannot be
    written.
    """
    state = read_pickle(source, key)
    check_finite(state.tensors, source)
    write_tensors(to, state.tensors)
    return state


def check_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Raises CheckpointError naming tensors with values that are not finite, the first three."""
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
            fix="get them again from their source",
        )


def read_pickle(source: Path, key: str | None = None) -> StateDict:
    """By ``torch.load(weights_only=True)``, whose unpickler knows tensors and plain containers alone."""
    try:
        with warnings.catch_warnings():
            check_regular(source)
            # of forms of pickle that it may not know: what it cannot read is an error all the same
            warnings.simplefilter("ignore", UserWarning)
            content = torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError("the file does not exist", where=source, fix="check the path") from error
    except Exception as error:  # the unpickler raises whatever the bytes of a third party lead it to
        _refuse_pickle(source, error)
    state = state_of(content, key, source)
    # safetensors takes no shared memory
    copies = {name: value.detach().clone().contiguous() for name, value in state.tensors.items()}
    return StateDict(copies, state.notes)


def _refuse_pickle(source: Path, error: Exception) -> NoReturn:
    """What is wrong with a pickle that cannot be read as tensors alone, by its opcodes and not by torch's text."""
    if isinstance(error, OSError) and error.errno is not None and error.strerror:
        raise CheckpointError(
            f"the file cannot be read: {error.strerror}", where=source, fix="check its permissions"
        ) from error
    try:
        others = foreign(imports(source))
    except (NotAPickle, OSError):
        raise CheckpointError(
            "this is no pickle, or it is damaged", where=source, fix="get it again from its source"
        ) from error
    if not others:
        raise CheckpointError(
            "this pickle of tensors is damaged or was cut off", where=source, fix="get it again from its source"
        ) from error
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    raise CheckpointError(
        f"this pickle needs more than tensors, and is not loaded: it asks for {', '.join(others[:3])}{more}",
        where=source,
        fix="ask its publisher for safetensors, or save the state dict of the network alone",
    ) from error


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Temporary name → fsync → rename → fsync of the folder.

    Raises StorageError; what stood there before stays where it fails.
    """
    try:
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with replacement(path) as temporary:
            save_file(dict(tensors), temporary)
    except SafetensorError as error:  # safetensors reports a full disk as an error of its own
        raise StorageError(f"the weights cannot be written: {error}", where=path, fix="free some space") from error
