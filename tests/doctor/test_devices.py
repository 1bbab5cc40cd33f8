"""Processor, memory, CUDA and the compiler."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zoo.doctor import devices, onnxruntime_providers
from zoo.doctor.finding import Finding


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_the_processor_and_its_memory_are_those_of_the_system() -> None:
    cpu = by_name(devices.processor())["cpu"].facts
    assert (cpu["cores"], cpu["threads"]) == (os.cpu_count(), torch.get_num_threads())
    facts = by_name(devices.memory())["memory"].facts
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert facts["total"] <= int(lines["MemTotal"].split()[0]) * 1024 and 0 < facts["available"] <= facts["total"]


def test_the_limits_of_a_container_are_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(devices.system_memory, "CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000000\n")
    (cpu,) = devices.processor()
    assert (cpu.level, cpu.facts["quota"], cpu.fix) == ("warning", 0.5, "run with --set threads=1")
    (memory,) = devices.memory()
    assert (memory.level, memory.facts["total"]) == (
        "warning",
        1_000_000_000,
    ) and "1.0 GB allowed to this container" in memory.says
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert [finding.facts.get("quota") for finding in devices.processor()] == [None]
    assert [finding.facts["limit"] for finding in devices.memory()] == [None]


DRIVER = "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU"


@pytest.mark.parametrize(
    ("built", "seen", "level", "words"),
    [
        ("13.2", [], "info", "no CUDA device: runs use the CPU (torch is built for CUDA 13.2)"),
        (
            "13.2",
            ["H100 (driver 470.1)"],
            "problem",
            "torch, built for CUDA 13.2, cannot use H100 (driver 470.1): RuntimeError",
        ),
        (None, [], "info", "is built without CUDA"),
        (None, ["H100 (driver 570.1)"], "warning", "is built without CUDA, and there is H100 (driver 570.1)"),
    ],
)
def test_where_there_is_no_cuda_the_report_says_whether_there_should_be(monkeypatch, built, seen, level, words) -> None:
    def init() -> None:
        raise RuntimeError(DRIVER)

    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(devices, "driver_devices", lambda: seen)
    (finding,) = devices.cuda()
    assert (
        finding.level == level
        and words.replace("RuntimeError", "Found no NVIDIA driver on your system") in finding.says
    )
    assert (finding.fix is None) == (level == "info")


def test_the_driver_s_devices_come_from_its_own_program(tmp_path, monkeypatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\n[ "$1" = "--query-gpu=name,driver_version" ] && echo "NVIDIA H100, 570.86" && echo "NVIDIA A2, '
        '570.86"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert devices.driver_devices() == ["NVIDIA H100 (driver 570.86)", "NVIDIA A2 (driver 570.86)"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert devices.driver_devices() == []


def test_a_missing_compiler_is_a_warning(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    finding = by_name(devices.compiler())["compiler"]
    assert (
        (finding.level, finding.facts["compiler"]) == ("warning", None)
        and "no-such-compiler" in finding.says
        and finding.fix
    )
    compiler = tmp_path / "c++"
    compiler.write_text("")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    assert by_name(devices.compiler())["compiler"].facts["compiler"] == str(compiler)
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    assert "Python.h" in by_name(devices.compiler())["compiler"].says


@pytest.mark.parametrize(
    ("product", "level"),
    [(8, "ok"), (7, "problem"), (RuntimeError("no kernel image is available. And more"), "problem")],
    ids=str,
)
def test_a_cuda_device_is_judged_by_what_it_computes(monkeypatch, product, level) -> None:
    """Without one: its facts are made up, and what it computes."""

    def ones(*shape, device):
        if isinstance(product, Exception):
            raise product
        return torch.eye(8) * product**0.5 if product != 8 else torch.full(shape, 1.0)

    facts = {"name": "Made Up", "total_memory": 80e9, "major": 9, "minor": 0}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: SimpleNamespace(**facts))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _index: (60e9, 80e9))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    monkeypatch.setattr(torch, "ones", ones)
    finding = devices.cuda_device(0, "13.2", ["Made Up (driver 570)"])
    assert (finding.name, finding.level) == ("cuda:0", level)
    if level == "ok":
        assert (
            finding.says == "Made Up, 80.0 GB, of which 60.0 GB are free, compute 9.0, bf16; torch for CUDA 13.2"
            and finding.facts["bf16"]
        )
    else:
        assert finding.fix and ("sm_75, sm_80" in finding.fix) == isinstance(product, Exception)


@pytest.mark.gpu
def test_a_cuda_device_is_told_after_it_computed() -> None:
    finding = by_name(devices.cuda())["cuda:0"]
    assert finding.level == "ok" and finding.facts["correct"] and finding.facts["name"] == torch.cuda.get_device_name(0)
    assert finding.facts["memory"] == torch.cuda.get_device_properties(0).total_memory


@pytest.mark.gpu
@pytest.mark.onnxruntime_cuda
def test_onnxruntime_s_cuda_provider_is_told_after_it_computed() -> None:
    assert by_name(onnxruntime_providers.providers())[onnxruntime_providers.CUDA].facts["usable"]
