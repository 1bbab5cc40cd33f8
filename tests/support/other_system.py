"""Run commands of zoo on a system that has less than this one, and refuses more: `python other_system.py COMMANDS OUT`.

COMMANDS is a JSON list of lists of words; their exit codes are written to the file OUT.

What is taken away or refused is what Windows lacks or refuses, as far as Python can imitate it on Linux:

- modules: fcntl, resource, pwd, grp, termios, tty, pty
- functions and flags of os and signal: fork, sync, fdatasync, O_DIRECTORY, O_NOFOLLOW, SIGKILL, SIGHUP and others
- links of both kinds
- opening a folder; renaming onto a file; replacing, renaming or removing what this process has open or mapped
- names of devices, characters and ends of names that Windows does not take
- reading or writing text without naming its encoding, in zoo and its plugins

File locks are those of this system: filelock, which is imported first, calls another one on each.
"""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import filelock  # noqa: F401  # these use, on Windows, what is there
import psutil  # noqa: F401

MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty")
ATTRIBUTES = {
    os: (
        "fork", "forkpty", "sync", "fdatasync", "posix_fallocate", "posix_fadvise", "O_DIRECTORY", "O_NOFOLLOW",
        "mkfifo", "getloadavg", "chown", "setsid", "killpg",
    ),
    signal: ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGPIPE", "alarm", "setitimer"),
}  # fmt: skip
REFUSED_NAME = re.compile(r'(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?|.*[<>:"|?*\\\x00-\x1f].*|.*[. ]')


def held(path: Any) -> bool:
    """Whether this process has a file open or mapped that is at, or below, ``path``."""
    place = os.path.realpath(os.fsdecode(path))
    open_files = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            open_files.add(str(descriptor.readlink()))
        except OSError:
            continue
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as stream:  # noqa: PTH123
        open_files |= {line.split(maxsplit=5)[5].rstrip("\n") for line in stream if line.count("/")}
    return any(each == place or each.startswith(f"{place}/") for each in open_files)


def refuse(path: Any, code: int = errno.EACCES) -> None:
    raise PermissionError(code, "the process cannot access the file: another one is using it", os.fsdecode(path))


def check_name(path: Any) -> None:
    name = os.path.basename(os.fsdecode(path))  # noqa: PTH119
    if (
        name not in (".", "..")
        and REFUSED_NAME.fullmatch(name)
        and not os.fsdecode(path).startswith(("/dev/", "/proc/"))
    ):
        raise OSError(errno.EINVAL, "the file name, directory name, or volume label syntax is incorrect", name)


def wrapped(function: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    def call(*given: Any, **options: Any) -> Any:
        check(*given, **options)
        return function(*given, **options)

    return call


def refused(*_: Any, **__: Any) -> None:
    raise OSError(errno.EPERM, "a required privilege is not held by the client")


def check_open(path: Any, flags: int = 0, *_: Any, **__: Any) -> None:
    if isinstance(path, int):
        return
    if os.path.isdir(path):  # noqa: PTH112
        refuse(path)
    if flags & os.O_CREAT:
        check_name(path)


def check_builtin_open(path: Any, mode: str = "r", *_: Any, **__: Any) -> None:
    if not isinstance(path, int) and mode[0] in "wxa":
        check_name(path)


def check_rename(source: Any, target: Any, **_: Any) -> None:
    check_name(target)
    if held(source):
        refuse(source)
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "cannot create a file when that file already exists", os.fsdecode(target))


def check_replace(source: Any, target: Any, **_: Any) -> None:
    check_name(target)
    for path in (source, target):
        if held(path):
            refuse(path)
    if os.path.isdir(target):  # noqa: PTH112
        refuse(target)


def check_remove(path: Any, **_: Any) -> None:
    if held(path):
        refuse(path)


def take_away() -> None:
    for module, names in ATTRIBUTES.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    for name in MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    tempfile.TemporaryFile = tempfile.NamedTemporaryFile  # as there
    for name in ("link", "symlink"):
        setattr(os, name, refused)
    os.mkdir = wrapped(os.mkdir, lambda path, *_, **__: check_name(path))
    os.open = wrapped(os.open, check_open)
    io.open = wrapped(io.open, check_builtin_open)
    os.rename = wrapped(os.rename, check_rename)
    os.replace = wrapped(os.replace, check_replace)
    os.unlink = os.remove = wrapped(os.unlink, check_remove)
    os.rmdir = wrapped(os.rmdir, check_remove)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"zoo")


def take_away_the_c_library() -> None:
    """Windows has none that ctypes opens without a name; torch, which is imported by then, uses it here."""
    ctypes.CDLL = wrapped(ctypes.CDLL, check_library)  # type: ignore[misc, assignment]


def check_library(name: Any = None, *_: Any, **__: Any) -> None:
    if name is None:
        raise TypeError("bad argument type for built-in operation")


def main(commands: list[list[str]]) -> dict[str, int]:
    """The exit code of each command."""
    take_away()
    import torch  # noqa: F401

    take_away_the_c_library()
    from zoo.cli.app import run_cli

    return {" ".join(command): run_cli(command) for command in commands}


if __name__ == "__main__":
    codes = main(json.loads(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(codes), encoding="utf-8")
