"""The plugin API: the specs that a plugin registers, and the base classes and protocols that it implements.

This module never imports torch or numpy, and a plugin's ``__init__`` must not either: a spec names its implementation
as ``"module:attribute"``, which is imported on first use. ``zoo.hookspecs`` lists the hooks; ``docs/hooks.md`` explains
both. Validators are built on first use (``defer_build``), which keeps `zoo list` fast.

Versioning: an addition raises the minor number of `VERSION`. A removal is announced one minor version ahead and raises
the major number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.support.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from zoo.contract.augmentation import Augmentation
    from zoo.contract.base import JSON, Options, hookimpl
    from zoo.contract.data import Batch, Dataset, DatasetStore, DataView, Part, PartView, SampleSource, Split
    from zoo.contract.decisions import Affine, Decision, Embedding, PixelArgmax, Raw, Sigmoid, Softmax
    from zoo.contract.events import (
        CheckpointWritten,
        EpochEnded,
        Evaluated,
        Event,
        Exported,
        RunEnded,
        RunStarted,
        StepLogged,
    )
    from zoo.contract.export import MAIN_INPUT, Exporter, ExportJob, FileContents, FileFacts, Runner
    from zoo.contract.families import Family
    from zoo.contract.specs import (
        AdaptationSpec,
        ArchitectureSpec,
        AugmentationSpec,
        Buildable,
        CommandSpec,
        DatasetSpec,
        Expected,
        ExporterSpec,
        FamilySpec,
        FileSpec,
        MetricSpec,
        RecipeSpec,
        Spec,
        TaskSpec,
        WeightsSpec,
    )
    from zoo.contract.targets import (
        FEATURES,
        MAIN_OUTPUT,
        Classes,
        Mask,
        MultiLabel,
        NoTarget,
        Opaque,
        Output,
        OutputKind,
        Outputs,
        Target,
        TargetKind,
        Values,
        target_names,
    )
    from zoo.contract.tasks import (
        Adaptation,
        AdaptContext,
        ComputeFeatures,
        Evaluate,
        EvaluationResult,
        Evaluator,
        Loss,
        Metric,
        Monitor,
        ReportItem,
        Solver,
        Task,
        Teacher,
    )

_NAMES = {
    "zoo.contract.augmentation": "Augmentation",
    "zoo.contract.base": "JSON Options hookimpl",
    "zoo.contract.data": "Batch Dataset DatasetStore DataView Part PartView SampleSource Split",
    "zoo.contract.decisions": "Affine Decision Embedding PixelArgmax Raw Sigmoid Softmax",
    "zoo.contract.events": "CheckpointWritten EpochEnded Evaluated Event Exported RunEnded RunStarted StepLogged",
    "zoo.contract.export": "MAIN_INPUT Exporter ExportJob FileContents FileFacts Runner",
    "zoo.contract.families": "Family",
    "zoo.contract.specs": (
        "AdaptationSpec ArchitectureSpec AugmentationSpec Buildable CommandSpec DatasetSpec Expected "
        "ExporterSpec FamilySpec FileSpec MetricSpec RecipeSpec Spec TaskSpec WeightsSpec"
    ),
    "zoo.contract.targets": (
        "FEATURES MAIN_OUTPUT Classes Mask MultiLabel NoTarget Opaque Output OutputKind Outputs Target "
        "TargetKind Values target_names"
    ),
    "zoo.contract.tasks": (
        "Adaptation AdaptContext ComputeFeatures Evaluate EvaluationResult Evaluator Loss Metric Monitor ReportItem "
        "Solver Task Teacher"
    ),
}
"""The names of each module. A module is imported when one of its names is first used; `zoo list` imports only specs."""

__all__ = [
    "FEATURES",
    "JSON",
    "MAIN_INPUT",
    "MAIN_OUTPUT",
    "VERSION",
    "AdaptContext",
    "Adaptation",
    "AdaptationSpec",
    "Affine",
    "ArchitectureSpec",
    "Augmentation",
    "AugmentationSpec",
    "Batch",
    "Buildable",
    "CheckpointWritten",
    "Classes",
    "CommandSpec",
    "ComputeFeatures",
    "DataView",
    "Dataset",
    "DatasetSpec",
    "DatasetStore",
    "Decision",
    "Embedding",
    "EpochEnded",
    "Evaluate",
    "Evaluated",
    "EvaluationResult",
    "Evaluator",
    "Event",
    "Expected",
    "ExportJob",
    "Exported",
    "Exporter",
    "ExporterSpec",
    "Family",
    "FamilySpec",
    "FileContents",
    "FileFacts",
    "FileSpec",
    "Loss",
    "Mask",
    "Metric",
    "MetricSpec",
    "Monitor",
    "MultiLabel",
    "NoTarget",
    "Opaque",
    "Options",
    "Output",
    "OutputKind",
    "Outputs",
    "Part",
    "PartView",
    "PixelArgmax",
    "Raw",
    "RecipeSpec",
    "ReportItem",
    "RunEnded",
    "RunStarted",
    "Runner",
    "SampleSource",
    "Sigmoid",
    "Softmax",
    "Solver",
    "Spec",
    "Split",
    "StepLogged",
    "Target",
    "TargetKind",
    "Task",
    "TaskSpec",
    "Teacher",
    "Values",
    "WeightsSpec",
    "hookimpl",
    "target_names",
]

VERSION = "2.0"

__getattr__, __dir__ = lazy_attributes(
    __name__, {name: f"{module}:{name}" for module, names in _NAMES.items() for name in names.split()}
)
