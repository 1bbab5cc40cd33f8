"""A type checker sees what a third party's task, adaptation, dataset or exporter does not keep of the contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
KEPT = """
from typing import Any
import torch
from torch import nn
from zoo.api import (
    JSON, AdaptContext, Adaptation, Affine, Batch, Dataset, Decision, EvaluationResult, Evaluator, Exporter, ExportJob,
    FileContents, FileFacts, Loss, Monitor, Options, Outputs, Part, PartView, Runner, Split, Target, Task, Values,
)
from zoo.plugin import MetricEvaluator
from collections.abc import Mapping
from pathlib import Path
import numpy as np

class Mean(Task[Options]):
    monitor = Monitor("mae", "min")

    @classmethod
    def statistics(cls, options: Options, target: Target, train: PartView) -> dict[str, Any]:
        return {}

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        return Loss(outputs["output"].mean(1))

    def decision(self, val: EvaluationResult | None) -> Affine:
        return Affine(names=("a",), scale=(1.0,), offset=(0.0,))

    def evaluator(self, decision: Decision) -> Evaluator:
        return MetricEvaluator(decision, {"mae": "MeanAbsoluteError"})

class Same(Adaptation[Options]):
    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        return model, {}

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        return model

class Empty(Dataset):
    parts: Mapping[Part, str] = {"train": "train"}
    fingerprint = "none"

    @property
    def target(self) -> Target:
        return Values(names=("a",))

    def load(self, split: str) -> Split:
        return Split([], [])

class Settings(Options):
    strict: bool = False

class Opened:
    runtime, provider = "torch", "cpu"
    metadata: Mapping[str, str] = {}

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return inputs

    def close(self) -> None: ...

class Saved(Exporter[Settings]):
    providers = ("cpu", "npu")
    alternative = "try --set export.strict=true"

    def require(self, job: ExportJob | None, provider: str) -> None:
        assert not self.options.strict

    def write(self, job: ExportJob, path: Path) -> None:
        torch.save(job.model, path)

    def check(self, path: Path, job: ExportJob | None) -> FileFacts:
        return FileFacts(path.stat().st_size, details={"strict": self.options.strict})

    def open(self, path: Path, provider: str, threads: int | None = None) -> Runner:
        return Opened()

    def first_mismatch(self, path: Path, model: nn.Module, inputs: torch.Tensor, tolerance: float) -> str | None:
        return None

    def client(self, description: JSON) -> Mapping[str, bytes]:
        return {}

    def card(self, facts: FileFacts) -> str:
        return ""

    def inspect(self, path: Path) -> FileContents | None:
        return FileContents("a saved model")
"""
WRONG = {
    "outputs: Outputs, batch: Batch) -> Loss:": "outputs: Outputs, batch: Batch) -> object:",
    "def evaluator(self, decision: Decision) -> Evaluator:": "def evaluator(self, decision: Decision) -> object:",
    "-> tuple[nn.Module, dict[str, Any]]:\n        return model, {}": "-> nn.Module:\n        return model",
    "def rebuild(self, model: nn.Module, adaptation: JSON)": "def rebuild(self, model: nn.Module)",
    "-> Split:\n        return Split([], [])": "-> list[int]:\n        return []",
    "-> FileFacts:\n        return FileFacts(path.stat().st_size,": "-> JSON:\n        return dict(size=1,",
    "threads: int | None = None) -> Runner:": "threads: int | None = None) -> object:",
    "def write(self, job: ExportJob, path: Path) -> None:": "def write(self, job: ExportJob) -> None:",
    "def client(self, description: JSON) -> Mapping[str, bytes]:\n        return {}": (
        "def client(self, description: JSON) -> Mapping[str, str]:\n        return {}"
    ),
    "def inspect(self, path: Path) -> FileContents | None:\n        return FileContents": (
        "def inspect(self, path: Path) -> str:\n        return str"
    ),
    "def require(self, job: ExportJob | None, provider: str)": "def require(self, job: ExportJob, provider: str)",
}


def errors(source: str, folder: Path) -> list[str]:
    file = folder / "third_party.py"
    file.write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TOP, check=False)
    return [line for line in done.stdout.splitlines() if "third_party.py" in line and "error:" in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("typing")


@pytest.mark.slow
def test_what_keeps_the_contract_is_clean(folder: Path) -> None:
    assert errors(KEPT, folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("right", WRONG)
def test_a_wrong_override_is_an_error(right: str, folder: Path) -> None:
    assert right in KEPT
    assert any("incompatible with" in line for line in errors(KEPT.replace(right, WRONG[right]), folder))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("-> Mapping[str, np.ndarray]:\n        return inputs", "-> np.ndarray:\n        return inputs['input']"),
        ("    def close(self) -> None: ...\n", ""),
        ('runtime, provider = "torch", "cpu"', 'runtime = "torch"'),
    ],
)
def test_what_an_exporter_opens_must_be_a_runner(right: str, wrong: str, folder: Path) -> None:
    assert right in KEPT
    found = errors(KEPT.replace(right, wrong), folder)
    assert any('got "Opened", expected "Runner"' in line for line in found), found
