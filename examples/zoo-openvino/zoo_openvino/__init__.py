"""Export to OpenVINO. This module imports neither torch nor openvino: `zoo list` reads only specs."""

from __future__ import annotations

from zoo.api import ExporterSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_exporters() -> list[ExporterSpec]:
    return [
        ExporterSpec(
            name="openvino",
            summary="OpenVINO model, an .xml file with its weights in a .bin file, compared with PyTorch by OpenVINO",
            source="https://docs.openvino.ai",
            target="zoo_openvino.exporter:OpenVinoExporter",
            options="zoo_openvino.options:OpenVinoOptions",
            suffix=".xml",
        )
    ]
