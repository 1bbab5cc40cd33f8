"""The console output of a run: a progress bar on a terminal or in a notebook, plain lines otherwise.

log.txt has all lines, complete.
"""

from __future__ import annotations

import sys
import textwrap
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
STEP_SECONDS = 30.0
"""Without a progress bar, a line on the current step follows after so long without another line."""
INDENT = "  "


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
        self._monitored = ""
        self._drawn = self._printed = self._rate = self._loss = 0.0

    def print(self, text: str) -> None:
        """Print a line to the console and the log."""
        self._show(text)
        self._write(text)

    def warn(self, text: str) -> None:
        self.print(f"warning: {text}")

    def begin(self, progress: TrainingProgress, steps_per_epoch: int, epochs: int, monitored: str) -> None:
        self._epochs, self._steps, self._monitored = epochs, steps_per_epoch, monitored
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
        now = time.perf_counter()
        if self._bar is None:
            if now - self._printed > STEP_SECONDS:
                self._show(self._of_step(progress))
        elif now - self._drawn > REFRESH_SECONDS:
            self._drawn = now
            facts = f"batch loss {self._loss:.4f}  {self._rate:,.0f} samples/s"
            self._bar.update(
                self._task,
                completed=progress.step,
                description=f"epoch {progress.epoch + 1}/{self._epochs}",
                facts=facts,
            )

    def loss(self, progress: TrainingProgress, loss: float, rate: float, lr: float) -> None:
        self._loss, self._rate = loss, rate
        self._write(self._of_step(progress))

    def epoch(self, progress: TrainingProgress, row: dict[str, float]) -> None:
        """Print the losses and the monitored metric; the log has all metrics of the validation split."""
        found = {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
        found = {"loss": found.pop("loss"), **found} if "loss" in found else found
        shown = {name: value for name, value in found.items() if name in ("loss", self._monitored)}
        for metrics, put in ((shown, self._show), (found, self._write)):
            evaluated = f"  val {', '.join(figure(*pair) for pair in metrics.items())}" if metrics else ""
            put(
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

    def _of_step(self, progress: TrainingProgress) -> str:
        """The loss and the speed are those of the last step that was logged."""
        return (
            f"epoch {progress.epoch + 1}/{self._epochs}  step {progress.batch}/{self._steps}  batch loss "
            f"{self._loss:.4f}  "
            f"{self._rate:,.0f} samples/s"
        )

    def _show(self, text: str) -> None:
        """Print a line to the console; a terminal gets it wrapped between words, a pipe in one line."""
        self._printed = time.perf_counter()
        if self._quiet:
            return
        text = printable(text)
        if self._out.is_terminal:
            text = self._wrapped(text)
        self._out.print(text, markup=False, emoji=False)

    def _wrapped(self, text: str) -> str:
        lines = textwrap.TextWrapper(
            self._out.width, subsequent_indent=INDENT, break_long_words=False, break_on_hyphens=False
        )
        return lines.fill(text)

    def _write(self, text: str) -> None:
        if self.log is not None:
            with storage_errors(self.log), open_log(self.log) as stream:
                stream.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {printable(text)}\n")
