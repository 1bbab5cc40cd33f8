"""The options of the exporter, set with `--set export.compress_to_fp16=true`; `zoo info openvino` lists them."""

from __future__ import annotations

from pydantic import Field

from zoo.api import Options


class OpenVinoOptions(Options):
    compress_to_fp16: bool = Field(
        False,
        description="store weights in float16, in half the space; the export fails if the outputs then differ",
    )
