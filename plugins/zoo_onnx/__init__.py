"""Export to ONNX, verified by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.api import ExporterSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_exporters() -> Sequence[ExporterSpec]:
    return [
        ExporterSpec(
            name="onnx",
            summary="One self-describing .onnx file, by torch.onnx.export, compared with PyTorch by onnxruntime",
            source="https://onnx.ai/onnx/",
            target="zoo_onnx.exporter:OnnxExporter",
            options="zoo_onnx.options:OnnxOptions",
            suffix=".onnx",
            default=True,
        )
    ]
