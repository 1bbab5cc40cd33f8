"""Safe stdout and stderr: a closed pipe, a full device or a closed descriptor does not raise.

Later output is dropped, so that a training continues (its log.txt has every line). Lost output sets the exit code at
the end.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

LEFT = (errno.EPIPE, errno.EINVAL if os.name == "nt" else errno.EPIPE)
"""The error codes of writing to a closed pipe; Windows has another one."""


class SafeStream(io.RawIOBase):
    """The binary layer of a text stream. ``lost`` is the first error of writing; later output is dropped."""

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
        while (written := self._raw.write(data)) is None:  # the terminal is non-blocking and full
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
    """Replace sys.stdout and sys.stderr, and return their binary layers.

    Missing descriptors are opened on the null device; otherwise, the first opened file would get their number and all
    printed text.
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
    """Flush stdout, and return its first write error, or None."""
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
