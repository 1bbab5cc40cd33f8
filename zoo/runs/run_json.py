"""What ``run.json`` holds, and which of it never changes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from zoo.api import Decision, ReportItem, Target
from zoo.contract.targets import class_names
from zoo.data.preprocessing import Preprocessing
from zoo.support.checksummed_json import digest_of_json

Status = Literal["running", "finished", "interrupted", "failed"]


class Record(BaseModel):
    """``run.json``: what is needed to trust a run, and to rebuild its model with no data and no network."""

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
    """Of the train split, as the task computed them."""
    adaptations: list[dict[str, Any]] = []
    """What each adaptation did to the network, in their order."""
    solution: dict[str, Any] | None = None
    """What a solver solved."""
    decision: Decision | None = None
    """How outputs become an answer, once it has been fitted."""
    parameters: int | None = None
    trainable: int | None = None
    macs: int | None = None
    samples: dict[str, int] = {}
    fingerprint: str
    notes: list[str] = []
    device: dict[str, Any] = {}
    versions: dict[str, str] = {}
    plugins: dict[str, str] = {}
    git_commit: str | None = None
    results: dict[str, dict[str, float]] = {}
    """Metrics by part."""
    checkpoint: str | None = None
    """The checkpoint that the results are of."""
    report_items: list[ReportItem] = []
    """What its page shows, in this order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty where the targets are others."""
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
)
"""Fields of a record that never change. What rebuilds the model is among them."""


def bound(record: Record) -> dict[str, str]:
    """A digest of each of the `BOUND` fields that has not its default; nor do options within one count that have
    theirs.

    So a later zoo, whose records have more fields, finds the same digests.
    """
    fields = record.model_dump(mode="json", include=set(BOUND), exclude_defaults=True)
    fields["target"] = {**fields["target"], "kind": record.target.kind}  # of each class its default, which is left out
    return {name: digest_of_json(value) for name, value in fields.items()}
