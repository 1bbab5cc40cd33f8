"""Calls into plugins: what they change in the process is restored and named, and only the user's Ctrl-C ends a
command."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from zoo.registry.plugin_isolation import Escaped, isolated

CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "the working directory": (lambda: os.chdir("/"), os.getcwd),
    "the recursion limit": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "signal handlers": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "environment variables": (lambda: os.environ.update(ZOO_RUNS="/elsewhere"), lambda: os.environ.get("ZOO_RUNS")),
    "torch's default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "torch's default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "torch's gradient mode": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "torch's deterministic mode": (
        lambda: torch.use_deterministic_algorithms(True),
        torch.are_deterministic_algorithms_enabled,
    ),
    "torch's number of threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "torch's precision of matrix products": (
        lambda: torch.set_float32_matmul_precision("medium"),
        torch.get_float32_matmul_precision,
    ),
    "torch's anomaly detection": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "cuDNN's setting 'benchmark'": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: torch.backends.cudnn.benchmark,
    ),
    "autocast on cpu": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
}
AROUND_EVENTS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "the random state of Python": (random.random, lambda: hash(random.getstate())),
    "the random state of numpy": (np.random.random, lambda: str(np.random.get_state())),
    "the random state of torch": (lambda: torch.rand(1), lambda: torch.get_rng_state().numpy().tobytes()),
    "warning filters": (lambda: warnings.simplefilter("ignore"), lambda: list(warnings.filters)),
}


@pytest.mark.filterwarnings("ignore:.*anomaly.*", "ignore:Anomaly Detection")
@pytest.mark.parametrize("name", CHANGES)
def test_what_a_plugin_changes_is_restored_and_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    change, read = CHANGES[name]
    before, told = read(), []
    with isolated("lab", "building lab/net", told.append):
        change()
        assert read() != before
    assert read() == before
    assert told == [f"plugin 'lab' changed {name} in building lab/net; restored"]


@pytest.mark.parametrize("name", AROUND_EVENTS)
def test_random_numbers_and_warning_filters_are_left_alone_by_events(name: str) -> None:
    change, read = AROUND_EVENTS[name]
    before, told = read(), []
    with isolated("lab", "zoo_epoch_ended", told.append, draws=False):
        change()
        assert read() != before
    assert read() == before and told == [f"plugin 'lab' changed {name} in zoo_epoch_ended; restored"]


def test_a_network_draws_its_weights() -> None:
    told: list[str] = []
    torch.manual_seed(1)
    first = torch.get_rng_state()
    with isolated("lab", "building", told.append):
        torch.rand(1)
    assert told == [] and not torch.equal(torch.get_rng_state(), first)


def test_several_changes_are_one_line_and_an_error_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    with pytest.raises(ZeroDivisionError), isolated("lab", "work", told.append):
        os.chdir("/")
        torch.set_grad_enabled(False)
        _ = 1 / 0
    assert told == ["plugin 'lab' changed the working directory, torch's gradient mode in work; restored"]
    assert torch.is_grad_enabled() and Path.cwd() == tmp_path.resolve()


def test_what_cannot_be_restored_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, told = tmp_path / "gone", []
    gone.mkdir()
    monkeypatch.chdir(gone)
    with isolated("lab", "work", told.append):
        os.chdir("/")
        gone.rmdir()
    assert len(told) == 1 and "the working directory (which cannot be restored: FileNotFoundError" in told[0]


class Strange(BaseException):
    pass


@pytest.mark.parametrize("raised", [SystemExit(0), SystemExit("bye"), KeyboardInterrupt(), Strange("x")], ids=repr)
def test_a_plugin_cannot_end_the_command(raised: BaseException) -> None:
    with pytest.raises(Escaped, match=type(raised).__name__), isolated("lab", "work", print):
        raise raised


def test_in_another_thread_an_interrupt_is_the_plugin_s() -> None:
    found: list[str] = []

    def work() -> None:
        try:
            with isolated("lab", "work", print):
                raise KeyboardInterrupt
        except Escaped as error:
            found.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["KeyboardInterrupt"]


def test_the_user_s_ctrl_c_ends_it_and_the_handler_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), isolated("lab", "work", print):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_application_s_own_handler_is_believed() -> None:
    def own(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, own)
    try:
        with pytest.raises(KeyboardInterrupt), isolated("lab", "work", print):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
