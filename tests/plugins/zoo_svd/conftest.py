"""What tests of compression share."""

from __future__ import annotations

import pytest
from zoo_svd import compress_network
from zoo_svd.compress_network import calibration

from zoo.registry.lookup import registry
from zoo.runs.resolve_config import resolve
from zoo.training.preparation import prepare


@pytest.fixture(scope="module")
def trained_digits():
    """A trained network of five digits, and 200 images of them."""
    ready = prepare(resolve(registry(), "digits_svd"))
    assert ready.learning is not None
    return ready.learning.adaptations.each[0].original, calibration(ready.data.part("train"), 200, 0)[0]


@pytest.fixture
def unreported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the report of a compression, for which networks are exported, quantised and timed."""
    monkeypatch.setattr(compress_network, "write_report", lambda *_: [])
