"""A fork server: everything is imported once, then every request runs one story of `stories.py` in a child, under one
fault.

Started by `harness.py` with the shim loaded. A request is a line of JSON on standard input, an answer a line on
standard output.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

KINDS = {"die before": 1, "die after": 2, "torn": 3, "error": 4}
DEADLINE = 120.0
"""Seconds after which a story counts as hung."""
CRASH = 99
"""The exit code of a child whose story itself, not zoo, raised."""


def run_in_child(request: dict[str, Any]) -> None:
    """Never returns. The child has no standard input, and its output goes to files in the case's folder."""
    import stories

    folder = Path(request["folder"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    os.environ |= {f"ZOO_{name}": str(folder / "root" / name.lower()) for name in ("RUNS", "EXPORTS", "DATA", "CACHE")}
    os.environ["ZOO_OFFLINE"] = "0" if request["story"] == "download" else "1"
    os.chdir(folder / "root")
    code = CRASH
    try:
        fault = request.get("fault") or {}
        log = os.open(folder / "calls", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        shim = ctypes.CDLL(None)
        arguments = (fault.get("call", 0), KINDS.get(fault.get("kind", ""), 0), fault.get("errno", 0), log)
        shim.faults_arm(os.fsencode(folder / "root"), ctypes.c_long(arguments[0]), *arguments[1:])
        code = stories.STORIES[request["story"]](request)
        shim.faults_disarm()
    except BaseException:
        ctypes.CDLL(None).faults_disarm()
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, kill_after: float | None = None) -> str | int:
    """The exit code, "killed" or "hung"."""
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)  # one that ended is still there until it is waited for
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return "killed" if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import stories

    stories.warm_up()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            run_in_child(request)
        print(json.dumps({"exit": wait(child, request.get("kill_after"))}), file=answers, flush=True)


if __name__ == "__main__":
    main()
