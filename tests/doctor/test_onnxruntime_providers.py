"""The providers of onnxruntime that can be used."""

from __future__ import annotations

import torch

from zoo.doctor import onnxruntime_providers
from zoo.doctor.finding import Finding


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_a_provider_is_usable_when_it_ran_the_tiny_model() -> None:
    import onnx

    model = onnx.load_from_string(onnxruntime_providers.tiny_model())
    onnx.checker.check_model(model, full_check=True)
    assert onnxruntime_providers.attempt(onnxruntime_providers.tiny_model(), onnxruntime_providers.CPU) is None
    assert by_name(onnxruntime_providers.providers())[onnxruntime_providers.CPU].level == "ok"


def test_a_provider_that_falls_back_is_not_usable(monkeypatch) -> None:
    if not torch.cuda.is_available():
        assert onnxruntime_providers.attempt(onnxruntime_providers.tiny_model(), onnxruntime_providers.CUDA)
    assert onnxruntime_providers.attempt(b"no model", onnxruntime_providers.CPU)
    needed, other = (
        onnxruntime_providers.provider_finding(onnxruntime_providers.CUDA, "falls back", needed=True),
        onnxruntime_providers.provider_finding(onnxruntime_providers.CUDA, "falls back", needed=False),
    )
    assert (needed.level, other.level, other.facts) == (
        "warning",
        "info",
        {"usable": False, "fault": "falls back"},
    ) and needed.fix
    assert (
        onnxruntime_providers.provider_finding(onnxruntime_providers.CPU, "falls back", needed=True).level == "problem"
    )
