"""Events reach every listener; one that fails is reported and keeps the event from none of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy
import pytest

from zoo import hookspecs
from zoo.api import Exported, RunEnded, hookimpl
from zoo.registry.event_delivery import ListenerFault
from zoo.registry.lookup import Registry

ENDED = RunEnded(record={}, run=Path("runs/one"), status="finished", metrics={"accuracy": 1.0})


def listening(**plugins: Any) -> Registry:
    manager = pluggy.PluginManager("zoo")
    manager.add_hookspecs(hookspecs)
    for name, plugin in plugins.items():
        manager.register(plugin, name)
    return Registry([], manager)


class Raising:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    @hookimpl
    def zoo_run_ended(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("tracker\nis down"), "RuntimeError: tracker is down"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
    ],
)
def test_a_listener_that_raises_is_reported_and_the_others_are_called(error: BaseException, told: str) -> None:
    heard: list[RunEnded] = []

    class Good:
        @hookimpl
        def zoo_run_ended(self, event: RunEnded) -> None:
            heard.append(event)

    faults = listening(good=Good(), bad=Raising(error)).send(ENDED)
    assert heard == [ENDED] and heard[0].metrics == {"accuracy": 1.0}
    assert faults == [ListenerFault("bad", "zoo_run_ended", f"plugin 'bad' failed at zoo_run_ended: {told}")]


def test_only_the_hooks_that_a_plugin_has_are_listened_to() -> None:
    registry = listening(bad=Raising(RuntimeError()))
    assert registry.listens(RunEnded) and not registry.listens(Exported)
    assert not listening().listens(RunEnded) and listening().send(ENDED) == []
