"""The whole contract between the core and its plugins. Every hook is optional; mark yours with `zoo.api.hookimpl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # hooks are known by their names and arguments: importing them costs nothing
    from collections.abc import Sequence

    from zoo.api import (
        AdaptationSpec,
        ArchitectureSpec,
        AugmentationSpec,
        CommandSpec,
        DatasetSpec,
        ExporterSpec,
        FamilySpec,
        MetricSpec,
        RecipeSpec,
        TaskSpec,
    )
    from zoo.contract.events import (
        CheckpointWritten,
        EpochEnded,
        Evaluated,
        Exported,
        RunEnded,
        RunStarted,
        StepLogged,
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
    """Tasks: what is learned, by which loss, evaluated how."""


@hookspec
def zoo_register_adaptations() -> Sequence[AdaptationSpec]:
    """Changes to a network before it is trained, under any task."""


@hookspec
def zoo_register_recipes() -> Sequence[RecipeSpec]:
    """Names for combinations that work."""


@hookspec
def zoo_register_exporters() -> Sequence[ExporterSpec]:
    """Formats for deployment."""


@hookspec
def zoo_register_metrics() -> Sequence[MetricSpec]:
    """Metrics that a configuration can name."""


@hookspec
def zoo_register_augmentations() -> Sequence[AugmentationSpec]:
    """Random changes of training images."""


@hookspec
def zoo_register_commands() -> Sequence[CommandSpec]:
    """A command group under this plugin's own name."""


# Events: for trackers. A listener gets a frozen copy and changes nothing; one that raises is reported once for each
# hook in a run, and the run goes on.


@hookspec
def zoo_run_started(event: RunStarted) -> None:
    """The run's folder exists and its configuration is resolved."""


@hookspec
def zoo_step_logged(event: StepLogged) -> None:
    """The loss of a step was read and logged: the first step, and every ``train.log_steps`` steps."""


@hookspec
def zoo_epoch_ended(event: EpochEnded) -> None:
    """An epoch was trained and, where there is a validation split, evaluated on it."""


@hookspec
def zoo_evaluated(event: Evaluated) -> None:
    """The trained model was evaluated on a split."""


@hookspec
def zoo_checkpoint_written(event: CheckpointWritten) -> None:
    """A checkpoint is on the disk."""


@hookspec
def zoo_run_ended(event: RunEnded) -> None:
    """The run finished, was interrupted or failed."""


@hookspec
def zoo_exported(event: Exported) -> None:
    """A bundle passed the gate and is published."""
