"""The tasks: what is trained, by which loss, judged how, shown how."""

from __future__ import annotations

from zoo.api import TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="classification",
            summary="Train every parameter to name the class of a picture (cross-entropy)",
            target="zoo_tasks.classification:build",
            options="zoo_tasks.options:ClassificationOptions",
            default=True,
        ),
        TaskSpec(
            name="transfer",
            summary="Keep what trained weights know and teach the last layers new classes",
            target="zoo_tasks.transfer:build",
            options="zoo_tasks.options:TransferOptions",
            needs_weights=True,
        ),
    ]
