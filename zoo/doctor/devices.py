"""Checks of the hardware: processor, memory, CUDA, Apple's GPU, and the compiler for ``--compile``."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.doctor.finding import Finding, Level
from zoo.support import system_memory
from zoo.support.formatting import plural, size

LITTLE_MEMORY = 2e9
"""Bytes below which importing torch and training a small network becomes tight."""
COMPILERS = {"darwin": "clang++", "win32": "cl"}
"""What torch's compiler calls by default, where it is not g++."""


def processor() -> Iterator[Finding]:
    import torch

    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    quota = _processor_quota()
    facts = {"cores": cores, "usable": usable, "quota": quota, "threads": threads}
    says = f"{plural(cores, 'core')} ({usable} usable), {plural(threads, 'thread')}"
    if quota is not None and quota < threads:
        fix = f"run with --set threads={max(1, round(quota))}"
        yield Finding(
            "cpu",
            "warning",
            f"{says}; this container may use {quota:g} cores, and more threads slow each other down",
            fix,
            facts,
        )
    else:
        yield Finding("cpu", "ok", says, facts=facts)


def _processor_quota() -> float | None:
    """Cores that a Linux container may use at once (cgroup v2), or None where nothing limits it."""
    try:
        quota, period = (system_memory.CGROUP / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # ValueError: "max"
        return None


def memory() -> Iterator[Finding]:
    """Check total and available memory, or the limit of a container if that is lower."""
    import psutil

    known, limit = psutil.virtual_memory(), system_memory.container_limit()
    total = known.total if limit is None else min(known.total, limit)
    free = min(known.available, total)
    allowed = " allowed to this container" if limit == total else ""
    scarce = free < LITTLE_MEMORY
    yield Finding(
        "memory",
        "warning" if scarce else "ok",
        f"{size(total)}{allowed}, of which {size(free)} are available",
        "close other programs; use a smaller --batch-size" if scarce else None,
        {"total": total, "limit": limit, "available": free},
    )


# ----------------------------------------------------------------------------------------------------------------- CUDA


def cuda() -> Iterator[Finding]:
    """Check every CUDA device with a matrix product; without a device, check whether one is expected."""
    import torch

    seen, built = driver_devices(), torch.version.cuda
    if built is None:
        level: Level = "warning" if seen else "info"
        fix = "install a torch with CUDA: see https://pytorch.org/get-started/locally" if seen else None
        yield Finding(
            "cuda",
            level,
            f"torch {torch.__version__} is built without CUDA{_there_are(seen)}",
            fix,
            {"built": None, "driver": seen},
        )
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the same is said by the error
            torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        yield _no_cuda(built, seen, error)
        return
    for index in range(torch.cuda.device_count()):
        yield cuda_device(index, built, seen)


def _no_cuda(built: str, seen: list[str], error: Exception) -> Finding:
    facts = {"built": built, "driver": seen, "devices": 0}
    if not seen:
        return Finding(
            "cuda", "info", f"no CUDA device: runs use the CPU (torch is built for CUDA {built})", facts=facts
        )
    cause = " ".join(str(error).split()).partition(". ")[0]
    fix = f"update the NVIDIA driver to one for CUDA {built}, or install a torch for the driver's CUDA"
    return Finding(
        "cuda", "problem", f"torch, built for CUDA {built}, cannot use {', '.join(seen)}: {cause}", fix, facts
    )


def cuda_device(index: int, built: str, seen: list[str]) -> Finding:
    import torch

    name, properties = f"cuda:{index}", torch.cuda.get_device_properties(index)
    major, minor = properties.major, properties.minor
    facts: dict[str, Any] = {
        "name": properties.name,
        "memory": properties.total_memory,
        "capability": f"{major}.{minor}",
        "built": built,
        "driver": seen,
    }
    try:
        ones = torch.ones(8, 8, device=name)
        correct = bool((ones @ ones == 8).all())
        free, _ = torch.cuda.mem_get_info(index)
    except RuntimeError as error:
        cause = " ".join(str(error).split()).partition(". ")[0]
        fix = (
            f"this torch has kernels for {', '.join(torch.cuda.get_arch_list())}; install one for this device, or free "
            "its memory"
        )
        return Finding(
            name, "problem", f"{properties.name} (compute {major}.{minor}) computes nothing: {cause}", fix, facts
        )
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    facts |= {"free": free, "bf16": bf16, "correct": correct}
    sizes = f"{size(properties.total_memory)}, of which {size(free)} are free"
    says = (
        f"{properties.name}, {sizes}, compute {major}.{minor}, {'bf16' if bf16 else 'no bf16'}; torch for CUDA {built}"
    )
    if not correct:
        return Finding(
            name,
            "problem",
            f"{says}; it computes a wrong matrix product",
            "do not train on it; check the device for hardware errors",
            facts,
        )
    return Finding(name, "ok", says, facts=facts)


def _there_are(devices: list[str]) -> str:
    return f", and there is {', '.join(devices)}" if devices else ""


def driver_devices() -> list[str]:
    """Return the devices of the NVIDIA driver, as ``name (driver version)``; none without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        f"{name.strip()} (driver {version.strip()})"
        for name, _, version in (line.partition(",") for line in told.splitlines() if line.strip())
    ]


def mps() -> Iterator[Finding]:
    import torch

    if torch.backends.mps.is_available():
        yield Finding("mps", "ok", "Apple's GPU can be used: --device mps", facts={"available": True})


# ------------------------------------------------------------------------------------------------------------- compiler


def compiler() -> Iterator[Finding]:
    """What ``--compile`` needs: a C++ compiler and Python's headers; triton for CUDA."""
    name = os.environ.get("CXX") or COMPILERS.get(sys.platform, "g++")
    found = shutil.which(name)
    header = Path(sysconfig.get_path("include")) / "Python.h"
    facts = {"compiler": found, "headers": header.is_file()}
    if found is None:
        yield Finding(
            "compiler",
            "warning",
            f"no C++ compiler ({name}): --compile cannot be used",
            "install one, such as g++",
            facts,
        )
    elif not header.is_file():
        yield Finding(
            "compiler",
            "warning",
            f"no Python headers ({header}): --compile cannot be used",
            "install Python's headers (python3-dev)",
            facts,
        )
    else:
        yield Finding("compiler", "ok", f"{found}; Python headers found; --compile can be used", facts=facts)
    import torch

    if torch.cuda.is_available():
        here = importlib.util.find_spec("triton") is not None
        fix = None if here else "pip install triton"
        yield Finding(
            "triton",
            "ok" if here else "warning",
            f"{'found' if here else 'not found'}; --compile {'can' if here else 'cannot'} be used on CUDA",
            fix,
            {"here": here},
        )
