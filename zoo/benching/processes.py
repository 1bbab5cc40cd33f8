"""Engines in processes of their own: none shares threads or memory with another, and a crash ends only one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import CheckpointError, ExportError, SetupError, UsageError, ZooError
from zoo.support.atomic_files import write_json

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SECONDS_TO_END = 1.0
KINDS: tuple[type[ZooError], ...] = (UsageError, CheckpointError, ExportError, SetupError)


class EngineProcess:
    """An opened engine: its ``runtime``, its ``place`` (device or provider), the ``description`` in the file, and
    ``loaded``, the growth of its memory in bytes.

    ``question`` says what to open (`zoo.benching.engines`); ``folder`` is for its files.
    """

    def __init__(self, question: Mapping[str, Any], folder: Path, threads: int) -> None:
        """Raises the error of the engine if it cannot be opened, SetupError if its process ends."""
        folder.mkdir(parents=True)
        self._folder, self._file = folder, folder / "question.json"
        write_json(self._file, {**question, "threads": threads, "folder": str(folder)})
        with (folder / "errors.txt").open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "zoo.benching.worker", str(self._file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
            )
        try:
            told = self._answer()
        except BaseException:
            self.close()
            raise
        self.runtime, self.place, self.description = told["runtime"], told["place"], told["description"]
        self.loaded: int = told["loaded"]
        self.peak: dict[Path | None, int] = {}
        """The peak of the memory in bytes, by the file with the inputs; missing where it is not known."""

    def outputs(self, inputs: Path) -> tuple[np.ndarray, float]:
        """Return the outputs for the inputs in a .npy file, and the seconds that the call took."""
        out = self._folder / "outputs.npy"
        told = self._ask(request="outputs", inputs=str(inputs), out=str(out))
        return np.load(out), told["seconds"]

    def turn(self, inputs: Path | None, seconds: float) -> list[float]:
        """Return the durations of calls that take about ``seconds`` together."""
        told = self._ask(request="turn", inputs=None if inputs is None else str(inputs), seconds=seconds)
        if told["peak"] is not None:
            self.peak[inputs] = max(told["peak"], self.peak.get(inputs, 0))
        return list(told["durations"])

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101  # for mypy
        with suppress(OSError):  # the process has ended
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:  # it is compiling, or in a long call
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101  # for mypy
        try:
            self._process.stdin.write(f"{json.dumps(request)}\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101  # for mypy
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            error = told["error"]
            kind = next((kind for kind in KINDS if kind.exit_code == error["code"]), ZooError)
            raise kind(error["what"], where=error["where"], fix=error["fix"])
        return told

    def _ended(self) -> ZooError:
        code = self._process.wait()
        said = (self._folder / "errors.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"failed: {(said or ['no message'])[-1]}"
        return SetupError(f"the process of the engine {how[:200]}", fix="use a smaller --batch, or another engine")
