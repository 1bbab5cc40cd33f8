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
from zoo.api import Exporter, FileFacts
from zoo.errors import SetupError

class Runner:
    runtime, provider, metadata = "torch", "cpu", {metadata}

    def __init__(self, path):
        self.model = torch.load(path, weights_only=False)

    def __call__(self, inputs):
        with torch.inference_mode():
            return {{"output": self.model(torch.from_numpy(inputs["input"])).numpy(){twist}}}

    def close(self):
        del self.model

class Pickled(Exporter):
    def require(self, job, provider):
        {require}

    def write(self, job, path):
        {write}
        torch.save(job.model, path)

    def check(self, path, job):
        return FileFacts(path.stat().st_size, details={details})

    def open(self, path, provider, threads=None):
        return Runner(path)

    def first_mismatch(self, path, model, inputs, tolerance):
        return "the last one"

build = Pickled
"""


def exporter(
    write: str = "pass", twist: str = "", details: str = "{}", metadata: str = "{}", require: str = "pass"
) -> str:
    return PICKLED.format(write=write, twist=twist, details=details, metadata=metadata, require=require)


def test_a_sound_exporter_has_no_faults(odd: Odd) -> None:
    assert odd(SPEC, exporter()) == []


@pytest.mark.parametrize(
    ("parts", "check", "fault"),
    [
        ("def build(options): return object()", "build", "is a object, not a zoo.api.Exporter"),
        (
            "from zoo.api import Exporter\nclass build(Exporter): pass",
            "build",
            "could not be built: TypeError: Can't instantiate abstract class build",
        ),
        (
            exporter(twist=" * 1.01"),
            "vector",
            "a vector output: the exported model is not the PyTorch model",
        ),
        (exporter(twist=" * 1.01"), "map", "first mismatch: the last one"),
        (exporter(twist=".reshape(len(inputs['input']), -1)"), "map", "a map output: "),
        (exporter(twist="[:2]"), "vector", "a vector output: "),
        (
            exporter(write="if job.model(job.example).ndim == 4: raise RuntimeError('vectors alone')"),
            "map",
            "a map output: raised RuntimeError: vectors alone",
        ),
        (exporter(write="return"), "vector", "a vector output: write left no model.pt2"),
        (exporter(details="{'sizes': {1}}"), "vector", "raised TypeError"),
        (
            exporter(metadata="{'testing': 'another'}"),
            "vector",
            "a vector output: the metadata 'testing' is altered in the file",
        ),
        (exporter(metadata="{'another': 'text'}"), "vector", "the metadata 'testing' is missing from the file"),
        (
            exporter(require="raise SetupError('no such chip', fix='buy one')"),
            "vector",
            "a vector output: no such chip; fix: buy one",
        ),
        (exporter(write="torch.set_num_threads(torch.get_num_threads() + 1)"), "global_state", "number of threads"),
    ],
)
def test_each_fault_is_named(odd: Odd, parts: str, check: str, fault: str) -> None:
    found = odd(SPEC, parts)
    assert any(fault in line and line.check == f"exporter/pickled/{check}" for line in found), found


def test_what_works_for_vectors_is_not_blamed_for_maps(odd: Odd) -> None:
    found = odd(SPEC, exporter(twist=".reshape(len(inputs['input']), -1)"))
    assert [line.check for line in found] == ["exporter/pickled/map"], found
