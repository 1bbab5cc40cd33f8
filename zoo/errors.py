"""The exceptions that zoo raises, with the exit code of each.

    ZooError                  1   a bug, or an unclassified error
    ├── UsageError            2   the command line or the Python call is wrong
    │   ├── UnknownNameError  2   an unknown name
    │   └── ConfigError       2   a configuration is wrong; holds every problem found
    ├── DataError             3   a dataset, an archive or an image
    ├── CheckpointError       4   a checkpoint or a weights file
    ├── ExportError           5   an export that failed, or failed its verification
    ├── SetupError            6   device, provider, missing package
    │   ├── OutOfMemory       6   training needs more memory than there is
    │   └── PluginError       6   a broken, conflicting or incompatible plugin
    ├── StorageError          7   disk full, read-only, locked
    ├── DivergedError         8   the loss is not finite
    └── Interrupted 129/130/143   stopped by a signal, after writing a checkpoint

A message is one line: what is wrong (where); how to fix it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class ZooError(Exception):
    """Base class. ``what`` is wrong, ``where``, and the ``fix`` to try next.

    ``details`` are printed below that line, one per line. ``lines`` holds the message as it is printed. A line contains
    no line break of zoo's own, so that a line break in a file name can be escaped.
    """

    exit_code = 1
    usual_fix: str | None = None
    """The fix of an error that is raised without one."""

    def __init__(self, what: str, *, where: object = None, fix: str | None = None, details: Sequence[str] = ()) -> None:
        self.rewrite(what, where, self.usual_fix if fix is None else fix, details)

    def rewrite(self, what: str, where: object, fix: str | None, details: Sequence[str] = ()) -> None:
        """Replace what the error says."""
        self.what, self.where, self.fix, self.details = what, where, fix, tuple(details)
        line = what if where is None else f"{what} ({where})"
        end = ":" if details else ""
        self.lines = (
            f"{line}{end}" if fix is None else f"{line}; fix: {fix}{end}",
            *(f"  - {each}" for each in details),
        )
        self.args = ("\n".join(self.lines),)


class UsageError(ZooError):
    exit_code = 2


class UnknownNameError(UsageError):
    """An unknown name; the message suggests similar ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, fix: str | None = None) -> None:
        near = nearest(name, known)
        listing = "" if kind == "item" else f" {kind.rsplit(maxsplit=1)[-1]}s"
        advice = f"did you mean {' or '.join(near)}?" if near else f"see `zoo list{listing}`"
        super().__init__(f"no {kind} is called '{name}'", fix=fix or advice)


class ConfigError(UsageError):
    """An invalid configuration. ``problems`` lists every problem, one per line.

    A line may end with its own fix, after "; fix: ".
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
    usual_fix = "report the architecture and this line"


class SetupError(ZooError):
    exit_code = 6


OWN_CODE = "your own code"
"""Stands in place of a distribution for what the caller's own process registered."""


def report_to(*distributions: str) -> str:
    """Return the fix of a fault in a plugin; without ``distributions``, for code that does not know the plugin."""
    if distributions == (OWN_CODE,):
        return "correct the code that you passed or registered"
    return f"report it to the authors of {' or '.join(dict.fromkeys(distributions)) or 'the plugin'}"


class PluginError(SetupError):
    usual_fix = report_to()


class OutOfMemory(SetupError):
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
    """Return up to ``count`` known names that are similar to ``name``, most similar first; ties keep their order."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)
