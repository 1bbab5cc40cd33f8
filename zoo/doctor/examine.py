"""`zoo doctor`: independent checks, each with the result ok, info, warning or problem, and a fix. None uses the "
"network."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from itertools import groupby

from zoo.doctor import devices, onnxruntime_providers, packages, places, plugins
from zoo.doctor.finding import Check, Finding, Level, worst
from zoo.errors import ZooError

CHECKS: tuple[tuple[str, Check], ...] = (
    ("versions", packages.interpreter),
    ("versions", packages.core),
    ("versions", packages.requirements),
    ("versions", packages.rival_runtimes),
    ("devices", devices.processor),
    ("devices", devices.memory),
    ("devices", devices.cuda),
    ("devices", devices.mps),
    ("devices", devices.compiler),
    ("onnxruntime", onnxruntime_providers.providers),
    ("places", places.folders),
    ("places", places.cached),
    ("places", places.network),
    ("places", places.environment),
    ("plugins", plugins.states),
    ("plugins", plugins.implementations),
)
"""The checks, with the topics under which they are listed."""


def examine(checks: Iterable[tuple[str, Check]] = CHECKS) -> Iterator[tuple[str, list[Finding]]]:
    """Yield each topic with its findings.

    A check that raises is reported as a problem; the others still run.
    """
    for topic, group in groupby(checks, key=lambda pair: pair[0]):
        yield topic, [finding for _, check in group for finding in _carry_out(check)]


def _carry_out(check: Check) -> list[Finding]:
    findings: list[Finding] = []
    try:
        with redirect_stdout(io.StringIO()):  # what is imported may print, and stdout is the report's
            findings.extend(check())  # what it found before it failed is kept
    except KeyboardInterrupt:
        raise
    except ZooError as error:
        where = "" if error.where is None else f" ({error.where})"
        findings.append(Finding(_name(check), "problem", f"{error.what}{where}", error.fix))
    except BaseException as error:  # importing a damaged package may raise anything, and even exit
        said = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        findings.append(
            Finding(
                _name(check),
                "problem",
                f"could not be examined: {said}",
                fix="reinstall what it names; else report it as a bug",
            )
        )
    return findings


def _name(check: Check) -> str:
    return check.__name__.replace("_", " ")


__all__ = ["CHECKS", "Finding", "Level", "examine", "worst"]
