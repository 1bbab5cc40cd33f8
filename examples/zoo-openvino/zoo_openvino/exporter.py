"""The exporter. torch and openvino are imported where they are needed: zoo imports this module to list its options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from zoo.api import JSON, Exporter, ExportJob, FileContents, FileFacts
from zoo.errors import ExportError, SetupError
from zoo.plugin import read_bytes, runtime, runtime_source
from zoo_openvino.client import OLDEST, PROVIDERS, OpenVinoRunner, import_openvino, metadata_of
from zoo_openvino.options import OpenVinoOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGEST_XML = 256 << 20


class OpenVinoExporter(Exporter[OpenVinoOptions]):
    """Converts the graph of torch.export with openvino, and runs the model with openvino."""

    providers = PROVIDERS
    alternative = "try --set export.compress_to_fp16=false"

    def require(self, job: ExportJob | None, provider: str) -> None:
        try:
            import_openvino()
        except runtime.SetupError as error:
            what, _, fix = str(error).partition("; fix: ")
            raise SetupError(what, fix=fix) from error

    def write(self, job: ExportJob, path: Path) -> None:
        """Write ``path`` and the weights beside it, in a file that ends with ``.bin``."""
        from zoo_openvino.writing import write

        try:
            write(job, path, self.options.compress_to_fp16)
        except BaseException:
            for file in (path, path.with_suffix(".bin")):
                file.unlink(missing_ok=True)
            raise

    def check(self, path: Path, job: ExportJob | None) -> FileFacts:
        """Read the model with openvino; with a job, compare its metadata and the shape of its input."""
        openvino = import_openvino()
        try:
            model = openvino.Core().read_model(str(path))
            shape = [size.get_length() if size.is_static else "N" for size in model.input(0).partial_shape]
        except Exception as error:
            raise ExportError(
                f"openvino cannot read it: {' '.join(str(error).split())[:200]}", where=path.name
            ) from error
        if job is not None and shape != [job.batch or "N", *job.example.shape[1:]]:
            raise ExportError(f"the input of the model has the shape {shape}", where=path.name)
        if job is not None and metadata_of(model) != dict(job.metadata):
            raise ExportError("the metadata of the model is not the one to write", where=path.name)
        return FileFacts(
            size_bytes=sum(file.stat().st_size for file in (path, path.with_suffix(".bin"))),
            requires={name: ".".join(map(str, version)) for name, version in OLDEST.items()},
            versions={"openvino": openvino.__version__},
            details={"input_shape": shape, "operators": len(model.get_ops()), "fp16": self.options.compress_to_fp16},
        )

    def open(self, path: Path, provider: str, threads: int | None = None) -> OpenVinoRunner:
        return OpenVinoRunner(path, provider, threads)

    def first_mismatch(self, path: Path, model: nn.Module, inputs: Tensor, tolerance: float) -> str | None:
        from zoo_openvino.first_mismatch import first_mismatch

        return first_mismatch(path, model, inputs, tolerance)

    def client(self, description: JSON) -> dict[str, bytes]:
        return {
            "predict.py": Path(__file__).with_name("client.py").read_bytes(),
            "zoo_runtime.py": runtime_source(),
        }

    def card(self, facts: FileFacts) -> str:
        return f"| weights in | {'float16' if facts.details['fp16'] else 'float32'} |\n"

    def inspect(self, path: Path) -> FileContents | None:
        """Describe the .xml file by Python's XML parser, which reads the model's text and nothing else."""
        if path.suffix != ".xml":
            return None
        found = FileContents("OpenVINO model")
        try:
            root = ElementTree.fromstring(_without_entities(read_bytes(path, LARGEST_XML)))  # noqa: S314
        except (ElementTree.ParseError, ValueError, OSError) as error:
            found.refused.append(f"it is no XML that can be read: {error}")
            return found
        if root.tag != "net":
            return None
        layers = root.findall("layers/layer")
        found.facts = {"IR version": root.get("version"), "layers": len(layers)}
        found.contents = [(str(layer.get("name"))[:80], str(layer.get("type"))[:40]) for layer in layers]
        if not path.with_suffix(".bin").is_file():
            found.refused.append(f"its weights are missing: {path.with_suffix('.bin').name}")
        return found


def _without_entities(content: bytes) -> bytes:
    """Entities can make a small file endless; openvino writes none."""
    if b"<!" in content:
        raise ValueError("it declares entities")
    return content
