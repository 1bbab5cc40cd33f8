"""Checkpoints: immutable folders of safetensors and JSON, each listed with its digest in the run's root.json.

    checkpoints/step-000938/            model.safetensors, optimizer.safetensors, state.json and
                                        MANIFEST.json (the run, and the sha256 of each file)
    checkpoints/frozen-….safetensors    if much of the model is frozen (see `zoo.runs.frozen_weights`)

A folder is written under a temporary name, read back, and renamed. Replacing root.json then publishes it as the last
checkpoint and, if its epoch is the best so far, as the best. Older checkpoints are removed after that. A folder that
root.json does not list was left by a crash or comes from another run; it is never read.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import CheckpointError, StorageError
from zoo.runs import frozen_weights
from zoo.runs.frozen_weights import WORTH_A_FILE, Frozen
from zoo.runs.root_json import NAME, Best, Digest, Fixed, Published, Root
from zoo.runs.run_directory import RunDir
from zoo.support import atomic_files
from zoo.support.atomic_files import storage_errors, sync_folder
from zoo.support.checksummed_json import reason
from zoo.support.untrusted_files import RECORD_LIMIT, read_text

if TYPE_CHECKING:
    from torch import Tensor, nn

MODEL, OPTIMIZER, STATE, MANIFEST = "model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json"


class Manifest(Fixed):
    """MANIFEST.json: ``run`` is the id in root.json; ``files`` has the sha256 of each file of the checkpoint."""

    run: str
    files: dict[str, Digest]
    frozen: Frozen | None = None


# -------------------------------------------------------------------------------------------------------------- writing


def save(
    run: RunDir,
    step: int,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    epoch: int = 0,
    best: Mapping[str, Any] | None = None,
    frozen: Collection[str] = (),
    keep: int | None = None,
) -> str:
    """Write a checkpoint, publish it as the run's last one, and return its name.

    ``best`` describes the best epoch so far: the one that ended with this checkpoint, or that of the last checkpoint.
    ``frozen`` names tensors that have not changed since an earlier checkpoint named them. The newest ``keep``
    checkpoints stay, and the best checkpoint as of each of them.

    Raises StorageError; earlier checkpoints then stay valid.
    """
    root, folder = run.root, run.checkpoints
    _sweep(folder, root)
    name = _free_name(folder, step)
    digest = _write(folder, name, root, model.state_dict(), tensors, state, frozen)
    entry = Published(name=name, digest=digest, step=step, epoch=epoch, best=_best(root.last, name, best))
    root = root.with_changes(checkpoints=_kept((*root.checkpoints, entry), keep))
    run.write_root(root)
    _sweep(folder, root)
    return name


def _write(
    folder: Path,
    name: str,
    root: Root,
    model: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    frozen: Collection[str],
) -> str:
    """Write and read back a checkpoint, rename it to ``name``, and return the sha256 of its manifest."""
    from zoo.models.tensor_files import to_bytes

    apart = {key: value for key, value in model.items() if key in frozen}
    if sum(value.nbytes for value in apart.values()) <= WORTH_A_FILE:
        apart = {}
    temporary = folder / f".{name}.tmp"
    try:
        with storage_errors(folder):
            temporary.mkdir(parents=True)
            shared = frozen_weights.store(folder, apart, _frozen_of(folder, root.last), remembered) if apart else None
            digests = {
                MODEL: _write_checked(
                    temporary / MODEL, to_bytes({key: value for key, value in model.items() if key not in apart})
                ),
                OPTIMIZER: _write_checked(temporary / OPTIMIZER, to_bytes(tensors)),
                STATE: _write_checked(temporary / STATE, json.dumps(state, indent=1).encode()),
            }
            manifest = Manifest(run=root.run, files=digests, frozen=shared)
            digest = _write_checked(temporary / MANIFEST, manifest.model_dump_json(indent=1).encode())
            sync_folder(temporary)
            temporary.rename(folder / name)
            sync_folder(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return digest


def _write_checked(path: Path, content: bytes) -> str:
    """Write a new file, compare it with what is read back, and return its sha256."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    digest = hashlib.sha256(content).hexdigest()
    if atomic_files.sha256(path) != digest:
        raise StorageError(
            "a checkpoint file differs when read back from disk",
            where=path,
            fix="check the disk and the memory for hardware errors",
        )
    return digest


def _best(last: Published | None, name: str, facts: Mapping[str, Any] | None) -> Best | None:
    """Return the best epoch as of checkpoint ``name``: the previous one, or the epoch that ends with ``name``."""
    if facts is None:
        return None
    known = None if last is None else last.best
    return (
        known
        if known is not None and (known.step, known.epoch) == (facts["step"], facts["epoch"])
        else Best(checkpoint=name, **facts)
    )


def _kept(entries: Sequence[Published], keep: int | None) -> tuple[Published, ...]:
    """Return the newest ``keep`` checkpoints and the best as of each of them, since a run that is resumed from one of
    them needs its best, too."""
    newest = entries if keep is None else entries[-keep:]
    wanted = {entry.name for entry in newest} | {entry.best.checkpoint for entry in newest if entry.best is not None}
    return tuple(entry for entry in entries if entry.name in wanted)


def _sweep(folder: Path, root: Root) -> None:
    """Remove older checkpoints of this run and incomplete ones after a crash, but not checkpoints of another run."""
    listed = {entry.name for entry in root.checkpoints}
    for name in names(folder):
        if name not in listed and not is_foreign(folder / name, root):
            shutil.rmtree(folder / name, ignore_errors=True)
    for left in folder.glob(".step-*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    frozen_weights.remove_others(folder, frozen_digests(folder, root))


def _free_name(folder: Path, step: int) -> str:
    name = f"step-{step:06d}"
    for again in range(1, 1000):
        if not os.path.lexists(folder / name):
            return name
        name = f"step-{step:06d}.{again}"
    raise StorageError("too many checkpoints of the same step", where=folder, fix="move some of them out of the folder")


# ------------------------------------------------------------------------------------------------------------- checking


def names(folder: Path) -> list[str]:
    """Return the folders named like checkpoints, newest first: by step, then by the order in which they were
    written."""
    found = [
        path.name
        for path in folder.glob("step-*")
        if re.fullmatch(NAME, path.name) and path.is_dir() and not path.is_symlink()
    ]
    return sorted(found, key=_position, reverse=True)


def _position(name: str) -> tuple[int, int]:
    step, _, again = name.removeprefix("step-").partition(".")
    return int(step), int(again or 0)


def unlisted(run: RunDir, root: Root) -> dict[str, str]:
    """Return the folders named like checkpoints that are not part of this run, each with the reason."""
    listed = {entry.name for entry in root.checkpoints}
    found = [name for name in names(run.checkpoints) if name not in listed]
    return {
        name: "comes from another run" if is_foreign(run.checkpoints / name, root) else "is not listed in root.json"
        for name in found
    }


def is_foreign(checkpoint: Path, root: Root) -> bool:
    """Return whether a checkpoint's manifest names another run."""
    try:
        return _manifest(checkpoint).run != root.run
    except (OSError, ValueError):
        return False


def damage(
    folder: Path, root: Root, entry: Published, digest: Callable[[Path], str] = atomic_files.sha256
) -> str | None:
    """Return what is wrong with a listed checkpoint, or None.

    Every file is read and hashed, because a changed weights file often loads without an error.
    """
    checkpoint = folder / entry.name
    if not checkpoint.is_dir():
        return "it is missing"
    file = MANIFEST
    try:
        if digest(checkpoint / MANIFEST) != entry.digest:
            return (
                "it comes from another run"
                if is_foreign(checkpoint, root)
                else "its MANIFEST.json does not match root.json"
            )
        manifest, wrong = _manifest(checkpoint), []
        for file, expected in manifest.files.items():
            if digest(checkpoint / file) != expected:
                wrong.append(file)
    except (OSError, ValueError) as error:
        return f"{file}: {reason(error)}"
    if manifest.frozen is not None and len(frozen_weights.damaged_copies(folder, manifest.frozen.sha256, digest)) == 2:
        wrong.append("both copies of its frozen weights")
    return f"{', '.join(wrong)} changed after zoo wrote it" if wrong else None


@functools.lru_cache(maxsize=1024)
def _remembered(path: Path, _identity: tuple[int, ...]) -> str:
    return atomic_files.sha256(path)


def remembered(path: Path) -> str:
    """Return the sha256 of a file; cached in this process while its inode and times do not change.

    For files that are checked at every checkpoint of a training: reading gigabytes again could take longer than a short
    epoch.
    """
    facts = path.stat()
    return _remembered(
        path, (facts.st_dev, facts.st_ino, facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    )


def survey(run: RunDir, digest: Callable[[Path], str] = atomic_files.sha256) -> tuple[Root, list[str]]:
    """Return the root record without damaged checkpoints, and a line for each loss."""
    root, folder, digest = run.root, run.checkpoints, functools.cache(digest)
    faults = {entry.name: damage(folder, root, entry, digest) for entry in root.checkpoints}
    lines = [
        f"checkpoint {name} is damaged ({fault}) and is ignored" for name, fault in faults.items() if fault is not None
    ]
    good = [entry for entry in root.checkpoints if faults[entry.name] is None]
    left = tuple(
        each if each.best is None or faults.get(each.best.checkpoint, "") is None else _without_best(each)
        for each in good
    )
    if left and left[-1].best != good[-1].best:
        lines.append(lost_best({} if good[-1].best is None else good[-1].best.facts))
    for sha256 in frozen_digests(folder, root.with_changes(checkpoints=tuple(good))):
        damaged = frozen_weights.damaged_copies(folder, sha256, digest)
        lines += [f"{path.name} is damaged; the other copy of the frozen weights is used" for path in damaged]
    return root.with_changes(checkpoints=left), lines


def lost_best(best: Mapping[str, Any]) -> str:
    """Return the message for a best epoch, with these facts, whose checkpoint is lost."""
    what = f"epoch {best['epoch']}, {best['metric']} {best['value']:.6g}" if best else "epoch unknown"
    return (
        f"the checkpoint of the best epoch so far ({what}) is lost; the best is now selected among the remaining epochs"
    )


def _without_best(entry: Published) -> Published:
    return entry.model_copy(update={"best": None})


def newest_good(run: RunDir) -> tuple[Path, Root, list[str]]:
    """Return the newest undamaged checkpoint, the root record without damaged ones, and a line for each unused one.

    Raises CheckpointError if none is left.
    """
    root, lines = survey(run)
    lines += [f"checkpoint {name} {why} and is not used" for name, why in unlisted(run, run.root).items()]
    if root.last is None:
        raise CheckpointError(
            "no usable checkpoint: " + ("; ".join(lines) or "none was written yet"),
            where=run.path,
            fix="start the run again from the beginning",
        )
    return run.checkpoints / root.last.name, root, lines


def chosen(run: RunDir) -> Path:
    """Return the checkpoint to evaluate and export: the one that the run's metrics come from.

    Raises CheckpointError if it is damaged or missing.
    """
    while True:
        root = run.root
        if root.last is None or root.chosen is None:
            raise CheckpointError(
                "no checkpoint was written yet", where=run.path, fix="start the run again from the beginning"
            )
        entry = next((each for each in root.checkpoints if each.name == root.chosen), None)
        fault = "root.json has no digest of it" if entry is None else damage(run.checkpoints, root, entry)
        if fault is None:
            return run.checkpoints / root.chosen
        if run.root == root:  # otherwise a running training has just replaced it
            raise CheckpointError(f"checkpoint {root.chosen} is damaged: {fault}", where=run.path, fix=_remedy(run))


def _remedy(run: RunDir) -> str:
    good = survey(run)[0].last
    return (
        "restore it from a copy, or start the run again from the beginning"
        if good is None
        else f"restore it from a copy, or continue from {good.name}: zoo run --resume {run.path}"
    )


# -------------------------------------------------------------------------------------------------------------- reading


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """Return all tensors of the model."""
    from zoo.models.tensor_files import read_tensors

    frozen = _manifest(checkpoint).frozen
    apart = {} if frozen is None else read_tensors(frozen_weights.good_copy(checkpoint.parent, frozen.sha256))
    return apart | read_tensors(checkpoint / MODEL)


def load(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Return the model's tensors, the optimizer's tensors, and the content of state.json."""
    from zoo.models.tensor_files import read_tensors

    state = json.loads(read_text(checkpoint / STATE, RECORD_LIMIT))
    return weights(checkpoint), read_tensors(checkpoint / OPTIMIZER), state


def _manifest(checkpoint: Path) -> Manifest:
    """Raises OSError or ValueError."""
    return Manifest.model_validate_json(read_text(checkpoint / MANIFEST, RECORD_LIMIT))


def frozen_digests(folder: Path, root: Root) -> list[str]:
    """Return the sha256 of the frozen weights of all listed checkpoints, without repeats."""
    found = [_frozen_of(folder, entry) for entry in root.checkpoints]
    return list(dict.fromkeys(frozen.sha256 for frozen in found if frozen is not None))


def _frozen_of(folder: Path, entry: Published | None) -> Frozen | None:
    try:
        return None if entry is None else _manifest(folder / entry.name).frozen
    except (OSError, ValueError):
        return None
