"""What every test shares: places of its own, no network, and skips that say why."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_places(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has its own runs, exports and data folder, and none of the caller's ZOO_* settings; `realdata` keeps ZOO_DATA."""
    keep = {"ZOO_DATA"} if request.node.get_closest_marker("realdata") else set()
    for name in [name for name in os.environ if name.startswith("ZOO_") and name not in keep]:
        monkeypatch.delenv(name)
    for name in {"ZOO_RUNS", "ZOO_EXPORTS", "ZOO_DATA", "ZOO_CACHE"} - keep:
        monkeypatch.setenv(name, str(tmp_path / name.removeprefix("ZOO_").lower()))
    monkeypatch.setenv("ZOO_OFFLINE", "1")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a distribution with one plugin on the path, as an installer would have left it; returns the folder of its metadata."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def put(distribution: str, namespace: str, source: str, *, module: str | None = None, requires: Sequence[str] = ()) -> Path:
        module = module or distribution.replace("-", "_")
        monkeypatch.setitem(sys.modules, module, sys)  # so that what the test imports is forgotten after it
        del sys.modules[module]
        info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        (site / module).mkdir()
        info.mkdir()
        (site / module / "__init__.py").write_text(textwrap.dedent(source), encoding="utf-8")
        needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{needs}", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[zoo]\n{namespace} = {module}\n", encoding="utf-8")
        (info / "RECORD").write_text(f"{module}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n", encoding="utf-8")
        return info

    return put


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("realdata") and not (Path(os.environ.get("ZOO_DATA", "")) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real datasets: set ZOO_DATA to a folder that has MNIST/raw")
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


def pytest_report_header() -> str:
    """Which zoo is tested; `make test-wheel` insists on the built one."""
    import zoo

    where = Path(zoo.__file__).parent
    wanted = os.environ.get("ZOO_TEST_INSTALLED")
    if wanted and not where.is_relative_to(Path(wanted).resolve()):
        raise pytest.UsageError(f"the tests were to run against {wanted}, and zoo is imported from {where}")
    return f"zoo: {where}"
