"""The model that a command names: a run, an exported file, or an architecture or recipe with pretrained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import CheckpointError, UnknownNameError, UsageError
from zoo.exporting.opening import Exported, exported_at
from zoo.registry.lookup import registry
from zoo.runs.published_weights import Published, find_published
from zoo.runs.run_directory import RunDir, find_finished, is_run

if TYPE_CHECKING:
    import torch

    from zoo.runs.load_model import LoadedModel

Found = RunDir | Exported | Published


def find_model(target: str | Path, weights: str | None = None, key: str | None = None) -> Found:
    """Return what ``target`` names, without loading it.

    With ``weights`` (or ``key``, one of several networks in the file), it is an architecture or a recipe. Otherwise it
    is a bundle's folder, an exported file, a run, the label of a run for its newest finished one, or a recipe without
    a finished run, for its pretrained weights.

    Raises UsageError for an unknown name, and an error that lists the weights of an architecture without a run.
    """
    if weights is not None or key is not None:
        return find_published(registry(), str(target), weights, key)
    exported = exported_at(Path(target))
    if exported is not None:
        return exported
    if Path(target).is_dir() and not (Path(target) / "run.json").is_file() and not is_run(target):
        raise UsageError(
            "this folder is neither a run nor a bundle",
            where=target,
            fix="choose a run, a bundle's folder or an exported file",
        )
    return _trained(target)


def _trained(target: str | Path) -> RunDir | Published:
    """Return a run; for the name of a recipe without a finished run, its published weights."""
    if is_run(target):
        with suppress(CheckpointError):
            return find_finished(target)
    try:
        return find_published(registry(), str(target))
    except UnknownNameError:
        find_finished(target)  # raises the error for a run, which is the usual argument
        raise


@contextmanager
def loaded_model(found: Found, provider: str = "cpu", device: torch.device | str = "cpu") -> Iterator[LoadedModel]:
    """Load the model; an exported file is run by its execution ``provider``, and closed at the end.

    Raises UsageError for a provider of a model that PyTorch runs.
    """
    if isinstance(found, Exported):
        from zoo.exporting.exported_model import opened_model

        with opened_model(found, provider) as loaded:
            yield loaded
        return
    check_no_provider(provider)
    from zoo.runs.load_model import load_published, load_run

    yield load_run(found, device) if isinstance(found, RunDir) else load_published(registry(), found, device)


def check_no_provider(provider: str) -> None:
    if provider != "cpu":
        raise UsageError(
            "a run is computed by PyTorch, which has no providers", where="--provider", fix="use an exported model"
        )
