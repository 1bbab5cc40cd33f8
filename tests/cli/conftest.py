"""A command line, run in this process, and one short run that the commands which need a trained model share."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from zoo.cli.app import run_cli
from zoo.registry.lookup import registry


class Told(NamedTuple):
    code: int
    out: str
    err: str


Zoo = Callable[..., Told]
QUICK = ("--set", "train.epochs=2", "--set", "dataset.resize=16", "--device", "cpu")


@pytest.fixture(scope="session")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the names of families are remembered."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(folder))
        registry.cache_clear()  # one of an earlier test knows the names already, and writes nothing
        assert registry().members("timm/resnet18")
    return folder / "families"


@pytest.fixture(autouse=True)
def known_families(
    families: Path, own_places: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a user's second command: no process of these tests parses the sources of timm, which takes seconds. The
    cache is beside the folder of the test, which stays empty."""
    cache = tmp_path_factory.mktemp("known")
    shutil.copytree(families, cache / "families")
    monkeypatch.setenv("ZOO_CACHE", str(cache))


@pytest.fixture
def zoo(capsys: pytest.CaptureFixture[str]) -> Zoo:
    """Runs a command line and gives what it told; the registry is the caller's, discovered anew."""

    def call(*arguments: str) -> Told:
        capsys.readouterr()
        code = run_cli(list(arguments))
        return Told(code, *capsys.readouterr())

    return call


@pytest.fixture
def fresh_registry() -> Iterator[None]:
    """Plugins are discovered again in this test, and once more after it."""
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one finished run, ``cnn_digits/short``."""
    folder = tmp_path_factory.mktemp("cli") / "runs"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_RUNS", str(folder))
        assert run_cli(["run", "cnn_digits", "--name", "short", *QUICK]) == 0
    return folder


@pytest.fixture
def short(trained_runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of that run, with ``ZOO_RUNS`` set so that commands find it. Tests leave it as it is."""
    monkeypatch.setenv("ZOO_RUNS", str(trained_runs))
    return trained_runs / "cnn_digits" / "short"
