"""The tasks: what is learned, by which loss, evaluated how, shown how; and what a network keeps of what it knows."""

from __future__ import annotations

from zoo.api import AdaptationSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="classification",
            summary="Train every parameter to name the class of an image (cross-entropy)",
            target="zoo_tasks.classification:Classification",
            options="zoo_tasks.options:ClassificationOptions",
            accepts=("classes",),
            default=True,
        ),
        TaskSpec(
            name="transfer",
            summary="Keep what trained weights know and teach the last layers something new",
            adaptations=("transfer",),
        ),
    ]


@hookimpl
def zoo_register_adaptations() -> list[AdaptationSpec]:
    return [
        AdaptationSpec(
            name="transfer",
            summary="Freeze the layers that keep what trained weights know; the others learn, the head anew",
            source="J. Yosinski et al.: How transferable are features in deep neural networks? (2014)",
            target="zoo_tasks.transfer:Transfer",
            options="zoo_tasks.options:TransferOptions",
            needs_weights=True,
            new_head=True,
        ),
        AdaptationSpec(
            name="lora",
            summary="Keep trained weights and learn a correction of low rank beside each layer, and a new head",
            source="E. Hu et al.: LoRA: low-rank adaptation of large language models (2021)",
            target="zoo_tasks.lora:Lora",
            options="zoo_tasks.options:LoraOptions",
            needs_weights=True,
            new_head=True,
        ),
    ]
