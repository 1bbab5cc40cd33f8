"""The exporter as zoo calls it: options, the facts of a file, providers, and files that are left nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from zoo_onnx.client import PROVIDERS
from zoo_onnx.exporter import OnnxExporter
from zoo_onnx.options import DEFAULT_OPSET

from zoo.api import ExportJob
from zoo.config.item_options import build_exporter
from zoo.errors import ConfigError, SetupError, UsageError
from zoo.exporting.opening import check_provider, opened
from zoo.registry.lookup import registry

MakeExporter = Callable[..., OnnxExporter]
MakeJob = Callable[..., ExportJob]
Write = Callable[..., Path]


@pytest.mark.parametrize("opset", [None, 15, 17, 18, 21, 25])
def test_the_opset_asked_for_is_the_one_written_and_the_file_computes_the_same(
    exporter: MakeExporter, job: MakeJob, write: Write, opset: int | None
) -> None:
    options = {} if opset is None else {"opset": opset}
    given = job(metadata={"zoo": '{"ä": 1}'})
    path = write(given, **options)
    assert exporter(**options).check(path, given).details["opset"] == (opset or DEFAULT_OPSET)
    runner = exporter().open(path, "cpu")
    assert runner.metadata == given.metadata
    for batch in (1, 2, 7):
        inputs = torch.randn(batch, 1, 8, 8)
        with torch.no_grad():
            due = given.model(inputs).numpy()
        np.testing.assert_allclose(runner({"input": inputs.numpy()})["output"], due, atol=1e-5)


@pytest.mark.parametrize("opset", [3, 14, 26, 99])
def test_an_opset_out_of_range_is_refused_with_the_range(opset: int) -> None:
    with pytest.raises(ConfigError, match=r"export\.opset.*(15|25)"):
        build_exporter(registry().exporter("onnx"), {"opset": opset})


def test_the_facts_of_a_file_name_its_size_its_versions_and_what_runs_it(
    exporter: MakeExporter, job: MakeJob, write: Write
) -> None:
    path = write(job())
    facts = exporter().check(path, job())
    assert facts.size_bytes == path.stat().st_size
    assert facts.requires == {"onnxruntime": "1.15"}
    assert facts.versions.keys() == {"onnx", "onnxscript", "onnxruntime"}
    details = {name: facts.details[name] for name in ("opset", "ir_version", "input", "output")}
    assert details == {"opset": 18, "ir_version": 8, "input": "input", "output": "output"}
    assert exporter().card(facts) == "| opset | 18, IR version 8 |\n"
    assert exporter().check(path, None) == facts


def test_the_provider_asked_for_is_the_one_that_runs_or_an_error(exporter: MakeExporter, write: Write) -> None:
    path = write()
    with opened(exporter(), path, "cpu") as runner:
        assert runner.provider == "cpu" and runner.runtime.startswith("onnxruntime ")
    assert set(exporter().providers) == set(PROVIDERS)
    with pytest.raises(
        UsageError, match=r"exporter onnx has no provider 'tpu' \(--provider\); fix: choose one of: cpu"
    ):
        check_provider(exporter(), "tpu", "onnx")
    if not torch.cuda.is_available():
        with pytest.raises(SetupError, match="CUDAExecutionProvider"), opened(exporter(), path, "cuda"):
            pass


@pytest.mark.parametrize(
    ("computes", "said"),
    [
        ({"Conv", "Relu", "MaxPool", "Reshape", "Gemm"}, ""),
        ({"Conv", "Relu", "MaxPool"}, r" \(3 of 10 nodes on the CPU: Gemm, Reshape\)"),
        (set(), None),
    ],
)
def test_nodes_that_another_provider_computes_are_named(exporter: MakeExporter, monkeypatch, computes, said) -> None:
    """onnxruntime's own record of a session, with the operators that CUDA would compute as CUDA's."""
    plain = onnxruntime.InferenceSession

    class OnCuda:
        def __init__(self, path: str, options: object, providers: list[tuple[str, dict[str, str]]]) -> None:
            ((self._asked, _),) = providers
            self._session = plain(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return [self._asked, "CPUExecutionProvider"]

        def get_provider_graph_assignment_info(self) -> list[SimpleNamespace]:
            parts = self._session.get_provider_graph_assignment_info()
            nodes = [(part.ep_name, node) for part in parts for node in part.get_nodes()]
            return [
                SimpleNamespace(
                    ep_name=self._asked if node.op_type in computes else name, get_nodes=lambda node=node: [node]
                )
                for name, node in nodes
            ]

        def __getattr__(self, name: str) -> object:
            return getattr(self._session, name)

    monkeypatch.setattr(onnxruntime, "InferenceSession", OnCuda)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.delattr(onnxruntime, "preload_dlls", raising=False)
    path = Path(__file__).parents[3] / "exports" / "published" / "cnn_mnist" / "model.onnx"
    if said is None:
        with (
            pytest.raises(SetupError, match="CUDAExecutionProvider computes no operator"),
            opened(exporter(), path, "cuda"),
        ):
            pass
    else:
        with opened(exporter(), path, "cuda") as runner:
            assert re.fullmatch(rf"onnxruntime [\d.]+{said}", runner.runtime)


@pytest.mark.gpu
@pytest.mark.onnxruntime_cuda
def test_on_cuda_the_file_computes_the_same(exporter: MakeExporter, job: MakeJob, write: Write) -> None:
    given = job()
    path = write(given)
    inputs = torch.randn(7, 1, 8, 8)
    with torch.no_grad():
        expected = given.model(inputs).numpy()
    found = exporter().open(path, "cuda")({"input": inputs.numpy()})["output"]
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_file_is_opened_without_torch_and_onnx(write: Write) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom zoo_onnx.exporter import OnnxExporter\n"
        "from zoo_onnx.options import OnnxOptions\n"
        f"OnnxExporter(OnnxOptions()).open(Path({str(write())!r}), 'cpu').close()\n"
        "assert not {'torch', 'onnx', 'onnxscript'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
