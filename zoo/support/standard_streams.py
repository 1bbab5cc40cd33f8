"""The process's stdout and stderr, made safe to write to: a reader that left, a full device or a closed descriptor
raises nothing.

What is written from then on is dropped, so that a training goes on (its log.txt has every line); what was lost sets the
exit code in the end.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

LEFT = (errno.EPIPE, errno.EINVAL if os.name == "nt" else errno.EPIPE)
"""What writing to a pipe says when nobody reads it any more; Windows says something else."""


class SafeStream(io.RawIOBase):
    """The bytes below a text stream. ``lost`` is the first error of writing; nothing is written after it."""

    def __init__(self, raw: Any) -> None:
        self._raw, self.lost = raw, None  # type: tuple[Any, OSError | None]

    def write(self, data: Any) -> int:
        if self.lost is None:
            try:
                return self._write(data)
            except OSError as error:
                self.lost = error
        return len(data)

    def _write(self, data: Any) -> int:
        while (written := self._raw.write(data)) is None:  # somebody set the terminal to non-blocking, and it is full
            select.select([], [self.fileno()], [])
        return int(written)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        try:
            return bool(self._raw.isatty())
        except OSError:
            return False


def protect() -> tuple[SafeStream, SafeStream]:
    """Replace sys.stdout and sys.stderr; returns what is below them.

    A descriptor that the process was started without is filled, lest the first file that is opened takes its number and
    gets what is printed.
    """
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:  # writing to such a one fails, as it should
        pass
    os.close(descriptor)
    below = []
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: Any = getattr(sys, name)
        if stream is None:  # its descriptor was closed
            safe = SafeStream(io.FileIO(number, "w", closefd=False))
            text = io.TextIOWrapper(io.BufferedWriter(safe), "utf-8")
        else:
            safe = SafeStream(getattr(stream.buffer, "raw", stream.buffer))
            unbuffered = not hasattr(stream.buffer, "raw")  # python -u
            text = io.TextIOWrapper(safe if unbuffered else io.BufferedWriter(safe), stream.encoding, stream.errors)  # type: ignore[arg-type]
            text.reconfigure(line_buffering=stream.line_buffering, write_through=stream.write_through)
        setattr(sys, name, text)
        below.append(safe)
    return below[0], below[1]


def lost(stdout: SafeStream) -> OSError | None:
    """What went wrong in writing to stdout, once all of it has been tried."""
    sys.stdout.flush()
    return stdout.lost


def reader_left(error: OSError) -> bool:
    return error.errno in LEFT


def encodable(text: str, stream: TextIO) -> bool:
    """Whether a stream's encoding has every character of a text: cp1252, which Windows uses for pipes, lacks most."""
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
