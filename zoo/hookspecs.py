"""The whole contract between the core and its plugins. Every hook is optional; mark yours with `zoo.api.hookimpl`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pluggy

from zoo.api import (
    ArchitectureSpec,
    AugmentationSpec,
    CommandSpec,
    DatasetSpec,
    ExporterSpec,
    FamilySpec,
    RecipeSpec,
    TaskSpec,
)

hookspec = pluggy.HookspecMarker("zoo")

# mypy: disable-error-code="empty-body"
# Registration: called once, when the plugin is discovered. Importing torch here is refused by the conformance kit.


@hookspec
def zoo_register_architectures() -> Sequence[ArchitectureSpec]:
    """Networks this plugin can build."""


@hookspec
def zoo_register_families() -> Sequence[FamilySpec]:
    """Libraries of networks, too many to be described before they are asked for."""


@hookspec
def zoo_register_datasets() -> Sequence[DatasetSpec]:
    """Datasets this plugin can open."""


@hookspec
def zoo_register_tasks() -> Sequence[TaskSpec]:
    """Tasks: what is trained, by which loss, judged how."""


@hookspec
def zoo_register_recipes() -> Sequence[RecipeSpec]:
    """Names for combinations that work."""


@hookspec
def zoo_register_exporters() -> Sequence[ExporterSpec]:
    """Formats for deployment."""


@hookspec
def zoo_register_augmentations() -> Sequence[AugmentationSpec]:
    """Random changes of training images."""


@hookspec
def zoo_register_commands() -> Sequence[CommandSpec]:
    """A command group under this plugin's own name."""


# Events: for trackers. They are told, they change nothing; one that raises is reported and the run goes on.


@hookspec
def zoo_run_started(run: Path, config: Mapping[str, Any]) -> None:
    """A run directory exists and its configuration is resolved."""


@hookspec
def zoo_epoch_ended(run: Path, epoch: int, row: Mapping[str, float]) -> None:
    """An epoch (counted from 1) has been trained and, where there is a validation split, judged: a row of
    metrics.csv."""


@hookspec
def zoo_run_ended(run: Path, status: str, metrics: Mapping[str, float]) -> None:
    """``status`` is finished, interrupted or failed."""


@hookspec
def zoo_exported(bundle: Path, verification: Mapping[str, Any]) -> None:
    """A bundle has passed the gate and is published."""
