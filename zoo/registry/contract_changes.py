"""The version of the contract that a plugin states, and what contract 2.0 renamed, for plugins that were written for
1.x: their error names the new name.

These tables are the one place for it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

ATTRIBUTE = "ZOO_API"
"""The attribute of a plugin's module that states the version of the contract it was written for."""

FIELDS = {
    ("ArchitectureSpec", "classes"): "num_outputs",
    ("ArchitectureSpec", "arguments"): "builder_options",
    ("DatasetSpec", "argument"): "path_option",
    ("DatasetSpec", "labelled"): 'targets (labelled=False is targets=("none",))',
}
"""Fields of specs: what each is called now."""

EVENTS = {
    "zoo_run_started": {"run": "event.run", "config": "event.config"},
    "zoo_epoch_ended": {"run": "event.run", "epoch": "event.epoch", "row": "event.metrics"},
    "zoo_run_ended": {"run": "event.run", "status": "event.status", "metrics": "event.metrics"},
    "zoo_exported": {"bundle": "event.bundle", "verification": "event.verification"},
}
"""Arguments of event hooks, which take one event now: where each value is."""

NAMES = {"Evaluation": "EvaluationResult", "Auxiliary": "Output(auxiliary=WEIGHT)"}
"""Names of `zoo.api`; looked at only where importing one failed."""


def renamed(error: BaseException) -> str | None:
    """One line that names what was renamed since contract 1, where that is why a plugin cannot be loaded."""
    if isinstance(error, ValidationError):
        found = [(error.title, str(fault["loc"][-1])) for fault in error.errors() if fault["type"] == "extra_forbidden"]
        lines = [f"{spec}.{field} is now {FIELDS[spec, field]}" for spec, field in found if (spec, field) in FIELDS]
    elif isinstance(error, ImportError):
        lines = [f"zoo.api.{name} is now {NAMES[name]}" for name in _not_imported(error) if name in NAMES]
    else:
        return None
    return "; ".join(lines) or None


def _not_imported(error: ImportError) -> list[str]:
    return re.findall(r"cannot import name '(\w+)' from 'zoo\.api'", str(error))


def old_arguments(hook: str, implementation: Callable[..., Any]) -> str | None:
    """One line where a hook of an event takes the arguments that it had in contract 1."""
    values = EVENTS.get(hook, {})
    old = [name for name in inspect.signature(implementation).parameters if name in values]
    if not old:
        return None
    return f"{hook} takes one argument, event: {', '.join(f'{name} is now {values[name]}' for name in old)}"


def incompatibility(stated: object, ours: str, plugin: str, core: str) -> str | None:
    """Why a plugin that states this version cannot be used with contract ``ours``, and which of the two distributions
    to upgrade; None where it can.

    Raises ValueError where it is no version.
    """
    if not isinstance(stated, str) or not re.fullmatch(r"\d{1,4}\.\d{1,4}", stated):
        raise ValueError(f'{ATTRIBUTE} is {stated!r:.40}, where text like "{ours}" is needed')
    (major, minor), (our_major, our_minor) = _numbers(stated), _numbers(ours)
    if major == our_major and minor <= our_minor:
        return None
    what = f"it needs plugin API {stated}, and the installed {core} has {ours}"
    if major < our_major:
        return f"{what}; fix: upgrade {plugin} to a version for plugin API {our_major}.x"
    return f"{what}; fix: upgrade {core}"


def _numbers(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)
