"""Checkpoints: safetensors and JSON in folders that never change, each listed with its digest in the run's root record.

    checkpoints/step-000938/            model.safetensors, optimizer.safetensors, state.json and
                                        MANIFEST.json (the run, and the sha256 of each file)
    checkpoints/frozen-….safetensors    where much of the model is frozen (see `zoo.runs.frozen_weights`)

A folder is written under a temporary name, read back, and renamed. Then the root record is replaced: from that moment
on the checkpoint is the last one and, where its epoch is the best, the best one. Only then are older checkpoints
removed. A folder that the root record does not list was left by a crash or comes from elsewhere, and is never read.
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
    """``run`` is that of the root record. ``files`` has the sha256 of each file of the checkpoint."""

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
    """Publish a checkpoint as the run's last one; returns its name.

    Raises StorageError, with the earlier ones still in force.

    ``best`` has the facts of the best epoch up to here, which ended with this checkpoint or is that of the last one.
    ``frozen`` names weights that have been the same in every checkpoint of this run in which they were named. The
    newest ``keep`` checkpoints stay, with the best of each.
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
    """Write and read back all of a checkpoint, and rename it to ``name``; returns the sha256 of its manifest."""
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
    """Write a new file to the disk and compare what is read from it; returns its sha256."""
    with path.open("xb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    digest = hashlib.sha256(content).hexdigest()
    if atomic_files.sha256(path) != digest:
        raise StorageError(
            "a file of a checkpoint read back differs from what was written",
            where=path,
            fix="check the disk and the memory",
        )
    return digest


def _best(last: Published | None, name: str, facts: Mapping[str, Any] | None) -> Best | None:
    """The best epoch as of checkpoint ``name``: the same as before, or the one that this checkpoint ends."""
    if facts is None:
        return None
    known = None if last is None else last.best
    return (
        known
        if known is not None and (known.step, known.epoch) == (facts["step"], facts["epoch"])
        else Best(checkpoint=name, **facts)
    )


def _kept(entries: Sequence[Published], keep: int | None) -> tuple[Published, ...]:
    """The newest ``keep``, and the best checkpoint as of each of these: a run that goes back to one of them goes back
    to its best as well."""
    newest = entries if keep is None else entries[-keep:]
    wanted = {entry.name for entry in newest} | {entry.best.checkpoint for entry in newest if entry.best is not None}
    return tuple(entry for entry in entries if entry.name in wanted)


def _sweep(folder: Path, root: Root) -> None:
    """Remove what this run left behind: older checkpoints, and what a crash cut off.

    Another run's checkpoint is left where it is.
    """
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
    raise StorageError("too many checkpoints of one step", where=folder, fix="move some of them elsewhere")


# ------------------------------------------------------------------------------------------------------------- checking


def names(folder: Path) -> list[str]:
    """The folders that have the name of a checkpoint, newest first: by the number of their step, then in the order they
    were written."""
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
    """The folders that have the name of a checkpoint and are none of this run's, and why."""
    listed = {entry.name for entry in root.checkpoints}
    found = [name for name in names(run.checkpoints) if name not in listed]
    return {
        name: "comes from another run" if is_foreign(run.checkpoints / name, root) else "is not in the root record"
        for name in found
    }


def is_foreign(checkpoint: Path, root: Root) -> bool:
    """Whether a checkpoint's manifest names another run."""
    try:
        return _manifest(checkpoint).run != root.run
    except (OSError, ValueError):
        return False


def damage(
    folder: Path, root: Root, entry: Published, digest: Callable[[Path], str] = atomic_files.sha256
) -> str | None:
    """What is wrong with a listed checkpoint, or None: every file is read.

    (A changed weights file often loads without complaint.)
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
                else "its MANIFEST.json is not the one in the root record"
            )
        manifest, wrong = _manifest(checkpoint), []
        for file, expected in manifest.files.items():
            if digest(checkpoint / file) != expected:
                wrong.append(file)
    except (OSError, ValueError) as error:
        return f"{file}: {reason(error)}"
    if manifest.frozen is not None and len(frozen_weights.damaged_copies(folder, manifest.frozen.sha256, digest)) == 2:
        wrong.append("both copies of its frozen weights")
    return f"{', '.join(wrong)} changed since written" if wrong else None


@functools.lru_cache(maxsize=1024)
def _remembered(path: Path, _identity: tuple[int, ...]) -> str:
    return atomic_files.sha256(path)


def remembered(path: Path) -> str:
    """As `zoo.support.atomic_files.sha256`, of a file that this process has read before and that has not changed since
    by its inode and times.

    For what is checked at every checkpoint of a training, where reading gigabytes again would take longer than a short
    epoch.
    """
    facts = path.stat()
    return _remembered(
        path, (facts.st_dev, facts.st_ino, facts.st_mode, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
    )


def survey(run: RunDir, digest: Callable[[Path], str] = atomic_files.sha256) -> tuple[Root, list[str]]:
    """The root record without the checkpoints that are damaged, and a line for each thing that is lost."""
    root, folder, digest = run.root, run.checkpoints, functools.cache(digest)
    faults = {entry.name: damage(folder, root, entry, digest) for entry in root.checkpoints}
    lines = [
        f"checkpoint {name} is damaged ({fault}) and is left out" for name, fault in faults.items() if fault is not None
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
        lines += [f"{path.name} is damaged: the other copy of the frozen weights is used" for path in damaged]
    return root.with_changes(checkpoints=left), lines


def lost_best(best: Mapping[str, Any]) -> str:
    """What is printed where the best epoch, with these facts, cannot be had any more."""
    what = f"epoch {best['epoch']}, {best['metric']} {best['value']:.6g}" if best else "its facts too"
    return (
        f"the best epoch so far ({what}) is lost with its checkpoint: the best is from now on chosen among the epochs "
        "that are left"
    )


def _without_best(entry: Published) -> Published:
    return entry.model_copy(update={"best": None})


def newest_good(run: RunDir) -> tuple[Path, Root, list[str]]:
    """The newest undamaged checkpoint, the root record without the damaged ones, and a line for each that is not used.

    Raises CheckpointError where none is left.
    """
    root, lines = survey(run)
    lines += [f"checkpoint {name} {why} and is not used" for name, why in unlisted(run, run.root).items()]
    if root.last is None:
        raise CheckpointError(
            "no usable checkpoint: " + ("; ".join(lines) or "none was written yet"),
            where=run.path,
            fix="start the run anew",
        )
    return run.checkpoints / root.last.name, root, lines


def chosen(run: RunDir) -> Path:
    """The checkpoint to evaluate and export, undamaged: the one that the run's metrics are of.

    Raises CheckpointError.
    """
    while True:
        root = run.root
        if root.last is None or root.chosen is None:
            raise CheckpointError("no checkpoint was written yet", where=run.path, fix="start the run anew")
        entry = next((each for each in root.checkpoints if each.name == root.chosen), None)
        fault = "the root record has no digest of it" if entry is None else damage(run.checkpoints, root, entry)
        if fault is None:
            return run.checkpoints / root.chosen
        if run.root == root:  # else a run at work has just replaced it by a newer one
            raise CheckpointError(f"checkpoint {root.chosen} is damaged: {fault}", where=run.path, fix=_remedy(run))


def _remedy(run: RunDir) -> str:
    good = survey(run)[0].last
    return (
        "restore it from a copy, or start the run anew"
        if good is None
        else f"restore it, or go back to {good.name}: zoo run --resume {run.path}"
    )


# -------------------------------------------------------------------------------------------------------------- reading


def weights(checkpoint: Path) -> dict[str, Tensor]:
    """All of the model's tensors."""
    from zoo.models.tensor_files import read_tensors

    frozen = _manifest(checkpoint).frozen
    apart = {} if frozen is None else read_tensors(frozen_weights.good_copy(checkpoint.parent, frozen.sha256))
    return apart | read_tensors(checkpoint / MODEL)


def load(checkpoint: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Model tensors, the other tensors, and the state."""
    from zoo.models.tensor_files import read_tensors

    state = json.loads(read_text(checkpoint / STATE, RECORD_LIMIT))
    return weights(checkpoint), read_tensors(checkpoint / OPTIMIZER), state


def _manifest(checkpoint: Path) -> Manifest:
    """Raises OSError or ValueError."""
    return Manifest.model_validate_json(read_text(checkpoint / MANIFEST, RECORD_LIMIT))


def frozen_digests(folder: Path, root: Root) -> list[str]:
    """The sha256 of the frozen weights that listed checkpoints have, each once."""
    found = [_frozen_of(folder, entry) for entry in root.checkpoints]
    return list(dict.fromkeys(frozen.sha256 for frozen in found if frozen is not None))


def _frozen_of(folder: Path, entry: Published | None) -> Frozen | None:
    try:
        return None if entry is None else _manifest(folder / entry.name).frozen
    except (OSError, ValueError):
        return None
