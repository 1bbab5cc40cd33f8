"""How a command ends: an error as one line on stderr, and the exit code. Imports no parser."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence

from zoo.cli.output import json_printed, say_json
from zoo.errors import StorageError, ZooError
from zoo.registry.core_commands import COMMANDS
from zoo.support.formatting import printable
from zoo.support.standard_streams import SafeStream, lost, reader_left

BROKEN_PIPE, INTERRUPTED = 128 + 13, 128 + 2
DISK_ERRORS = {
    errno.EIO,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
}


def path_line(error: Exception) -> str | None:
    """One line for a path that the operating system or pathlib refuses (too long, empty, no permission), or a disk that
    fails; else None."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return (
            f"cannot use this path: {error.strerror} ({str(error.filename)[:200]}); fix: check the path, or choose "
            "another place"
        )
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return (
            f"a file cannot be read or written: {error.strerror}; fix: check the disk, its free space and its "
            "permissions"
        )
    if isinstance(error, ValueError) and str(error).endswith(
        ("has an empty name", "embedded null byte", "null character in path")
    ):
        return "a path is empty, or no path of a file; fix: name a file"
    return None


def finish(code: int, stdout: SafeStream) -> int:
    """The exit code of a command that ended with ``code``: another one where it succeeded, but what it printed did not
    arrive."""
    fault = lost(stdout)
    if code != 0 or fault is None:
        return code
    if reader_left(fault):  # as in `zoo list | head`
        return BROKEN_PIPE
    return fail(
        f"cannot write (stdout): {fault.strerror}; fix: send the output somewhere else",
        StorageError.exit_code,
        fault,
    )


def usage_line(error: Exception, arguments: Sequence[str]) -> str | None:
    """One line for an error of the parser.

    (Known by its form: typer has its own copy of click since 0.26, and uses click before.)
    """
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        return None
    message = str(getattr(error, "message", "")) if getattr(error, "possibilities", None) else format_message()
    near = getattr(error, "possibilities", None)
    context = getattr(error, "ctx", None)
    command = [word for word in arguments[:1] if word in COMMANDS]
    path = context.command_path if context is not None else " ".join(["zoo", *command])
    fix = f"did you mean {' or '.join(near)}?" if near else f"see `{path} --help`"
    return f"{' '.join(message.split()).rstrip('.')}; fix: {fix}"


def fail(line: str, code: int, error: BaseException, *, debug: bool = False, as_json: bool = False) -> int:
    """Print an error as ``line`` on stderr, with ``as_json`` also as JSON on stdout if nothing is there yet."""
    if debug:
        print(printable("".join(traceback.format_exception(error)), lines=True), file=sys.stderr)
    lines = error.lines if isinstance(error, ZooError) else (line,)
    print("error: " + "\n".join(map(printable, lines)), file=sys.stderr)
    if as_json and not json_printed():
        say_json({"error": _facts(line, code, error)})
    return code


def _facts(line: str, code: int, error: BaseException) -> dict[str, object]:
    what, _, fix = line.partition("; fix: ")
    facts: dict[str, object] = {
        "type": type(error).__name__,
        "what": what,
        "where": None,
        "fix": fix or None,
        "details": [],
    }
    if isinstance(error, ZooError):
        where = None if error.where is None else str(error.where)
        facts |= {"what": error.what, "where": where, "fix": error.fix, "details": list(error.details)}
    return {**facts, "exit_code": code}
