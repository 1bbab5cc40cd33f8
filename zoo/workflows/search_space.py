"""The search space of `zoo tune`: an interval or a list of values for each of some configuration keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.errors import UsageError, ZooError
from zoo.registry.lookup import registry
from zoo.runs.plan import RunPlan
from zoo.runs.resolve_config import merge, parse_assignment, resolve
from zoo.support.yaml_files import parse_yaml

EXPRESSION = re.compile(r"\s*(log|uniform|int|choice)\s*\((.*)\)\s*", re.DOTALL)
FORMS = "log(A, B), uniform(A, B), int(A, B) or choice(A, B, …)"
Scalar = bool | int | float | str | None
NO_HYPERPARAMETERS = {
    "seed": "the best seed says nothing about another run",
    "name": "it names the run directory",
    "recipe": "a recipe sets several keys; name another one instead",
    "device": "it does not change the result",
    "threads": "it does not change the result",
    "dataset.name": "trials are compared on one validation split",
    "dataset.classes": "trials are compared on one validation split",
    "dataset.val_fraction": "trials are compared on one validation split",
}
"""Keys that cannot be searched, with the reason."""


@dataclass(frozen=True)
class Interval:
    """Numbers from ``low`` to ``high``, both included; ``log`` are drawn uniformly on a logarithmic scale."""

    kind: Literal["log", "uniform", "int"]
    low: float
    high: float

    @property
    def corners(self) -> tuple[Scalar, ...]:
        return self.low, self.high

    def contains(self, value: Scalar) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    values: tuple[Scalar, ...]

    @property
    def corners(self) -> tuple[Scalar, ...]:
        return self.values

    def contains(self, value: Scalar) -> bool:
        return value in self.values


Space = Mapping[str, Interval | Choice]


def is_expression(text: Any) -> bool:
    return isinstance(text, str) and EXPRESSION.fullmatch(text) is not None


def parse_space(expressions: Mapping[str, str]) -> Space:
    """Parse ``{"train.lr": "log(1e-4, 1e-1)"}``. Raises UsageError for the first expression that is wrong."""
    if not expressions:
        raise UsageError("nothing is searched", fix="for example --set 'train.lr=log(1e-4, 1e-1)'")
    for key in expressions:
        if key in NO_HYPERPARAMETERS:
            raise UsageError(f"{key} cannot be searched: {NO_HYPERPARAMETERS[key]}", fix="set one value")
    return {key: _parse(key, text) for key, text in expressions.items()}


def _parse(key: str, text: str) -> Interval | Choice:
    where = f"--set {key}={text}"
    found = EXPRESSION.fullmatch(text)
    if found is None:
        raise UsageError("this is not a search space", where=where, fix=f"write {FORMS}")
    kind, inner = found[1], found[2]
    values = parse_yaml(f"[{inner}]", where=where)
    if kind == "choice":
        if len(values) < 2 or not all(isinstance(each, Scalar) for each in values) or len(set(values)) < len(values):
            raise UsageError("choice takes two or more different values", where=where, fix="for example choice(16, 32)")
        return Choice(tuple(values))
    number = int if kind == "int" else int | float
    if len(values) != 2 or not all(isinstance(each, number) and not isinstance(each, bool) for each in values):
        which = "whole numbers" if kind == "int" else "numbers"
        raise UsageError(f"{kind} takes two {which}", where=where, fix=f"for example {kind}(1, 8)")
    low, high = values
    if not low < high or abs(high) == float("inf") or abs(low) == float("inf"):
        raise UsageError(f"{low:g} is not below {high:g}", where=where, fix="write the lower number first")
    if kind == "log" and low <= 0:
        raise UsageError("a logarithmic scale starts above 0", where=where, fix="use uniform, or a positive number")
    return Interval(kind, low, high) if kind == "int" else Interval(kind, float(low), float(high))  # type: ignore[arg-type]


def with_params(overrides: Mapping[str, Any], params: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return overrides with the values of a trial."""
    merged = merge({}, overrides)
    for key, value in params.items():
        nested: Any = value
        for part in reversed(key.split(".")):
            nested = {part: nested}
        merge(merged, nested)
    return merged


def check_space(space: Space, name: str | None, file: Path | None, overrides: Mapping[str, Any]) -> RunPlan:
    """Resolve the configuration with each bound and each choice; return the plan of the first.

    Raises the error of the first value that the configuration does not accept.
    """
    first = {key: each.corners[0] for key, each in space.items()}
    plan = resolve(registry(), name, file=file, overrides=with_params(overrides, first))
    for key, each in space.items():
        parse_assignment(f"{key}=0")  # the form of the key
        for value in each.corners[1:]:
            try:
                resolve(registry(), name, file=file, overrides=with_params(overrides, {**first, key: value}))
            except ZooError as error:
                raise UsageError(
                    f"{key}={value} is not possible: {error.what}", fix=error.fix or "change the search space"
                ) from error
    return plan
