"""The unfinished table of a long prediction: ``FILE.partial``, from which the prediction can be continued.

Its first line is JSON: what the table is made of (the model, the options). Then follows a block for each batch: a line
of JSON with the batch's key, size and CRC-32, and its rows in the format of the table. A block that was cut off, by a
crash or a full disk, is recognised and removed. When all batches are done, their rows are written to FILE in one step.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from zoo.errors import StorageError, UsageError
from zoo.support.atomic_files import refuse_device, replacement, storage_errors, sync_folder
from zoo.support.untrusted_files import check_regular, open_regular

KIND = "zoo predictions"
FORMAT = 1
LINE_LIMIT = 16 << 20
"""The maximum bytes of a line of JSON."""


class Block(NamedTuple):
    """A batch in the file: where its rows are, the number of values in a row, and which of its images failed."""

    start: int
    size: int
    values: int
    failed: tuple[int, ...]


class UnfinishedTable:
    """Collects the rows of batches in ``FILE.partial``, and publishes them as ``FILE``.

    ``facts`` describe what the rows depend on, by the names that messages use. The file is created with the first
    batch. With ``resume``, the batches of an existing one are kept; without, an existing one is an error.
    """

    def __init__(self, file: Path, facts: dict[str, Any], *, resume: bool) -> None:
        """Raises UsageError for an unfinished table of other facts, or without ``resume``, and StorageError."""
        self.file, self.path = file, file.with_name(f"{file.name}.partial")
        self._facts = json.loads(json.dumps({"kind": KIND, "format": FORMAT, **facts}))
        self._stream: IO[bytes] | None = None
        self.blocks: dict[str, Block] = {}
        _refuse_place(file)
        if os.path.lexists(self.path):
            if not resume:
                raise UsageError(
                    "an unfinished table of an earlier command exists",
                    where=self.path,
                    fix="add --resume to continue it, or remove it to start again",
                )
            with storage_errors(self.path):
                self._continue()

    def _continue(self) -> None:
        """Read what is there, and remove a block that was cut off."""
        with open_regular(self.path) as stream:
            first, end = _line(stream), stream.tell()
            if first is not None:
                self._check(first)
                for key, block in _blocks(stream):
                    self.blocks[key] = block
                    end = block.start + block.size
            elif end > LINE_LIMIT or not json.dumps(self._facts).encode().startswith(self.path.read_bytes()):
                raise self._foreign()
        if first is None:  # killed while it was created
            self.path.unlink()
            return
        check_regular(self.path)
        self._stream = self._locked(self.path.open("r+b", 0))
        self._stream.truncate(end)
        self._stream.seek(end)

    def _check(self, found: Any) -> None:
        """Raise UsageError if the file is of something else."""
        if not isinstance(found, dict) or (found.get("kind"), found.get("format")) != (KIND, FORMAT):
            raise self._foreign()
        names = [name for name in {**self._facts, **found} if found.get(name) != self._facts.get(name)]
        if names:
            had, has = (_shown(each.get(names[0])) for each in (found, self._facts))
            raise UsageError(
                f"the unfinished table was begun with another {names[0]}: {had}, not {has}",
                where=self.path,
                fix="repeat the command that began it, or remove it to start again",
            )

    def _foreign(self) -> UsageError:
        return UsageError("this is no unfinished table of zoo predict", where=self.path, fix="move it elsewhere")

    def add(self, key: str, rows: str, values: int, failed: Sequence[int]) -> None:
        """Append the rows of a batch. Raises StorageError."""
        content = rows.encode(errors="backslashreplace")
        facts = {"batch": key, "bytes": len(content), "crc": zlib.crc32(content), "values": values, "failed": [*failed]}
        with storage_errors(self.path):
            if self._stream is None:
                self._stream = self._locked(self.path.open("xb", 0))
                self._write(json.dumps(self._facts).encode() + b"\n")
            head = json.dumps(facts).encode() + b"\n"
            start = self._stream.tell() + len(head)
            self._write(head + content)
        self.blocks[key] = Block(start, len(content), values, tuple(failed))

    def _write(self, content: bytes) -> None:
        left = memoryview(content)
        while left and self._stream is not None:  # a disk that is nearly full takes a part
            left = left[self._stream.write(left) :]

    def _locked(self, stream: IO[bytes]) -> IO[bytes]:
        """Lock the file until it is closed, where the system can."""
        try:
            import fcntl
        except ImportError:
            return stream
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.close()
            raise StorageError(
                "another process is writing this table", where=self.path, fix="wait until it ends"
            ) from error
        except OSError:  # a file system without locks
            pass
        return stream

    def publish(self, keys: Sequence[str], header: Callable[[int], str]) -> None:
        """Write the rows of the batches, in the order of ``keys``, to the file in one step, and remove the unfinished
        table. ``header`` returns the first lines for the number of values in a row."""
        blocks = [self.blocks[key] for key in keys]
        count = next((block.values for block in blocks if block.size), 0)
        with replacement(self.file) as temporary, temporary.open("wb") as target:
            target.write(header(count).encode(errors="backslashreplace"))
            if self._stream is not None:
                with open_regular(self.path) as source:
                    for block in blocks:
                        source.seek(block.start)
                        target.write(source.read(block.size))
        if self._stream is not None:
            self.close()
            with suppress(OSError):
                self.path.unlink()
                sync_folder(self.path.parent)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _refuse_place(file: Path) -> None:
    """Raise before the work what writing the table would raise after it."""
    refuse_device(file)
    with storage_errors(file):
        if file.is_dir():
            raise IsADirectoryError(21, os.strerror(21))
        if not file.parent.is_dir():
            raise FileNotFoundError(2, os.strerror(2))


def _line(stream: IO[bytes]) -> Any:
    """The next line as JSON; None if it is incomplete or damaged."""
    line = stream.readline(LINE_LIMIT)
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return {}


def _blocks(stream: IO[bytes]) -> Iterator[tuple[str, Block]]:
    """Yield the complete blocks at the beginning of the rest of a file."""
    while isinstance(facts := _line(stream), dict):
        try:
            key, size, crc, values, failed = (facts[name] for name in ("batch", "bytes", "crc", "values", "failed"))
            start, content = stream.tell(), stream.read(size)
        except (LookupError, TypeError, ValueError):
            return
        if len(content) != size or zlib.crc32(content) != crc:
            return
        yield str(key), Block(start, size, int(values), tuple(map(int, failed)))


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)[:100]
