"""Progress bars in notebooks: shown by IPython's display, updated in place, and removed at the end."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator

import pytest

from zoo.reporting.console import Console
from zoo.support.notebook import in_notebook
from zoo.support.progress import tracked
from zoo.training.train_state import Progress


class Handle:
    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def update(self, html: str) -> None:
        self.shown.append(html)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a notebook would show; IPython need not be installed."""
    texts: list[str] = []
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")

    def show(html: str, *, display_id: bool) -> Handle:
        assert display_id
        texts.append(html)
        return Handle(texts)

    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.HTML, display.display = str, show  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    yield texts


def test_a_kernel_is_a_notebook_and_a_shell_is_none(shown: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_notebook() and not shown
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", types.SimpleNamespace)
    assert not in_notebook()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not in_notebook()


def test_work_is_shown_while_it_is_done(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tracked("abc", "reading <files>")) == ["a", "b", "c"]
    assert [text.partition("</progress> ")[2].split(" ")[0] for text in shown] == ["0", "1", "2", "3", ""]
    assert "reading &lt;files&gt;" in shown[0] and shown[-1] == ""
    assert capsys.readouterr() == ("", "")


def test_a_training_is_a_bar_and_its_epochs_are_lines(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.begin(Progress(), steps_per_epoch=10, epochs=2, monitored="accuracy")
    console.loss(Progress(step=5, epoch=0, batch=5), 0.25, 1000.0, 0.1)
    console.step(Progress(step=5, epoch=0, batch=5), 20)
    console.epoch(Progress(step=10, epoch=1, batch=0), {"train_loss": 0.2, "samples_per_second": 1000.0})
    console.close()
    assert any("epoch 1/2" in text and "5 of 20" in text and "loss 0.2500" in text for text in shown)
    assert shown[-1] == "" and "max='20'" in shown[0]
    assert capsys.readouterr().out == "epoch 1/2  train loss 0.2000  1,000 samples/s\n"


def test_a_quiet_run_shows_nothing(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.begin(Progress(), steps_per_epoch=10, epochs=2, monitored="accuracy")
    console.step(Progress(step=5), 20)
    console.close()
    assert not shown and capsys.readouterr().out == ""
