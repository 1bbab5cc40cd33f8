"""Check the execution providers of onnxruntime by running a tiny model, because onnxruntime silently falls back to the
CPU."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.doctor.finding import Finding

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
FIX = {
    CPU: "pip install --force-reinstall the onnxruntime that is installed",
    CUDA: "pip install 'onnxruntime-gpu[cuda,cudnn]', of the CUDA version that torch is built for",
}
OPSET, IR = 17, 8
"""Old enough for every onnxruntime that the zoo supports."""


def providers() -> Iterator[Finding]:
    import onnxruntime
    import torch

    onnxruntime.set_default_logger_severity(4)  # the findings replace onnxruntime's log
    available = list(onnxruntime.get_available_providers())
    if CUDA in available and torch.cuda.is_available():
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            onnxruntime.preload_dlls()
    model = tiny_model()
    for provider in available:
        needed = provider == CPU or (provider == CUDA and torch.cuda.is_available())
        yield provider_finding(provider, attempt(model, provider), needed)


def provider_finding(provider: str, fault: str | None, needed: bool) -> Finding:
    facts: dict[str, Any] = {"usable": fault is None, "fault": fault}
    if fault is None:
        return Finding(provider, "ok", "runs a test model with the correct result", facts=facts)
    if not needed:
        why = "there is no CUDA device" if provider == CUDA else "its libraries are not installed"
        return Finding(provider, "info", f"not available (optional): {why}", facts=facts)
    return Finding(
        provider, "problem" if provider == CPU else "warning", f"cannot be used: {fault}", FIX[provider], facts
    )


def attempt(model: bytes, provider: str) -> str | None:
    """Run the tiny model on a provider; return what is wrong, or None."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[provider], enable_fallback=0)
        running = session.get_providers()
        if running[0] != provider:
            return f"onnxruntime falls back to {running[0]}"
        (found,) = session.run(None, {"x": np.array([[1.0, 2.0]], np.float32)})
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return None if np.array_equal(found, [[7.0, 10.0]]) else f"it computes {found.tolist()}, expected [[7.0, 10.0]]"


def tiny_model() -> bytes:
    """y = x · [[1, 2], [3, 4]], of float32 (1, 2)."""
    from onnx import TensorProto, helper

    shape = [1, 2]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1.0, 2.0, 3.0, 4.0])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return bytes(made.SerializeToString())
