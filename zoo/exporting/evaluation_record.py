"""What bundle.json records for `zoo evaluate`: target, task, statistics, metrics and dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from zoo import runtime
from zoo.api import Affine, Classes, Decision, Mask, MultiLabel, PixelArgmax, Sigmoid, Softmax, Target, Values
from zoo.config.item_options import default_task
from zoo.config.run_config import DatasetSection, RunConfig, Section, TrainConfig
from zoo.config.validation_errors import explain
from zoo.errors import CheckpointError, UnknownNameError, UsageError
from zoo.registry.lookup import Registry, options_model

if TYPE_CHECKING:
    from zoo.runs.load_model import LoadedModel

UNKNOWN = "unknown"
"""The dataset of a file that names none."""


class EvaluationRecord(BaseModel):
    """``task`` is the task that trained the network, with its options; the adaptations of the run are no longer needed.
    ``metrics`` are evaluated in addition to the task's. ``dataset`` is without the path of the user's own images."""

    model_config = ConfigDict(extra="ignore")

    target: Target
    task: Section
    statistics: dict[str, Any] = {}
    metrics: list[str | dict[str, dict[str, Any]]] = []
    eval_batch_size: int = Field(128, ge=1)
    dataset: DatasetSection
    seed: int = 0

    @property
    def config(self) -> RunConfig:
        """The configuration that describes the file as that of a run does."""
        train = TrainConfig(eval_batch_size=self.eval_batch_size, metrics=self.metrics)
        return RunConfig(dataset=self.dataset, task=self.task, train=train, seed=self.seed)


def record_of(registry: Registry, loaded: LoadedModel) -> dict[str, Any]:
    """Return the record of a model as JSON."""
    from zoo.runs.load_model import task_of

    config = loaded.config
    plan = task_of(registry, config, loaded.target)
    if plan.learned is None:  # a solver has no network to export
        return {}
    options = plan.learned_options(config.task).model_dump(mode="json")
    record = EvaluationRecord(
        target=loaded.target,
        task=Section(name=plan.learned.canonical, **options),
        statistics=dict(loaded.statistics),
        metrics=config.train.metrics,
        eval_batch_size=config.train.eval_batch_size,
        dataset=without_path(registry, config.dataset),
        seed=config.seed,
    )
    return record.model_dump(mode="json")


def without_path(registry: Registry, section: DatasetSection) -> DatasetSection:
    """Return the dataset without the path of the user's own images, which a bundle does not record.

    One that a bundle has all the same is not followed.
    """
    try:
        option = registry.dataset(section.name).spec.path_option
    except UnknownNameError:
        return section
    return section if option is None else DatasetSection.model_validate(section.model_dump(exclude={option}))


def read_record(registry: Registry, index: dict[str, Any]) -> EvaluationRecord | None:
    """Return the record in a bundle.json; None if it has none. Raises CheckpointError if it is damaged."""
    if not index.get("evaluation"):
        return None
    try:
        record = EvaluationRecord.model_validate(index["evaluation"])
    except ValidationError as error:
        problems = "; ".join(explain(error, EvaluationRecord)[:3])
        raise CheckpointError(
            f"the evaluation entry of {runtime.INDEX} is damaged: {problems}", fix="export it again"
        ) from error
    return record.model_copy(update={"dataset": without_path(registry, record.dataset)})


def assumed_record(registry: Registry, description: dict[str, Any]) -> tuple[EvaluationRecord, str]:
    """Return the record of a file that has only a description, and a sentence that says so: the target that its
    decision answers for, and the default task of such targets. Raises UsageError if the decision has no target."""
    decision = decision_in(description)
    target = _target_of(decision)
    if target is None:
        raise UsageError(
            f"the file does not record its target and its task, and its decision {decision.kind} does not imply them",
            fix="evaluate the run that it was exported from, or export it again",
        )
    task = default_task(registry, (target.kind,))
    provenance = description.get("provenance", {})
    dataset = provenance.get("dataset") if isinstance(provenance, dict) else None
    record = EvaluationRecord(
        target=target,
        task=Section(name=task.canonical, **options_model(task)().model_dump(mode="json")),
        dataset=DatasetSection(name=dataset if isinstance(dataset, str) else UNKNOWN),
    )
    return record, f"the file does not record its task; evaluated as task {task.spec.name}, the default for its targets"


def decision_in(description: dict[str, Any]) -> Decision:
    return TypeAdapter[Decision](Decision).validate_python(runtime.decision_of(description))


def _target_of(decision: Decision) -> Target | None:
    match decision:
        case Softmax():
            return Classes(names=decision.classes)
        case Sigmoid():
            return MultiLabel(names=decision.classes)
        case Affine():
            return Values(names=decision.names, units=decision.units)
        case PixelArgmax():
            return Mask(names=decision.classes)
        case _:
            return None
