"""The ONNX exporter. torch and onnx are imported where they are needed: to open a file, onnxruntime is enough."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.api import JSON, Exporter, ExportJob, FileContents, FileFacts
from zoo.plugin import runtime_source
from zoo_onnx.client import PROVIDERS, OnnxRunner
from zoo_onnx.options import OnnxOptions

if TYPE_CHECKING:
    from torch import Tensor, nn


class OnnxExporter(Exporter[OnnxOptions]):
    """Writes a file with torch.onnx, checks it with onnx, and runs it with onnxruntime."""

    providers = tuple(PROVIDERS)
    alternative = "try another opset: --set export.opset=N"

    def write(self, job: ExportJob, path: Path) -> None:
        """Write the model with input "input" (N, C, H, W) and output "output" (N, …).

        Only N is dynamic, and only if ``job.batch`` is None. Weights are in the file, or above 2 GB in
        ``<name>.data``. ``<stem>.layers.json`` has the module of each node.
        """
        from zoo_onnx.writing import data_file, layers_file, translate, write

        opset = self.options.opset
        try:
            write(translate(job, opset), path, opset, job.metadata)
        except BaseException:
            for file in (path, data_file(path), layers_file(path)):
                file.unlink(missing_ok=True)
            raise

    def check(self, path: Path, job: ExportJob | None) -> FileFacts:
        """Run onnx's full check; with a job, also check the opset, metadata, batch and data files."""
        from zoo_onnx.checking import check

        return check(path, job, self.options.opset)

    def open(self, path: Path, provider: str, threads: int | None = None) -> OnnxRunner:
        return OnnxRunner(path, provider, threads)

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        from zoo_onnx.first_mismatch import first_mismatch

        return first_mismatch(path, model, inputs, tolerance)

    def client(self, description: JSON) -> dict[str, bytes]:
        return {
            "predict.py": Path(__file__).with_name("client.py").read_bytes(),
            "zoo_runtime.py": runtime_source(),
        }

    def card(self, facts: FileFacts) -> str:
        return f"| opset | {facts.details['opset']}, IR version {facts.details['ir_version']} |\n"

    def inspect(self, path: Path) -> FileContents | None:
        from zoo_onnx.inspecting import inspect

        return inspect(path)
