"""The console output of a run: a progress bar on a terminal or in a notebook, plain lines otherwise.

Everything also goes to log.txt.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from zoo.support.atomic_files import storage_errors
from zoo.support.formatting import figure, printable
from zoo.support.notebook import NotebookBar, in_notebook
from zoo.support.untrusted_files import open_log

if TYPE_CHECKING:
    from zoo.training.train_state import Progress as TrainingProgress

REFRESH_SECONDS = 0.1


class Console:
    """The implementation of `zoo.training.train_state.Callback`.

    ``log`` is set once there is a run directory; ``quiet`` writes only there.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.log: Path | None = None
        self._quiet = quiet
        self._out = RichConsole(file=stream or sys.stdout, highlight=False, soft_wrap=True, force_jupyter=False)
        self._in_notebook = stream is None and in_notebook()
        self._bar: Progress | NotebookBar | None = None
        self._task = TaskID(0)
        self._epochs = self._steps = 0
        self._drawn = self._rate = self._loss = 0.0

    def print(self, text: str) -> None:
        """Print a line to the console and the log."""
        if not self._quiet:
            self._out.print(printable(text), markup=False, emoji=False)
        self._write(text)

    def warn(self, text: str) -> None:
        self.print(f"warning: {text}")

    def begin(self, progress: TrainingProgress, steps_per_epoch: int, epochs: int) -> None:
        self._epochs, self._steps = epochs, steps_per_epoch
        if self._in_notebook and not self._quiet:
            self._bar = NotebookBar("training", steps_per_epoch * epochs)
            self._bar.update(completed=progress.step)
            return
        if self._quiet or not self._out.is_terminal:
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
        )
        bar = Progress(*columns, console=self._out, transient=True)
        self._task = bar.add_task("training", total=steps_per_epoch * epochs, completed=progress.step, facts="")
        bar.start()
        self._bar = bar

    def step(self, progress: TrainingProgress, batch_samples: int) -> None:
        if self._bar is None:
            return
        now = time.perf_counter()
        if now - self._drawn > REFRESH_SECONDS:
            self._drawn = now
            facts = f"loss {self._loss:.4f}  {self._rate:,.0f} samples/s"
            self._bar.update(
                self._task,
                completed=progress.step,
                description=f"epoch {progress.epoch + 1}/{self._epochs}",
                facts=facts,
            )

    def loss(self, progress: TrainingProgress, loss: float, rate: float, lr: float) -> None:
        self._loss, self._rate = loss, rate
        text = (
            f"epoch {progress.epoch + 1}/{self._epochs}  step {progress.batch}/{self._steps}  loss {loss:.4f}  "
            f"{rate:,.0f} samples/s"
        )
        if self._bar is None:
            self.print(text)
        else:  # the bar shows it
            self._write(text)

    def epoch(self, progress: TrainingProgress, row: dict[str, float]) -> None:
        selected = [figure(name.removeprefix("val_"), value) for name, value in row.items() if name.startswith("val_")]
        evaluated = f"  validation split: {', '.join(selected)}" if selected else ""
        self.print(
            f"epoch {progress.epoch}/{self._epochs}  train loss {row['train_loss']:.4f}{evaluated}  "
            f"{row['samples_per_second']:,.0f} samples/s"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.step)

    def checkpoint(self, progress: TrainingProgress, name: str) -> None:
        """Checkpoints are not printed: there may be one every few seconds."""

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _write(self, text: str) -> None:
        if self.log is not None:
            with storage_errors(self.log), open_log(self.log) as stream:
                stream.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {printable(text)}\n")
