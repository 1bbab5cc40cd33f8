"""What tests of compression share."""

from __future__ import annotations

import pytest
from zoo_svd.network_task import calibration

from zoo.console import Console
from zoo.registry import registry
from zoo.resolve import resolve
from zoo.runner import prepare


@pytest.fixture(scope="module")
def trained_digits():
    """A trained network of five digits, and 200 pictures of them."""
    ready = prepare(resolve(registry(), "digits_svd"), Console(quiet=True))
    return ready.task._original, calibration(ready.data.part("train"), 200, 0)[0]
