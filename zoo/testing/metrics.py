"""Checks of metrics: built for every accepted kind of target, one finite number, the same in one batch or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.api import Mask, Metric, MultiLabel, Target, Values, target_names
from zoo.contract.targets import Classes
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import SAMPLES, dummy_target, dummy_targets

CLOSE = 1e-5
CUT = 5
"""The number of samples in the first of two batches."""


def metric_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    for kind in item.spec.accepts:
        target = dummy_target(kind)
        for check, text in guarded("build", _findings(item, target)):
            yield Finding(check, text if len(item.spec.accepts) == 1 else f"with {kind}: {text}")


def _findings(item: Item[Any], target: Target) -> Iterator[Finding]:
    build, options = load_object(item.spec.target, item), options_model(item)()
    metric = build(options, target)
    if not isinstance(metric, Metric):
        text = f"it returns a {type(metric).__name__} without update(preds, target) and compute()"
        yield Finding("build", text)
        return
    truths = dummy_targets(target, SAMPLES, np.random.RandomState(0))
    if truths is not None:
        make = partial(build, options, target)
        yield from guarded("value", _value_findings(make, target, torch.from_numpy(truths)))


def _value_findings(make: Callable[[], Metric], target: Target, truths: Tensor) -> Iterator[Finding]:
    """Compare the value for one batch with that for two batches of the same samples."""
    preds = _preds(target, truths)
    kept = preds.clone(), truths.clone()
    first, whole = make(), make()
    first.update(preds[:CUT], truths[:CUT])
    before: Any = first.compute()
    whole.update(preds, truths)
    value: Any = whole.compute()
    if not (torch.equal(preds, kept[0]) and torch.equal(truths, kept[1])):
        yield Finding("arguments", "update modifies its arguments")
        return
    if isinstance(value, Tensor) and value.numel() != 1:
        yield Finding("value", f"compute returns shape {tuple(value.shape)}, expected one number")
        return
    if not isinstance(value, Tensor | float | int) or not math.isfinite(float(value)):
        yield Finding("value", f"compute returns {value!r}, expected one finite number")
        return
    parts = make()
    parts.update(preds[:CUT], truths[:CUT])
    if not _close(float(parts.compute()), float(before)):
        yield Finding("batches", "a new metric still contains the samples of the previous one")
        return
    parts.update(preds[CUT:], truths[CUT:])
    other = float(parts.compute())
    if not _close(other, float(value)):
        text = (
            f"it is {float(value):.6g} for {SAMPLES} samples in one batch, but {other:.6g} for the same in two batches"
        )
        yield Finding("batches", text)


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= CLOSE * max(1.0, abs(other))


def _preds(target: Target, truths: Tensor) -> Tensor:
    """Return random predictions, in the form that the decision produces."""
    generator, width = torch.Generator().manual_seed(0), len(target_names(target))
    match target:
        case Classes():
            return torch.randn(SAMPLES, width, generator=generator).softmax(1)
        case MultiLabel():
            return torch.rand(SAMPLES, width, generator=generator)
        case Mask():
            return torch.randint(0, width, truths.shape, generator=generator)
        case Values():
            return truths + torch.randn(truths.shape, generator=generator)
        case _:
            return truths.float() + torch.randn(truths.shape, generator=generator)
