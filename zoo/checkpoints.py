"""Checkpoints: safetensors and JSON in immutable folders, found through pointers that are replaced atomically.

    checkpoints/step-000938/   model.safetensors  optimizer.safetensors  state.json  MANIFEST.json (sha256 of each, written last)
                               frozen.safetensors, where much of the model learns nothing: written once, one file that all checkpoints link to
    checkpoints/last.json      {"checkpoint": "step-000938"}
    checkpoints/best.json

A folder is written under a temporary name and renamed when all of it is on the disk, so that a crash leaves the old or the new one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.errors import CheckpointError, StorageError
from zoo.files import sha256, storage_errors, sync_file, sync_folder, write_json
from zoo.tensorfiles import read_tensors

MODEL, FROZEN, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "frozen.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"
WORTH_A_FILE = 1 << 20
"""Bytes of frozen weights from which on they are kept apart."""


def save(folder: Path, step: int, model: nn.Module, tensors: dict[str, Tensor], state: dict[str, Any], frozen: Collection[str] = ()) -> str:
    """Publish a checkpoint and point ``last`` at it; returns its name. Raises StorageError, with the earlier ones still valid.

    ``frozen`` names weights that have been the same in every checkpoint of this folder in which they were named.
    """
    name = _free_name(folder, step)
    temporary = folder / f".{name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with storage_errors(folder):
            temporary.mkdir()
            everything = model.state_dict()
            apart = {key: value for key, value in everything.items() if key in frozen}
            digests = _save_frozen(folder, temporary, apart) if sum(each.nbytes for each in apart.values()) > WORTH_A_FILE else {}
            save_file(_contiguous({key: value for key, value in everything.items() if not digests or key not in apart}), temporary / MODEL)
            save_file(_contiguous(tensors), temporary / OPTIMIZER)
            (temporary / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
            digests |= {file: sha256(temporary / file) for file in (MODEL, OPTIMIZER, STATE)}
            (temporary / MANIFEST).write_text(json.dumps(digests, indent=1), encoding="utf-8")
            for file in (MODEL, OPTIMIZER, STATE, MANIFEST):
                sync_file(temporary / file)
            sync_folder(temporary)
            temporary.rename(folder / name)
            sync_folder(folder)
    except SafetensorError as error:  # safetensors reports a full disk as an error of its own
        raise StorageError(f"the checkpoint cannot be written: {error}", where=folder, fix="free some space") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    point(folder, "last", name)
    return name


def _save_frozen(folder: Path, temporary: Path, tensors: dict[str, Tensor]) -> dict[str, str]:
    """A link to the last checkpoint's file where that is of these weights, else a file of them; its digest."""
    before = folder / (pointed(folder, "last") or "") / FROZEN
    try:
        digest = str(json.loads((before.parent / MANIFEST).read_text(encoding="utf-8"))[FROZEN])
        with safe_open(before, framework="pt") as file:
            same = set(file.keys()) == set(tensors)
        if same:
            os.link(before, temporary / FROZEN)
            return {FROZEN: digest}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        pass  # there is none, or it is damaged, or this file system has no links
    (temporary / FROZEN).unlink(missing_ok=True)
    save_file(_contiguous(tensors), temporary / FROZEN)
    sync_file(temporary / FROZEN)
    return {FROZEN: sha256(temporary / FROZEN)}


def point(folder: Path, pointer: str, name: str) -> None:
    write_json(folder / f"{pointer}.json", {"checkpoint": name})


def pointed(folder: Path, pointer: str) -> str | None:
    """The checkpoint that ``last`` or ``best`` names, or None where there is no such pointer or it cannot be read."""
    try:
        return str(json.loads((folder / f"{pointer}.json").read_text(encoding="utf-8"))["checkpoint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def names(folder: Path) -> list[str]:
    """Published checkpoints, newest first."""
    return sorted((path.name for path in folder.glob("step-*") if path.is_dir()), reverse=True)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint's files by their sha256, or None. (A changed weights file often loads without complaint.)"""
    try:
        digests = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        wrong = [file for file in {MODEL: 0, OPTIMIZER: 0, STATE: 0, **digests} if sha256(checkpoint / file) != digests[file]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{', '.join(wrong)} changed since written" if wrong else None


def newest_good(folder: Path) -> tuple[Path, list[str]]:
    """The newest undamaged checkpoint, and a line for each newer one that is damaged. Raises CheckpointError where none is left."""
    complaints: list[str] = []
    for name in names(folder):
        fault = damage(folder / name)
        if fault is None:
            return folder / name, complaints
        complaints.append(f"checkpoint {name} is damaged ({fault}) and is left out")
    raise CheckpointError("no usable checkpoint: " + ("; ".join(complaints) or "none was written yet"), where=folder, fix="start the run anew")


def chosen(folder: Path, name: str | None) -> Path:
    """The checkpoint a record names, undamaged; without a name the best, else the newest good one."""
    wanted = name or pointed(folder, "best")
    if wanted is None:
        return newest_good(folder)[0]
    fault = damage(folder / wanted)
    if fault is not None:
        raise CheckpointError(f"checkpoint {wanted} is damaged: {fault}", where=folder, fix="restore it, or train again")
    return folder / wanted


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """All of the model's tensors."""
    apart = read_tensors(checkpoint / FROZEN) if (checkpoint / FROZEN).exists() else {}
    return apart | read_tensors(checkpoint / MODEL)


def load(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Model tensors, the other tensors, and the state."""
    state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return weights(checkpoint), read_tensors(checkpoint / OPTIMIZER), state


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` checkpoints and the best."""
    best = pointed(folder, "best")
    for name in names(folder)[keep:]:
        if name != best:
            shutil.rmtree(folder / name, ignore_errors=True)


def _free_name(folder: Path, step: int) -> str:
    name = f"step-{step:06d}"
    for again in range(1, 1000):
        if not (folder / name).exists():
            return name
        name = f"step-{step:06d}.{again}"
    raise StorageError("too many checkpoints of one step", where=folder, fix="start a new run: zoo run --name NAME")


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """safetensors takes contiguous tensors that share no memory; the memory format is restored from the configuration."""
    return {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
