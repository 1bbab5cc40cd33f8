"""The options of the ONNX exporter."""

from __future__ import annotations

from pydantic import Field

from zoo.api import Options

DEFAULT_OPSET = 18
"""The opset that torch's exporter writes natively: no conversion, and read by every onnxruntime since 1.14."""
LOWEST_OPSET, HIGHEST_OPSET = 15, 25
"""Below 18 onnx's own converter works downwards, as far as 15; 25 is the last that torch's exporter reaches."""


class OnnxOptions(Options):
    opset: int = Field(
        DEFAULT_OPSET, ge=LOWEST_OPSET, le=HIGHEST_OPSET, description="version of the ONNX operators in the file"
    )
