"""Quantise an ONNX file to 8 bits, weights and activations, with onnxruntime's quantizer, for comparison and in
combination with low-rank factorisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

BATCH = 16


class _Images(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, images: np.ndarray) -> None:
        self._batches = iter([images[start : start + BATCH] for start in range(0, len(images), BATCH)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"input": np.ascontiguousarray(batch)}


def quantise(path: Path, images: np.ndarray) -> bool:
    """Rewrite the file: weights as int8 with a scale for each output, activations as uint8 of the range that normalised
    ``images`` (N, C, H, W) show. False, and the file as it was, where it is not ONNX or the quantizer does not take
    it.

    Unsigned activations are what the dot products of x86 and Arm processors multiply by signed weights.
    """
    if path.suffix != ".onnx":
        return False
    prepared, found = path.with_name("prepared.onnx"), path.with_name("quantised.onnx")
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            found,
            _Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        found.replace(path)
        return True
    except Exception:  # whatever it meets in a graph that it does not know, of any type
        return False
    finally:
        prepared.unlink(missing_ok=True)
        found.unlink(missing_ok=True)
