"""Random and damaged inputs for commands of zoo: `python tests/fuzz/fuzzing.py KIND … --count 10000`
(`make reliability` runs all of them).

Inputs are functions of (kind, number), so that a failure can be repeated: `--only NUMBER`. Every batch of inputs runs
in a child of one process that has everything imported. What must hold of each is in `violations`: it ends by itself
within 30 seconds, with an exit code other than 1, an error is one line, nothing raw reaches the terminal, nothing is
written outside of its folder, no program is started, and memory stays under 2 GB.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import inputs
from mutations import Mutator

SECONDS, BYTES, BATCH = 30, 2 << 30, 25
WRITING = {
    "open",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.utime",
}
STARTING = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"}
REASONS = ("error: ", "fix: ", "damaged", "problem: ", '"problems": [')
"""One of them is in what a command prints that does not end with 0."""


class Hung(BaseException):
    """Not an Exception: nothing in between may take it for one of its own."""


class Watch:
    """An audit hook that notes what is written outside of a folder, and every program that is started."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.seen: list[str] = []
        self._inside = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.allowed or self._inside:
            return
        if event in STARTING and arguments[0] != sys.executable:  # zoo runs a bundle's own predict.py
            self.seen.append(f"started {arguments[0]!r}")
        elif event in WRITING and (event != "open" or _writes(arguments)):
            self._inside = True
            try:
                for name in arguments[:2] if event in ("os.rename", "os.link") else arguments[:1]:
                    if isinstance(name, str | bytes | os.PathLike):
                        path = Path(os.path.abspath(os.fsdecode(name)))  # noqa: PTH100  # not resolved: a link is removed, not what it leads to
                        if not os.path.join(os.path.realpath(path.parent), path.name).startswith(self.allowed):  # noqa: PTH118
                            self.seen.append(f"{event} {os.fsdecode(name)!r}")
            finally:
                self._inside = False


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return bool(set(mode or "") & set("wax+")) or bool(
        isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    )


def _asked_for(arguments: list[str]) -> Iterator[str]:
    """Where the command line itself says that something is to be written: the page of a run is in its folder, a plot is
    a file."""
    for argument, before in zip(arguments, ["", *arguments[:-1]], strict=True):
        if Path(argument).is_absolute() and before in ("report", "--out", "--plot"):
            path = os.path.realpath(argument)
            yield path if before == "report" else os.path.dirname(path)  # noqa: PTH120


def violations(arguments: list[str], watch: Watch, folder: Path) -> list[str]:
    """Run one command line; what is wrong with how it ended."""
    from zoo.cli.app import run_cli

    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
        for _ in range(2)
    )
    watch.allowed, watch.seen = (str(folder), "/dev", *_asked_for(arguments)), []
    started = time.monotonic()
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code: object = run_cli(list(arguments))
    except Hung:
        code = f"no end within {SECONDS} s"
    except BaseException as error:
        code = f"raised {type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        watch.allowed = ()
    told, said = (stream.buffer.getvalue().decode("utf-8", "replace") for stream in (out, err))
    return _faults_of(code, told, said, watch.seen, time.monotonic() - started)


def _faults_of(code: object, told: str, said: str, seen: list[str], seconds: float) -> list[str]:
    lines = said.strip().splitlines()
    wrong = list(seen[:3])
    if not isinstance(code, int) or code == 1:
        wrong.append(f"exit {code}: {lines[-1][:300] if lines else ''}")
    elif code != 0 and not any(word in line for word in REASONS for line in [*lines, *told.splitlines()]):
        wrong.append(f"exit {code} without an error line: {(said or told)[-200:]!r}")
    if "Traceback (most recent call last)" in said + told:
        wrong.append("a traceback")
    raw = sorted({char for char in told + said if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160})
    if raw:
        wrong.append(f"raw control characters {raw}")
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > BYTES:
        wrong.append(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB of memory")
    return wrong


def child(kind: str, numbers: list[int], base: Path, report: Path) -> None:
    """A batch in this process: a line to ``report`` before and after each input."""
    signal.signal(signal.SIGALRM, _hung)
    watch = Watch()
    with report.open("w", encoding="utf-8") as stream:
        for number in numbers:
            stream.write(json.dumps({"begun": number}) + "\n")
            stream.flush()
            with tempfile.TemporaryDirectory(dir=base.parent) as name:
                folder = Path(name)
                os.chdir(folder)
                tempfile.tempdir = str(folder)
                os.environ |= {
                    f"ZOO_{each}": str(folder / each.lower()) for each in ("RUNS", "EXPORTS", "DATA", "CACHE")
                }
                arguments = inputs.KINDS[kind](Mutator(random.Random(f"{kind} {number}")), base, folder)
                wrong = violations(arguments, watch, folder)
                os.chdir(base)
            stream.write(json.dumps({"ended": number, "arguments": arguments, "wrong": wrong}) + "\n")
            stream.flush()


def _hung(*_: object) -> None:
    raise Hung


def fuzz(kind: str, numbers: list[int], base: Path) -> list[dict[str, Any]]:
    """The inputs that violate something: number, arguments, what is wrong."""
    found = []
    left = list(numbers)
    while left:
        batch, report = left[:BATCH], base.parent / f"report-{os.getpid()}"
        process = os.fork()
        if process == 0:
            try:
                child(kind, batch, base, report)
                os._exit(0)
            finally:
                os._exit(70)
        _, status = os.waitpid(process, 0)
        rows = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
        found += [row for row in rows if row.get("wrong")]
        begun = [row["begun"] for row in rows if "begun" in row]
        if status != 0 and begun:  # the input that was under way ended the process
            how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "an error of the harness"
            found.append({"ended": begun[-1], "arguments": [], "wrong": [f"the process ended by {how}"]})
        left = left[len(begun) if status != 0 and begun else len(batch) :]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", default=list(inputs.KINDS))
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--only", type=int, help="this input alone")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    out = None if asked.out is None else asked.out.absolute()  # inputs are run in folders of their own
    summary: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="zoo-fuzz-") as name:
        base = inputs.make_base(Path(name) / "base")
        for kind in asked.kinds:
            started = time.monotonic()
            numbers = [asked.only] if asked.only is not None else list(range(asked.first, asked.first + asked.count))
            found = fuzz(kind, numbers, base)
            for row in found:
                print(f"{kind} {row['ended']}: {'; '.join(row['wrong'])}  {row['arguments']}", flush=True)
            summary[kind] = {"inputs": len(numbers), "wrong": len(found), "seconds": round(time.monotonic() - started)}
            print(f"{kind}: {summary[kind]}", flush=True)
            if out is not None:  # after every kind: the whole takes an hour
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return 1 if any(each["wrong"] for each in summary.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
