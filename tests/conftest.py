"""What every test shares: places of its own, no network, and skips that say why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_places(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own runs, exports and data folder, and none of the caller's ZOO_* settings; `realdata` keeps ZOO_DATA."""
    keep = {"ZOO_DATA"} if request.node.get_closest_marker("realdata") else set()
    for name in [name for name in os.environ if name.startswith("ZOO_") and name not in keep]:
        monkeypatch.delenv(name)
    for name in {"ZOO_RUNS", "ZOO_EXPORTS", "ZOO_DATA"} - keep:
        monkeypatch.setenv(name, str(tmp_path / name.removeprefix("ZOO_").lower()))
    monkeypatch.setenv("ZOO_OFFLINE", "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("realdata") and not (Path(os.environ.get("ZOO_DATA", "")) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real datasets: set ZOO_DATA to a folder that has MNIST/raw")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")
