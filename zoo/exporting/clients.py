"""What predicts with a bundle: its predict.py in a process of its own, or zoo through the bundle's exporter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo import runtime
from zoo.errors import ExportError, StorageError
from zoo.exporting.table_comparison import Difference, Expected, compare_masks, compare_tables
from zoo.support.atomic_files import storage_errors

if TYPE_CHECKING:
    from zoo.api import Exporter


class Client(NamedTuple):
    """A bundle's predict.py, or zoo if ``script`` is None. ``folder`` has the images."""

    script: Path | None
    folder: Path
    fix: str

    @property
    def name(self) -> str:
        return "`zoo predict` with this bundle" if self.script is None else "the bundle's predict.py"

    @property
    def table(self) -> Path:
        return self.folder / "predict.csv"

    def check(
        self, model: Path, exporter: Exporter[Any], provider: str, expected: Expected, spec: dict[str, Any]
    ) -> dict[str, Any]:
        """Predict the images, compare the results with the expected ones, and return the result as JSON. Raises
        ExportError."""
        due = self.folder / "pytorch.csv"
        with storage_errors(due):
            expected.write(due)
        if self.script is not None:
            self._run(model, provider, expected)
        else:
            self._run_in_zoo(model, exporter, provider, expected)
        try:
            facts = compare_tables(expected, due, self.table)
            if self._masks(expected):
                compare_masks(expected, self._masks(expected), spec)
        except Difference as difference:
            where = difference.image or None
            on = "differs from PyTorch for an image file: " if where else ""
            raise ExportError(f"{self.name} {on}{difference}", where=where, fix=self.fix) from difference
        return facts

    def _masks(self, expected: Expected) -> list[Path]:
        """Return the masks that it writes, in the order of the images; empty for decisions without masks."""
        written = expected.decision.kind == "pixel_argmax"
        return [self.folder / "masks" / f"{file.stem}.mask.png" for file in expected.files if written]

    def _run(self, model: Path, provider: str, expected: Expected) -> None:
        images, masks = [file.name for file in expected.files], ["--masks", "masks"] if self._masks(expected) else []
        where = [] if provider == "cpu" else ["--provider", provider]
        command = [sys.executable, "-B", str(self.script), *images, "--model", str(model), "--csv", self.table.name]
        done = subprocess.run(
            [*command, *masks, *where],
            cwd=self.folder,
            capture_output=True,
            encoding="locale",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1].removeprefix("error: ")
            if done.returncode == StorageError.exit_code:
                raise StorageError(f"cannot write: {said}", where=self.table, fix="free some space")
            raise ExportError(f"{self.name} fails: {said}", fix=self.fix)

    def _run_in_zoo(self, model: Path, exporter: Exporter[Any], provider: str, expected: Expected) -> None:
        try:
            opened = runtime.open_model(model, lambda path: exporter.open(path, provider))
            try:
                rows = list(runtime.predict(opened.run, opened.description, expected.files))
            finally:
                opened.runner.close()
        except (ValueError, LookupError, TypeError) as error:
            raise ExportError(f"{self.name} fails: {error}", fix=self.fix) from error
        with storage_errors(self.table):
            runtime.write_csv(self.table, rows, runtime.decision_of(opened.description))
            if self._masks(expected):
                runtime.write_masks(self.folder / "masks", rows, runtime.decision_of(opened.description))
