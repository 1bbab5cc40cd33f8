"""First-party tasks and adaptations: classification, multi-label, regression, segmentation, retrieval, transfer
learning, linear probes, features and LoRA."""

from __future__ import annotations

from zoo.api import AdaptationSpec, TaskSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            name="classification",
            summary="Image classification with cross-entropy; all parameters are trained",
            target="zoo_tasks.classification:Classification",
            options="zoo_tasks.options:ClassificationOptions",
            accepts=("classes",),
            default=True,
        ),
        TaskSpec(
            name="multi_label",
            summary="Multi-label classification with binary cross-entropy or asymmetric loss: any number of labels",
            source="T. Ridnik et al.: Asymmetric loss for multi-label classification (2021)",
            target="zoo_tasks.multi_label:MultiLabelClassification",
            options="zoo_tasks.label_options:MultiLabelOptions",
            accepts=("multi_label",),
            default=True,
        ),
        TaskSpec(
            name="regression",
            summary="Regression with L2, L1, Huber or quantile loss: numbers in their units",
            source="R. Koenker, G. Bassett: Regression quantiles (1978); P. Huber: Robust estimation (1964)",
            target="zoo_tasks.regression:Regression",
            options="zoo_tasks.label_options:RegressionOptions",
            accepts=("values",),
            default=True,
        ),
        TaskSpec(
            name="segmentation",
            summary="Semantic segmentation with cross-entropy, Dice or focal loss: a class for each pixel",
            source="J. Long, E. Shelhamer, T. Darrell: Fully convolutional networks for semantic segmentation (2015)",
            target="zoo_tasks.segmentation:Segmentation",
            options="zoo_tasks.segmentation_options:SegmentationOptions",
            accepts=("mask",),
            needs=("map",),
            default=True,
        ),
        TaskSpec(
            name="transfer",
            summary="Transfer learning: train the last layers (or all) of a pretrained network, with a new head",
            adaptations=("transfer",),
        ),
        TaskSpec(
            name="retrieval",
            summary="Image retrieval: a vector for each image, similar for images of the same class",
            source="P. Khosla et al.: Supervised contrastive learning (2020)",
            target="zoo_tasks.retrieval:Retrieval",
            options="zoo_tasks.options:RetrievalOptions",
            accepts=("classes",),
        ),
    ]


@hookimpl
def zoo_register_adaptations() -> list[AdaptationSpec]:
    return [
        AdaptationSpec(
            name="transfer",
            summary="Train the last layers (or all) of a pretrained network, with a new head; the other layers are "
            "frozen",
            source="J. Yosinski et al.: How transferable are features in deep neural networks? (2014)",
            target="zoo_tasks.transfer:Transfer",
            options="zoo_tasks.options:TransferOptions",
            needs_weights=True,
            new_head=True,
        ),
        AdaptationSpec(
            name="features",
            summary="Remove the head: the network's output is its features, and nothing is trained",
            target="zoo_tasks.features:Features",
            needs_weights=True,
            new_head=True,
        ),
        AdaptationSpec(
            name="linear_probe",
            summary="Linear probe: logistic or ridge regression, and nearest neighbours, on frozen features",
            source="G. Alain, Y. Bengio: Understanding intermediate layers using linear classifier probes (2016)",
            target="zoo_tasks.linear_probe:LinearProbe",
            options="zoo_tasks.options:LinearProbeOptions",
            needs_weights=True,
            new_head=True,
            computes="the features of the training images, and the regression",
        ),
        AdaptationSpec(
            name="lora",
            summary="LoRA: freeze pretrained weights, and train a low-rank update of each layer and a new head",
            source="E. Hu et al.: LoRA: low-rank adaptation of large language models (2021)",
            target="zoo_tasks.lora:Lora",
            options="zoo_tasks.options:LoraOptions",
            needs_weights=True,
            new_head=True,
        ),
    ]
