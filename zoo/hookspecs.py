"""All plugin hooks. Every hook is optional; mark an implementation with `zoo.api.hookimpl`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:  # pluggy needs only the hooks' names and arguments, so the types are not imported at run time
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
# Registration hooks: called once, when the plugin is discovered. `zoo.testing.check_plugin` fails if they import
# torch.


@hookspec
def zoo_register_architectures() -> Sequence[ArchitectureSpec]:
    """Return the architectures of this plugin."""


@hookspec
def zoo_register_families() -> Sequence[FamilySpec]:
    """Return libraries of architectures (timm, for example) whose members are described on demand."""


@hookspec
def zoo_register_datasets() -> Sequence[DatasetSpec]:
    """Return the datasets of this plugin."""


@hookspec
def zoo_register_tasks() -> Sequence[TaskSpec]:
    """Return the tasks of this plugin: loss, evaluation and decision rule."""


@hookspec
def zoo_register_adaptations() -> Sequence[AdaptationSpec]:
    """Return adaptations: changes to a network before training, under any task."""


@hookspec
def zoo_register_recipes() -> Sequence[RecipeSpec]:
    """Return recipes: named combinations of architecture, dataset, task and configuration."""


@hookspec
def zoo_register_exporters() -> Sequence[ExporterSpec]:
    """Return exporters: formats for deployment."""


@hookspec
def zoo_register_metrics() -> Sequence[MetricSpec]:
    """Return metrics for `train.metrics`."""


@hookspec
def zoo_register_augmentations() -> Sequence[AugmentationSpec]:
    """Return augmentations for `train.augment`."""


@hookspec
def zoo_register_commands() -> Sequence[CommandSpec]:
    """Return the plugin's command group, named after the plugin's namespace."""


# Events, for experiment trackers. A hook receives a read-only copy and cannot change the run. If a hook raises, zoo
# reports it once per run and continues.


@hookspec
def zoo_run_started(event: RunStarted) -> None:
    """Called when the run's folder exists and its configuration is resolved."""


@hookspec
def zoo_step_logged(event: StepLogged) -> None:
    """Called when the loss of a step is logged: at the first step, then every ``train.log_steps`` steps."""


@hookspec
def zoo_epoch_ended(event: EpochEnded) -> None:
    """Called at the end of an epoch, after the evaluation on the validation split if there is one."""


@hookspec
def zoo_evaluated(event: Evaluated) -> None:
    """Called when the trained model was evaluated on a split."""


@hookspec
def zoo_checkpoint_written(event: CheckpointWritten) -> None:
    """Called when a checkpoint was written to disk."""


@hookspec
def zoo_run_ended(event: RunEnded) -> None:
    """Called when the run finished, was interrupted or failed."""


@hookspec
def zoo_exported(event: Exported) -> None:
    """Called when an exported bundle was verified and published."""
