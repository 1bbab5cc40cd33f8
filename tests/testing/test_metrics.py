"""The conformance kit on metrics: each way to break their contract is named by its check."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

SPEC = """
from zoo.api import MetricSpec, hookimpl

@hookimpl
def zoo_register_metrics():
    return [MetricSpec(name="share", summary="x", target="zoo_odd_parts:build"{more})]
"""
METRIC = """
import torch

class Share:
    def __init__(self):
        self.sum = self.count = 0

    def update(self, preds, target):
        {update}
        self.sum += float(preds.max())
        self.count += len(target)

    def compute(self):
        return {result}

ONE = Share()

def build(options, target):
    return {build}
"""


def metric(
    update: str = "preds = preds.flatten(1).max(1).values.sum()", result: str = "self.sum / self.count",
    build: str = "Share()",
) -> str:  # fmt: skip
    return METRIC.format(update=update, result=result, build=build)


@pytest.mark.parametrize(
    "kinds", ["('classes',)", "('classes', 'multi_label', 'values', 'mask', 'opaque')"], ids=["one", "every"]
)
def test_a_sound_metric_has_no_faults(odd: Odd, kinds: str) -> None:
    assert odd(SPEC.format(more=f", accepts={kinds}"), metric()) == []


@pytest.mark.parametrize(
    ("parts", "check", "fault"),
    [
        (metric(build="3"), "build", "it returns a int without update(preds, target) and compute()"),
        (metric(build="1 / 0"), "build", "raised ZeroDivisionError"),
        (metric(update="raise ValueError('shape')"), "value", "raised ValueError: shape"),
        (metric(result="float('nan')"), "value", "compute returns nan, expected one finite number"),
        (metric(result="torch.zeros(3)"), "value", "compute returns shape (3,), expected one number"),
        (metric(result="None"), "value", "compute returns None, expected one finite number"),
        (metric(update="pass"), "batches", "for 12 samples in one batch, but "),
        (metric(build="ONE"), "batches", "still contains the samples of the previous one"),
        (
            metric(update="preds.mul_(2); preds = preds.flatten(1).max(1).values.sum()"),
            "arguments",
            "update modifies its arguments",
        ),
        (metric(build="(torch.set_default_dtype(torch.float64), Share())[1]"), "global_state", "torch's default dtype"),
    ],
)
def test_each_fault_is_named(odd: Odd, parts: str, check: str, fault: str) -> None:
    found = odd(SPEC.format(more=""), parts)
    assert any(fault in line and line.check == f"metric/share/{check}" for line in found), found


def test_a_fault_says_the_kind_of_target_it_was_found_with(odd: Odd) -> None:
    parts = metric(update="preds = preds.amax(1).sum() if preds.ndim == 2 else None")
    found = odd(SPEC.format(more=", accepts=('classes', 'mask')"), parts)
    assert [line.check for line in found] == ["metric/share/value"] and "with mask: raised" in found[0], found
