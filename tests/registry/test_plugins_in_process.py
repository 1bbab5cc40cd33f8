"""Plugins that misbehave in the process of a run: the run's result is the same, and each is named."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.errors import PluginError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.load_model import load
from zoo.runs.run_directory import RunDir

FAST = {"train": {"epochs": 2, "batch_size": 64}, "dataset": {"resize": 16}, "device": "cpu"}
Install = Callable[..., Path]

TRACKER = """
import os, random, sys
import torch
import numpy as np
from zoo.api import hookimpl

@hookimpl
def zoo_run_started(event):
    os.chdir("/")
    sys.setrecursionlimit(4321)
    event.config["train"]["lr"] = 99

@hookimpl
def zoo_step_logged(event):
    event.record["results"]["test"] = {"accuracy": 1.0}

@hookimpl
def zoo_epoch_ended(event):
    torch.manual_seed(7)
    np.random.seed(7)
    random.seed(7)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    if event.epoch == 1:
        raise KeyboardInterrupt
    raise SystemExit(0)
"""
NETWORK = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    parts = dict(target="zoo_rude.net:build", sizing="min", smallest=8, input=(1, 8, 8))
    return [ArchitectureSpec(name="rude", summary="Ends the process", **parts)]
"""
BUILDERS = {
    "built": "import sys\ndef build(*_, **__): sys.exit(0)\n",
    "a forward": """
        import torch
        class Net(torch.nn.Module):
            def __init__(self, num_outputs):
                super().__init__()
                self.fc = torch.nn.Linear(1, num_outputs)
                self.training_steps = 0
            def forward(self, inputs):
                if self.training:
                    raise KeyboardInterrupt
                return self.fc(inputs.mean(dim=(1, 2, 3))[:, None])
        def build(options, *, in_channels, num_outputs, image_size):
            return Net(num_outputs)
        """,
}


@pytest.fixture(autouse=True)
def fresh_registry() -> Any:
    registry.cache_clear()
    yield
    registry.cache_clear()


def trained(folder: Path) -> tuple[RunDir, dict[str, torch.Tensor]]:
    zoo.run("cnn_digits", overrides=FAST, out=folder, console=Console(quiet=True))
    return RunDir(folder), load(folder).state_dict()


def test_a_tracker_changes_nothing_of_a_run_and_is_named(tmp_path: Path, install: Install) -> None:
    run, expected = trained(tmp_path / "alone")
    install("zoo-rude", "rude", TRACKER)
    registry.cache_clear()
    limit, folder = sys.getrecursionlimit(), Path.cwd()
    watched, found = trained(tmp_path / "watched")
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    figures = [{name: row[name] for name in ("epoch", "lr", "train_loss")} for row in watched.epochs()]
    assert figures == [{name: row[name] for name in ("epoch", "lr", "train_loss")} for row in run.epochs()]
    assert (sys.getrecursionlimit(), Path.cwd(), torch.get_default_dtype(), torch.is_grad_enabled()) == (
        limit,
        folder,
        torch.float32,
        True,
    )
    assert watched.record.status == "finished" and watched.record.results == run.record.results
    log = watched.log_file.read_text(encoding="utf-8")
    cannot = "TypeError: 'mappingproxy' object does not support item assignment"
    assert f"warning: plugin 'rude' failed at zoo_run_started: {cannot}" in log
    assert log.count(f"warning: plugin 'rude' failed at zoo_step_logged: {cannot}") == 1
    assert "plugin 'rude' changed the working directory, the recursion limit in zoo_run_started; restored" in log
    assert "plugin 'rude' failed at zoo_epoch_ended: KeyboardInterrupt" in log and "SystemExit: 0" not in log
    assert "warning: plugin 'rude' failed 2 times at zoo_epoch_ended; the first is above" in log
    for name in (
        "torch's default dtype",
        "torch's gradient mode",
        "the random state of Python",
        "the random state of numpy",
    ):
        assert name in log


@pytest.mark.parametrize("where", BUILDERS)
def test_a_network_that_ends_the_process_is_an_error_of_its_plugin(
    tmp_path: Path, install: Install, where: str
) -> None:
    site = install("zoo-rude", "rude", NETWORK).parent
    (site / "zoo_rude" / "net.py").write_text(textwrap.dedent(BUILDERS[where]), encoding="utf-8")
    registry.cache_clear()
    with pytest.raises(PluginError, match=r"rude/rude'.*(SystemExit: 0|KeyboardInterrupt).*zoo-rude") as caught:
        zoo.run(
            "rude/rude",
            overrides={**FAST, "dataset": {"name": "digits"}},
            out=tmp_path / "run",
            console=Console(quiet=True),
        )
    assert caught.value.exit_code == 6
    if where == "a forward":
        assert RunDir(tmp_path / "run").record.status == "failed"
    sys.modules.pop("zoo_rude.net", None)


RECURSION = """
import sys
from zoo.api import hookimpl

@hookimpl
def zoo_register_tasks():
    sys.setrecursionlimit(999)
    return []
"""


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import os\nos.chdir('/')\n", "changed the working directory in its registration"),
        ("import random\nrandom.seed(1)\n", "changed the random state of Python in its registration"),
        (
            "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n",
            "changed signal handlers in its registration",
        ),
        (RECURSION, "changed the recursion limit in its registration"),
    ],
    ids=["cwd", "random", "signals", "hook"],
)
def test_a_plugin_that_changes_the_process_while_it_registers_is_named(
    tmp_path: Path,
    install: Install,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    source: str,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    install("zoo-rude", "rude", source)
    assert next(plugin.state for plugin in registry().plugins if plugin.namespace == "rude") == "ok"
    assert f"warning: plugin 'rude' {told}; restored\n" in capsys.readouterr().err
    assert Path.cwd() == tmp_path.resolve()


@pytest.mark.parametrize("raised", ["SystemExit(3)", "KeyboardInterrupt"])
def test_a_plugin_that_ends_the_process_while_it_is_imported_is_broken(install: Install, raised: str) -> None:
    install("zoo-rude", "rude", f"raise {raised}\n")
    found = next(plugin for plugin in registry().plugins if plugin.namespace == "rude")
    assert found.state == "broken" and f"importing zoo_rude raised {raised.replace('(3)', ': 3')}" == found.cause
