"""The exporter of ``.pt2`` archives. torch is imported when a file is opened or written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.api import JSON, Exporter, ExportJob, FileContents, FileFacts, Options
from zoo.errors import SetupError
from zoo.plugin import runtime, runtime_source
from zoo_torch_export.client import PROVIDERS, TorchRunner, refuse_missing

if TYPE_CHECKING:
    from torch import Tensor, nn


class TorchExporter(Exporter[Options]):
    """Writes an archive with torch.export.save that needs no pickle, and runs it with torch."""

    providers = PROVIDERS

    def require(self, job: ExportJob | None, provider: str) -> None:
        try:
            refuse_missing(provider)
        except runtime.SetupError as error:
            what, _, fix = str(error).partition("; fix: ")
            raise SetupError(what, fix=fix) from error

    def write(self, job: ExportJob, path: Path) -> None:
        """Write the graph of ATen operators, the weights as raw tensors, and the metadata as extra files.

        The batch is dynamic if ``job.batch`` is None; the other sizes are fixed.
        """
        from zoo_torch_export.writing import write

        try:
            write(job, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def check(self, path: Path, job: ExportJob | None) -> FileFacts:
        """Load the archive if it can be loaded without pickles; with a job, also check batch and metadata."""
        from zoo_torch_export.checking import check

        return check(path, job)

    def open(self, path: Path, provider: str, threads: int | None = None) -> TorchRunner:
        return TorchRunner(path, provider, threads)

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        from zoo_torch_export.first_mismatch import first_mismatch

        return first_mismatch(path, model, inputs, tolerance)

    def client(self, description: JSON) -> dict[str, bytes]:
        folder = Path(__file__).parent
        return {
            "predict.py": (folder / "client.py").read_bytes(),
            "pt2_archive.py": (folder / "archive.py").read_bytes(),
            "pt2_program.py": (folder / "program.py").read_bytes(),
            "zoo_runtime.py": runtime_source(),
        }

    def card(self, facts: FileFacts) -> str:
        details = facts.details
        return f"| written by | torch {details['torch']}, schema version {details['schema_version']} |\n"

    def inspect(self, path: Path) -> FileContents | None:
        from zoo_torch_export.inspecting import inspect

        return inspect(path)
