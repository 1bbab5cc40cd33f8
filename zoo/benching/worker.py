"""The process of one engine: `python -m zoo.benching.worker QUESTION.json`.

It opens the engine, then answers requests, a JSON object in a line each, until its stdin is closed. While it waits it
uses no CPU time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from zoo.benching.engines import ENGINES, Engine
from zoo.benching.memory import PeakMemory
from zoo.benching.timing import timed_calls
from zoo.errors import ExportError, ZooError
from zoo.registry.lookup import registry


class Service:
    """Answers requests for one engine. Inputs are given as .npy files, and are loaded once."""

    def __init__(self, engine: Engine, memory: PeakMemory) -> None:
        self._engine, self._memory = engine, memory
        self._callers: dict[str | None, Callable[[], object]] = {}

    def outputs(self, inputs: str, out: str) -> dict[str, Any]:
        """Write the outputs to ``out``, and return the seconds of the call."""
        given = np.load(inputs)
        started = time.perf_counter()
        found = self._engine.run(given)
        seconds = time.perf_counter() - started
        np.save(out, found)
        return {"seconds": seconds}

    def turn(self, inputs: str | None, seconds: float) -> dict[str, Any]:
        """Return the durations of calls, and the peak of the memory."""
        if inputs not in self._callers:
            self._callers[inputs] = self._engine.caller(None if inputs is None else np.load(inputs))
        self._memory.reset()
        durations = timed_calls(self._callers[inputs], seconds)
        return {"durations": durations, "peak": self._memory.peak()}


def answered(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the answer, or the error as JSON: a failure of the engine is an answer, too."""
    try:
        return work()
    except ZooError as error:
        raised = error
    except Exception as error:  # a runtime or a compiler may raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raised = ExportError(f"{type(error).__name__}: {(lines or ['no message'])[0][:200]}")
    where = None if raised.where is None else str(raised.where)
    return {"error": {"code": raised.exit_code, "what": raised.what, "where": where, "fix": raised.fix}}


def serve(question: Mapping[str, Any], requests: Iterable[str], answers: IO[str]) -> None:
    """Open the engine, answer with what it is, and then answer each request."""
    registry()  # the plugins belong to zoo, and not to the memory of an engine
    memory = PeakMemory(question.get("provider") or question.get("device") or "cpu")
    opened: list[Engine] = []

    def start() -> dict[str, Any]:
        engine = ENGINES[question["kind"]](question)
        opened.append(engine)
        return {
            "runtime": engine.runtime,
            "place": engine.place,
            "description": engine.description,
            "loaded": memory.loaded,
        }

    def reply(answer: dict[str, Any]) -> None:
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()

    reply(answered(start))
    if not opened:
        return
    service = Service(opened[0], memory)
    for line in requests:
        asked = json.loads(line)
        work: Callable[..., dict[str, Any]] = service.turn if asked.pop("request") == "turn" else service.outputs
        reply(answered(partial(work, **asked)))


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which closes stdin
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a plugin prints is no answer
    serve(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.stdin, answers)


if __name__ == "__main__":
    main()
