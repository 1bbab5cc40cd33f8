"""`zoo bench` before the measurement: open the engines of a target, and compare their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo import runtime
from zoo.benching.processes import EngineProcess
from zoo.benching.reference import Reference
from zoo.benching.result import Latency, Measurement, OpenedEngine, PreprocessingTime, Settings, Skipped, TargetResult
from zoo.benching.timing import Timing, Turn
from zoo.errors import ZooError
from zoo.support.progress import announce
from zoo.workflows.bench_targets import COMPILED, EAGER, PREPROCESSING, Target, add_pytorch, gather_images

UNCOMPARED = "the outputs were not compared, because PyTorch's are not known here"


@dataclass(frozen=True)
class Timed:
    """One engine at one batch size; ``inputs`` is the file with its inputs, None for preprocessing."""

    engine: str
    batch: int
    process: EngineProcess
    inputs: Path | None
    first_call: float = 0.0

    @property
    def take(self) -> Turn:
        return partial(self.process.turn, self.inputs)


@dataclass
class Opened:
    """A target with its turns; ``images`` says which images are prepared, and how many."""

    result: TargetResult
    images: tuple[str, int]
    turns: list[Timed] = field(default_factory=list)

    def add(self, turn: Timed, timing: Timing) -> None:
        latency = Latency.of(timing)
        if turn.inputs is None:
            self.result.preprocessing = PreprocessingTime(*self.images, latency, timing.rounds)
            return
        measured = Measurement(
            turn.engine,
            turn.batch,
            latency,
            images_per_second=turn.batch / timing.mean,
            memory_bytes=turn.process.peak.get(turn.inputs),
            calls=timing.calls,
            rounds=timing.rounds,
            first_call_ms=1000 * turn.first_call,
        )
        self.result.measurements.append(measured)


def open_engines(target: Target, settings: Settings, folder: Path, processes: ExitStack) -> Opened:
    """Open the engines of a target and compare their outputs; ``processes`` closes them, ``folder`` has their files."""
    return _Opening(target, settings, folder, processes).opened()


class _Opening:
    def __init__(self, target: Target, settings: Settings, folder: Path, processes: ExitStack) -> None:
        self._target, self._settings, self._folder, self._processes = target, settings, folder, processes
        self._engines: dict[str, EngineProcess] = {}

    def opened(self) -> Opened:
        target = self._target
        self._open_all()
        text, files = gather_images(target, self._folder)
        inputs = self._write_inputs(files)
        question = {"kind": "images", "files": [str(file) for file in files], "input": target.description["input"]}
        preparing = self._process(PREPROCESSING, question)
        reference = Reference(target.description)
        recorded = None
        if EAGER not in self._engines:
            recorded = reference.add_recorded(target.recorded, self._folder / "inputs-recorded.npy")
        turns = [turn for name in list(self._engines) for turn in self._turns(name, inputs, reference, recorded)]
        turns.sort(key=lambda turn: turn.batch)  # stable, so that the engines are side by side
        return Opened(self._result(reference), (text, len(files)), [*turns, Timed(PREPROCESSING, 1, preparing, None)])

    def _open_all(self) -> None:
        """Open PyTorch first. But a file without a bundle.json is opened before, because it says what it is."""
        target = self._target
        if not target.description:
            (name, question), *_ = target.questions.items()
            self._open(name, question)
            target.described(self._engines[name].description)
        add_pytorch(target, self._settings)
        for name, question in target.questions.items():
            if name not in self._engines:
                self._open(name, question)
        self._engines = {name: self._engines[name] for name in target.questions if name in self._engines}

    def _open(self, name: str, question: dict[str, Any]) -> None:
        try:
            self._engines[name] = self._process(name, question)
        except ZooError as error:
            if self._required(name):
                raise
            self._target.skipped.append(Skipped(name, error.what))

    def _required(self, name: str) -> bool:
        """Whether the target is the file that this engine runs."""
        return self._target.exported and self._target.questions[name]["kind"] == "file"

    def _process(self, name: str, question: dict[str, Any]) -> EngineProcess:
        announce(f"{self._target.name}: opening {name}")
        folder = self._folder / name.replace(" ", "-").replace("/", "-")
        process = EngineProcess(question, folder, self._settings.threads)
        self._processes.callback(process.close)
        return process

    def _batches(self, name: str) -> Sequence[int]:
        """A file with a fixed batch has only that; the networks are measured at it as well."""
        asked, fixed = self._settings.batches, self._target.fixed_batch
        if fixed is None:
            return asked
        return (fixed,) if self._target.questions[name]["kind"] == "file" else sorted({*asked, fixed})

    def _write_inputs(self, files: Sequence[Path]) -> dict[int, Path]:
        """Write the prepared images, repeated as often as a batch needs, for each batch size."""
        spec = self._target.description["input"]
        prepared = np.concatenate([runtime.prepare(file, spec) for file in files])
        found = {}
        for batch in {batch for name in self._target.questions for batch in self._batches(name)}:
            found[batch] = self._folder / f"inputs-{batch}.npy"
            np.save(found[batch], prepared[np.arange(batch) % len(prepared)])  # (B, C, H, W)
        return found

    def _turns(self, name: str, inputs: dict[int, Path], reference: Reference, recorded: Path | None) -> list[Timed]:
        """The turns of an engine whose outputs are right; none if they differ or cannot be computed."""
        process, turns = self._engines[name], []
        announce(f"{self._target.name}: {'compiling' if name == COMPILED else 'comparing the outputs of'} {name}")
        try:
            difference = None if recorded is None else reference.difference(recorded, process.outputs(recorded)[0])
            for batch in self._batches(name):
                outputs, first_call = process.outputs(inputs[batch])
                if name == EAGER:
                    reference.add(inputs[batch], outputs, EAGER)
                else:
                    difference = difference or reference.difference(inputs[batch], outputs)
                turns.append(Timed(name, batch, process, inputs[batch], first_call))
        except ZooError as error:
            if name == EAGER or self._required(name):
                raise
            return self._skip(name, f"it fails: {error.what}")
        if difference is not None:
            return self._skip(name, f"its outputs differ from the reference: {difference}", differs=True)
        return turns

    def _skip(self, name: str, reason: str, *, differs: bool = False) -> list[Timed]:
        self._target.skipped.append(Skipped(name, reason, differs))
        self._engines.pop(name).close()
        return []

    def _result(self, reference: Reference) -> TargetResult:
        target, spec = self._target, self._target.description["input"]
        notes = [] if reference.source else [UNCOMPARED]
        if target.fixed_batch is not None:
            notes.append(f"the file has the fixed batch size {target.fixed_batch} and is measured only at that size")
        return TargetResult(
            target.name,
            (spec["channels"], spec["height"], spec["width"]),
            compared_with=reference.source,
            max_rel_error=reference.largest,
            engines=[
                OpenedEngine(name, process.runtime, process.place, process.loaded)
                for name, process in self._engines.items()
            ],
            skipped=target.skipped,
            notes=notes,
        )
