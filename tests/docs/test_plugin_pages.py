"""docs/plugins/: what each page builds is installed, held to the contract, and run as the page runs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.cli.app import run_cli
from zoo.registry.lookup import registry
from zoo.testing import find_faults

FOLDER = Path(__file__).parents[2] / "docs" / "plugins"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.stem != "reference")
BLOCK = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.M | re.S)
EXAMPLE = re.compile(r'data=\{"(\w+)": "([^"]+)"\}')
COMMAND = re.compile(r"^    \$ (zoo .*)$", re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_builds_holds_the_contract_and_runs(
    page: Path,
    install: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = page.read_text(encoding="utf-8")
    files = dict(BLOCK.findall(text))
    package = next(name.partition("/")[0] for name in files if name.endswith("__init__.py"))
    namespace = package.removeprefix("zoo_")
    info = install(f"zoo-{namespace}", namespace, files[f"{package}/__init__.py"])
    for name, source in files.items():
        target = info.parent / name if name.startswith(package) else tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    registry.cache_clear()
    try:
        assert find_faults(namespace, data=dict(EXAMPLE.findall(text))) == []
        for line in COMMAND.findall(text):
            code = run_cli(shlex.split(line)[1:])
            said = capsys.readouterr()
            assert code == 0, f"{line}\n{said.out}\n{said.err}"
    finally:
        registry.cache_clear()


def test_there_is_a_page_for_each_kind_of_plugin() -> None:
    kinds = {
        "architecture",
        "dataset",
        "task",
        "adaptation",
        "augmentation",
        "metric",
        "exporter",
        "tracker",
        "command",
    }
    assert {page.stem for page in PAGES} == kinds
