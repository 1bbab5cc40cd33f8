"""Every error the zoo raises on purpose, and the exit code each one ends the command with.

    ZooError                  1   a bug, or an error nobody classified
    ├── UsageError            2   the command line or the Python call is wrong
    │   ├── UnknownNameError  2   a name that nothing is registered under
    │   └── ConfigError       2   a configuration is wrong; carries every problem found
    ├── DataError             3   a dataset, an archive or an image
    ├── CheckpointError       4   a checkpoint or a weights file
    ├── ExportError           5   an export that could not be made, or not be verified
    ├── SetupError            6   device, provider, missing package
    │   └── PluginError       6   a plugin that is broken, in conflict or incompatible
    ├── StorageError          7   disk full, read-only, locked
    ├── DivergedError         8   the loss is no longer finite
    └── Interrupted 129/130/143   stopped by a signal, with a checkpoint left behind

A message is one line: what, (where), and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ZooError(Exception):
    """Base of the tree; ``what`` happened, ``where``, and the ``fix`` to try next.

    ``details`` are listed below that line, one a line.

    ``lines`` has the text as it is shown: none of them holds a line break of ours, so that one in a name can be
    escaped.
    """

    exit_code = 1
    usual_fix: str | None = None
    """Said where an error names no fix of its own."""

    def __init__(self, what: str, *, where: object = None, fix: str | None = None, details: Sequence[str] = ()) -> None:
        fix = self.usual_fix if fix is None else fix
        self.what, self.where, self.fix, self.details = what, where, fix, tuple(details)
        line = what if where is None else f"{what} ({where})"
        end = ":" if details else ""
        self.lines = (
            f"{line}{end}" if fix is None else f"{line}; fix: {fix}{end}",
            *(f"  - {each}" for each in details),
        )
        super().__init__("\n".join(self.lines))


class UsageError(ZooError):
    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing is registered under; the message proposes the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, fix: str | None = None) -> None:
        near = nearest(name, known)
        listing = "" if kind == "item" else f" {kind.rsplit(maxsplit=1)[-1]}s"
        advice = f"did you mean {' or '.join(near)}?" if near else f"see `zoo list{listing}`"
        super().__init__(f"no {kind} is called '{name}'", fix=fix or advice)


class ConfigError(UsageError):
    """A configuration that cannot be used; ``problems`` holds every one of its faults, a line each.

    A line may end with a fix of its own, after "; fix: ".
    """

    usual_fix = "see what can be set with `zoo info NAME`"

    def __init__(self, problems: list[str], *, where: object = None) -> None:
        self.problems = problems
        if len(problems) == 1:
            what, _, fix = problems[0].partition("; fix: ")
            super().__init__(what, where=where, fix=fix or None)
        else:
            place = "" if where is None else f" in {where}"
            super().__init__(f"{len(problems)} problems{place}", details=problems)


class DataError(ZooError):
    exit_code = 3


class CheckpointError(ZooError):
    exit_code = 4


class ExportError(ZooError):
    exit_code = 5
    usual_fix = "try another --opset; where that fails too, report the architecture and this line"


class SetupError(ZooError):
    exit_code = 6


class PluginError(SetupError):
    pass


class StorageError(ZooError):
    exit_code = 7


class DivergedError(ZooError):
    exit_code = 8


class Interrupted(ZooError):
    """A signal stopped the run; the exit code is 128 + its number."""

    def __init__(self, what: str, *, signum: int, where: object = None, fix: str | None = None) -> None:
        super().__init__(what, where=where, fix=fix)
        self.exit_code = 128 + signum


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """The ``count`` known names that look most like ``name``, best first; ties keep their order."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)
