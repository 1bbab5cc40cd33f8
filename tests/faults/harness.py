"""Fault injection at file calls: how a case is prepared, run, recovered from and checked.

A story of `stories.py` is first traced: every call beneath its folder that opens, reads, writes, syncs, renames, links,
makes or removes something. Each call then gets each fault of its kind, in a case of its own that starts from the same
state:

    die before, die after    the process is killed at the call
    torn                     half of what is written arrives, and the process is killed
    ENOSPC, EIO, EACCES      the call fails (ENOSPC: and so does all that needs room afterwards)

What must hold afterwards stands in `Checks`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO, "EACCES": errno.EACCES}
FAULTS = {
    "open": ("EIO", "EACCES"),
    "read": ("EIO",),
    "create": ("die before", "ENOSPC", "EIO", "EACCES"),
    "write": ("die before", "torn", "ENOSPC", "EIO"),
    "sync": ("die before", "ENOSPC", "EIO"),
    "truncate": ("die before", "die after", "ENOSPC", "EIO"),
    "mkdir": ("die before", "die after", "ENOSPC", "EACCES"),
    "rename": ("die before", "die after", "ENOSPC", "EIO", "EACCES"),
    "link": ("die before", "die after", "ENOSPC", "EACCES"),
    "remove": ("die before", "die after", "EIO", "EACCES"),
}
"""By the kind of call. A kill changes nothing before a read, so that is left out."""
STORED = {"run": {0, 3, 4, 7}, "resume": {0, 3, 4, 7}, "export": {0, 3, 4, 5, 7}, "download": {0, 3, 4, 7}}
"""The exit codes that a failing file may end each story with: data, checkpoint, export, disk. Never 1."""


LOST = "is lost; the best is now"
"""What a run prints where its best epoch cannot be had any more."""


def compiler() -> str | None:
    return shutil.which("cc")


def build_shim(folder: Path) -> Path:
    library = folder / "shim.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "shim.c"), "-ldl"], check=True)
    return library


@dataclass(frozen=True)
class Case:
    """One fault at one call of a story; ``operation`` and ``path`` are what the trace says of the call."""

    story: str
    call: int
    kind: str
    operation: str = ""
    path: str = ""

    def fault(self) -> dict[str, Any]:
        return {
            "call": self.call,
            "kind": "error" if self.kind in ERRORS else self.kind,
            "errno": ERRORS.get(self.kind, 0),
        }

    def __str__(self) -> str:
        return f"{self.story}: {self.kind} at call {self.call}, {self.operation} {self.path}"


class Server:
    """The fork server. A context manager: it ends with the block."""

    def __init__(self, folder: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ZOO_")}
        environment |= {
            "LD_PRELOAD": str(build_shim(folder)),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
        }
        self._errors = (folder / "server.log").open("w", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "server.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=environment, cwd=folder,
        )  # fmt: skip
        assert self._process.stdin and self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout
        if self._answers.readline().strip() != "ready":
            raise RuntimeError(
                f"the server did not start: {(folder / 'server.log').read_text(encoding='utf-8')[-2000:]}"
            )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.wait(timeout=60)
        self._answers.close()
        self._errors.close()

    def call(self, story: str, folder: Path, fault: dict[str, Any] | None = None, **request: Any) -> Answer:
        """Run a story in ``folder``/root, which is made where it is not there."""
        (folder / "root").mkdir(parents=True, exist_ok=True)
        for name in ("stdout", "stderr"):  # a child may be killed before it opens them
            (folder / name).write_bytes(b"")
        self._requests.write(json.dumps({"story": story, "folder": str(folder), "fault": fault, **request}) + "\n")
        self._requests.flush()
        answer = json.loads(self._answers.readline())
        out, err = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr"))
        return Answer(answer["exit"], out, err)


@dataclass(frozen=True)
class Answer:
    exit: int | str
    out: str
    err: str


def trace(folder: Path) -> list[tuple[int, str, str]]:
    """The calls of the story that ran last in a folder: number, operation and path."""
    rows = [
        line.split("\t", 2) for line in (folder / "calls").read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return [(int(number), operation, path) for number, operation, path in rows]


def cases(story: str, calls: list[tuple[int, str, str]]) -> Iterator[Case]:
    for number, operation, path in calls:
        for kind in FAULTS[operation]:
            yield Case(story, number, kind, operation, path)


@dataclass
class Checks:
    """One story from one starting state: how a case of it is run, and what must hold afterwards.

    `failures` is empty where all does.
    """

    server: Server
    story: str
    start: Path
    """The folder that every case begins as a copy of."""
    reference: dict[str, Any]
    """What the story without a fault leaves (`stories.facts`)."""
    request: dict[str, Any] = field(default_factory=dict)

    def run(self, case: Case, folder: Path) -> list[str]:
        if self.start.exists():
            shutil.copytree(self.start, folder / "root", symlinks=True)
        answer = self.server.call(case.story, folder, case.fault(), **self.request)
        wrong = self._told(case, answer)
        if LOST in answer.out:  # the run went on from an earlier checkpoint: another result, and it said why
            return wrong
        recover = {"export": self._export_again, "download": self._download_again}.get(case.story, self._resume)
        return wrong + recover(folder)

    def _told(self, case: Case, answer: Answer) -> list[str]:
        """It ended as it should, and said so in one line that has a fix."""
        if answer.exit == "killed":
            return [] if case.kind in ("die before", "die after", "torn") else ["it was killed by a signal"]
        if answer.exit not in STORED[case.story]:
            return [f"it ended with {answer.exit}: {(answer.err.strip().splitlines() or [''])[-1][:300]}"]
        last = answer.err.strip().splitlines()[-1:] or [""]
        if answer.exit != 0 and not (last[0].startswith("error: ") and "; fix: " in last[0]):
            return [f"it ended with {answer.exit} and said {last[0][:200]!r}"]
        return ["it printed a traceback"] if "Traceback" in answer.err else []

    def after(self, folder: Path) -> list[str]:
        """What is wrong with a run in ``folder`` that was cut off, and with what resuming it gives."""
        return self._resume(folder)

    def _resume(self, folder: Path) -> list[str]:
        """The model is the one that the metrics are of; the run resumes to the bit, or prints what is lost."""
        wrong = self._same_model(folder)
        answer = self.server.call("resume", folder)
        if answer.exit == 0 or "is finished: there is nothing to resume" in answer.err:
            return wrong + self._equal(folder, "runs/fnn/it")
        if answer.exit not in (2, 4, 7) or "; fix: " not in answer.err:
            return [*wrong, f"resuming ended with {answer.exit}: {answer.err.strip()[-300:]}"]
        if self._had_checkpoint(folder):
            return [*wrong, f"a checkpoint was written and is not resumed from: {answer.err.strip()[-300:]}"]
        again = self.server.call("run", folder, **self.request | {"name": "again"})
        return wrong + ([f"a new run ended with {again.exit}"] if again.exit else self._equal(folder, "runs/fnn/again"))

    def _same_model(self, folder: Path) -> list[str]:
        """Evaluated on the validation split, a run that was cut off has the value of its best epoch so far, never that
        of a later one."""
        best, bests = -1.0, set()
        for row in self.reference["metrics"]:
            best = max(best, float(row[self._metric(row)]))
            bests.add(best)
        answer = self.server.call(
            "evaluate", folder, split=self._metric(self.reference["metrics"][0]).partition("_")[0]
        )
        if answer.exit != 0 or not (folder / "root/runs/fnn/it/metrics.csv").exists():
            return (
                [] if answer.exit in (0, 2, 4) else [f"evaluate ended with {answer.exit}: {answer.err.strip()[-300:]}"]
            )
        told = json.loads(answer.out)["metrics"]["accuracy"]
        epochs = len((folder / "root/runs/fnn/it/metrics.csv").read_text(encoding="utf-8").splitlines()) - 1
        if epochs >= 2 and not any(abs(told - each) < 1e-9 for each in bests):
            return [f"evaluate says {told}, which is no best value of any epoch: {sorted(bests)}"]
        return []

    @staticmethod
    def _metric(row: dict[str, str]) -> str:
        return next(name for name in row if name.endswith("_accuracy"))

    @staticmethod
    def _had_checkpoint(folder: Path) -> bool:
        """Whether the root record lists one.

        A folder that it does not list yet was cut off before it counted, and resuming says so.
        """
        record = folder / "root/runs/fnn/it/root.json"
        return record.exists() and bool(json.loads(record.read_bytes()).get("checkpoints"))

    def _equal(self, folder: Path, run: str) -> list[str]:
        answer = self.server.call("facts", folder, run=run)
        if answer.exit != 0:
            return [f"the finished run cannot be read: {answer.err.strip()[-300:]}"]
        found = json.loads(answer.out)
        return [
            f"{key} differs: {_brief(found[key], value)}"
            for key, value in self.reference.items()
            if key != "files" and found[key] != value
        ] + [f"left behind: {name}" for name in found["files"] if name.endswith(".tmp") or ".tmp/" in name]

    def _export_again(self, folder: Path) -> list[str]:
        """The bundle is the old one or the new one, whole; exporting again works and leaves nothing beside it."""
        bundle = folder / "root/exports/it"
        wrong = []
        if bundle.exists():
            answer = self.server.call("predict", folder)
            wrong += [] if answer.exit == 0 else [f"the bundle does not predict: {answer.err.strip()[-300:]}"]
        elif self.start.joinpath("exports/it").exists():
            wrong.append("the old bundle is gone")
        again = self.server.call("export", folder)
        wrong += [] if again.exit == 0 else [f"exporting again ended with {again.exit}: {again.err.strip()[-300:]}"]
        return wrong + [
            f"left behind: {path.name}" for path in bundle.parent.iterdir() if path.name.endswith((".tmp", ".old"))
        ]

    def _download_again(self, folder: Path) -> list[str]:
        """The second time it all works, from what is there: nothing half-written is taken for whole."""
        again = self.server.call("download", folder, **self.request | {"name": "again"})
        if again.exit != 0:
            return [f"the second time ended with {again.exit}: {again.err.strip()[-300:]}"]
        return self._equal(folder, "runs/lenet/again")


def _brief(found: Any, due: Any) -> str:
    return f"{str(found)[:150]} where {str(due)[:150]} is due"
