"""docs/troubleshooting.md: each error is provoked and compared with the page, and its fix is run and succeeds.

The page is what is run. `python tests/docs/test_troubleshooting.py` writes the errors into it anew.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from console_pages import TOP, Console, run_console, writing

PAGE = TOP / "docs" / "troubleshooting.md"
BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.M | re.S)
INTRODUCTION, *SECTIONS = re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.M)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the introduction were run."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ZOO_RUNS", raising=False)
        patch.delenv("ZOO_EXPORTS", raising=False)
        for block in BLOCK.findall(INTRODUCTION):
            run_console(block, Console(folder, patch), numbers=False)
    return folder


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.splitlines()[0].removeprefix("## "))
def test_an_error_is_as_the_page_says_and_its_fix_works(
    section: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ZOO_RUNS", "ZOO_EXPORTS"):
        monkeypatch.delenv(name)
    folder = tmp_path / "case"
    shutil.copytree(prepared, folder)
    console = Console(folder, monkeypatch)
    error, fix = BLOCK.findall(section)
    code = int(re.search(r"exit code (\d)", section, re.I)[1])  # type: ignore[index]
    written = run_console(error, console, numbers=False, last=code)
    assert "\nerror: " in written
    run_console(fix, console, numbers=False)
    if writing():
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(section, section.replace(error, written)), "utf-8")


def test_the_page_has_the_common_errors() -> None:
    assert 15 <= len(SECTIONS) <= 30


if __name__ == "__main__":
    os.environ["WRITE_PAGES"] = "1"
    sys.exit(pytest.main(["-q", __file__]))
