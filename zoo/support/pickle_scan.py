"""The imports of a pickle, read from its opcodes; nothing in it is executed, and torch is not imported."""

from __future__ import annotations

import io
import pickletools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from zoo.support.untrusted_files import open_regular

MAX_BYTES = 64 << 20
"""The maximum size of opcodes in bytes. A pickle of tensors has a few hundred for each tensor; values are stored
elsewhere."""
MAX_NAMES = 1000
MAX_STREAMS = 5
"""The number of consecutive pickles in torch's older format, before the values."""
TENSOR_NAMES = (
    "torch",
    "torch._utils",
    "torch._tensor",
    "torch.storage",
    "torch.nn.parameter",
    "torch.serialization",
    "collections",
    "numpy",
)
"""Modules that a pickle of tensors may import; from the last two, only the names that `is_of_tensors` allows."""


class NotAPickle(ValueError):
    """The file has no readable opcodes."""


def imports(path: Path) -> list[str]:
    """Return the ``module.name`` of each import of a pickle, without repeats, in order.

    Raises NotAPickle, or OSError if the file cannot be read.
    """
    found: dict[str, None] = {}
    with open_regular(path) as stream:
        try:
            for name in _names(io.BytesIO(_opcodes(stream))):
                found[name] = None
                if len(found) == MAX_NAMES:
                    break
        except OSError:
            raise
        except Exception as error:  # pickletools raises whatever bytes that are no pickle lead it to
            if not found:
                raise NotAPickle(f"{type(error).__name__}: {error}") from error
    return list(found)


def foreign(names: list[str]) -> list[str]:
    """Return those of ``names`` that tensors do not need."""
    return [name for name in names if not is_of_tensors(name)]


def is_of_tensors(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module == "collections":
        return attribute == "OrderedDict"
    return module in TENSOR_NAMES and module != "numpy"


def _opcodes(stream: IO[bytes]) -> bytes:
    """Return at most MAX_BYTES of the pickle: data.pkl of a torch archive, otherwise the beginning of the file."""
    if stream.read(4) == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(stream) as archive:
                member = next(
                    (info for info in archive.infolist() if info.filename.rpartition("/")[2] == "data.pkl"), None
                )
                if member is None:
                    raise NotAPickle("an archive without data.pkl")
                with archive.open(member) as content:
                    return content.read(MAX_BYTES)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise NotAPickle(str(error)) from error
    stream.seek(0)
    return stream.read(MAX_BYTES)


def _names(stream: IO[bytes]) -> Iterator[str]:
    for _ in range(MAX_STREAMS):
        position = stream.tell()
        if not stream.read(1):
            return
        stream.seek(position)
        yield from _names_of_one(stream)


def _names_of_one(stream: IO[bytes]) -> Iterator[str]:
    """GLOBAL names its target itself; STACK_GLOBAL takes the last two texts that were pushed, which may come from the
    memo."""
    texts: list[str] = ["", ""]
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".", 1)
        elif name == "STACK_GLOBAL":
            yield f"{texts[-2]}.{texts[-1]}"
        elif "UNICODE" in name or "STRING" in name:
            texts = [texts[-1], str(argument)]
        elif name == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[int(argument or 0)] = texts[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            texts = [texts[-1], memo.get(int(argument or 0), "")]
