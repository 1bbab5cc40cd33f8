"""The content of ``run.json``, and the fields of it that never change."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from zoo.api import Decision, ReportItem, Target
from zoo.contract.targets import class_names
from zoo.data.preprocessing import Preprocessing
from zoo.support.checksummed_json import digest_of_json

Status = Literal["running", "finished", "interrupted", "failed"]


class Record(BaseModel):
    """``run.json``: what is needed to verify a run, and to rebuild its model without data or network access."""

    model_config = ConfigDict(extra="forbid")

    id: str
    status: Status
    created: str
    ended: str | None = None
    seconds: float | None = None
    label: str
    architecture: str | None
    dataset: str
    task: str
    target: Target
    preprocessing: Preprocessing
    statistics: dict[str, Any] = {}
    """The task's statistics of the train split."""
    adaptations: list[dict[str, Any]] = []
    """The description that each adaptation returned, in order."""
    solution: dict[str, Any] | None = None
    """The plan that a solver returned."""
    decision: Decision | None = None
    """The decision, once it has been fitted."""
    parameters: int | None = None
    trainable: int | None = None
    macs: int | None = None
    samples: dict[str, int] = {}
    fingerprint: str
    python: dict[str, str] = {}
    """What was passed from Python, by kind of component: a reference, or the name of a class (see
    `zoo.runs.python_objects`)."""
    ancestry: list[dict[str, Any]] = []
    """What the network descends from (see `zoo.runs.ancestry`)."""
    notes: list[str] = []
    device: dict[str, Any] = {}
    versions: dict[str, str] = {}
    plugins: dict[str, str] = {}
    git_commit: str | None = None
    results: dict[str, dict[str, float]] = {}
    """Metrics by split."""
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    """The 95 % intervals of metrics over the samples, by split."""
    resumed: list[dict[str, int]] = []
    """Where the training was resumed: the ``step`` and the number of the ``epoch`` that was continued, with its
    ``batches`` that were done before."""
    checkpoint: str | None = None
    """The checkpoint that the results come from."""
    report_items: list[ReportItem] = []
    """The items of the report, in order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names; empty for other targets."""
        return class_names(self.target)


BOUND = (
    "id",
    "created",
    "label",
    "architecture",
    "dataset",
    "task",
    "target",
    "preprocessing",
    "statistics",
    "adaptations",
    "solution",
    "samples",
    "fingerprint",
    "ancestry",
    "python",
)
"""The fields of a record that never change, including all that rebuild the model."""


def bound(record: Record) -> dict[str, str]:
    """Return a digest of each `BOUND` field. Fields and nested options with their default value are left out.

    A later zoo, whose records have more fields, therefore computes the same digests.
    """
    fields = record.model_dump(mode="json", include=set(BOUND), exclude_defaults=True)
    fields["target"] = {
        **fields["target"],
        "kind": record.target.kind,
    }  # kind is the default of each class, and would be left out
    return {name: digest_of_json(value) for name, value in fields.items()}
