"""The conformance kit on exporters: small networks of each kind of output are exported and verified."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zoo.testing import Fault

Odd = Callable[..., list[Fault]]

SPEC = """
from zoo.api import ExporterSpec, hookimpl

@hookimpl
def zoo_register_exporters():
    return [ExporterSpec(name="pickled", summary="x", target="zoo_odd_parts:build", suffix=".pt2")]
"""
PICKLED = """
import torch

class Runner:
    provider = "cpu"

    def __init__(self, path):
        self.model = torch.load(path, weights_only=False)

    def __call__(self, inputs):
        with torch.inference_mode():
            return self.model(torch.from_numpy(inputs)).numpy(){twist}

class Exporter:
    def emit(self, model, example, path, request):
        {emit}
        torch.save(model, path)

    def check(self, path, request):
        return {{"size": {size}}}

    def runner(self, path, provider):
        return Runner(path)

    def first_mismatch(self, path, model, inputs, tolerance):
        return "the last one"

def build(options):
    return Exporter()
"""


def exporter(emit: str = "pass", twist: str = "", size: str = "path.stat().st_size") -> str:
    return PICKLED.format(emit=emit, twist=twist, size=size)


def test_a_sound_exporter_has_no_faults(odd: Odd) -> None:
    assert odd(SPEC, exporter()) == []


@pytest.mark.parametrize(
    ("parts", "check", "fault"),
    [
        ("def build(options): return object()", "methods", "lacks emit, check, runner, first_mismatch"),
        (
            exporter(twist=" * 1.01"),
            "vector",
            "a vector output: the exported model is not the PyTorch model",
        ),
        (exporter(twist=" * 1.01"), "map", "first mismatch: the last one"),
        (exporter(twist=".reshape(len(inputs), -1)"), "map", "a map output: "),
        (exporter(twist="[:2]"), "vector", "a vector output: "),
        (
            exporter(emit="if model(example).ndim == 4: raise RuntimeError('vectors alone')"),
            "map",
            "a map output: raised RuntimeError: vectors alone",
        ),
        (exporter(emit="return"), "vector", "a vector output: emit wrote no model.pt2"),
        (exporter(size="{1}"), "vector", "raised TypeError"),
        (exporter(emit="torch.set_num_threads(torch.get_num_threads() + 1)"), "global_state", "number of threads"),
    ],
)
def test_each_fault_is_named(odd: Odd, parts: str, check: str, fault: str) -> None:
    found = odd(SPEC, parts)
    assert any(fault in line and line.check == f"exporter/pickled/{check}" for line in found), found


def test_what_works_for_vectors_is_not_blamed_for_maps(odd: Odd) -> None:
    found = odd(SPEC, exporter(twist=".reshape(len(inputs), -1)"))
    assert [line.check for line in found] == ["exporter/pickled/map"], found
