"""Guides and the README's first screen: every command and Python block is run, and prints what the page shows.

`python tests/docs/test_guides.py` writes the output into the pages anew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from console_pages import TOP, Console, agrees, run_page

GUIDES = (
    "getting-started",
    "own-images",
    "labels-numbers",
    "segmentation",
    "export",
    "compare",
    "resume",
    "python",
)


@pytest.mark.parametrize("page", GUIDES)
def test_a_guide_prints_what_it_shows(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZOO_RUNS", "ZOO_EXPORTS"):
        monkeypatch.delenv(name)
    folder = tmp_path / "guide"
    folder.mkdir()
    run_page(TOP / "docs" / f"{page}.md", Console(folder, monkeypatch))


def test_the_first_screen_of_the_readme_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZOO_RUNS", "ZOO_EXPORTS"):
        monkeypatch.delenv(name)
    run_page(TOP / "README.md", Console(tmp_path, monkeypatch), until="Install zoo from")


def test_output_is_compared_without_what_differs_from_run_to_run() -> None:
    printed = ["epoch 1  loss 0.5", "epoch 2  loss 0.4", "run x/2026-11-27-195848-6b3e finished in 18.6 s"]
    shown = ["epoch 1 loss 2.5", "…", "run x/2020-01-01-000000-abcd finished in 3 min"]
    assert agrees(shown, printed, numbers=True)
    assert not agrees(["error: step 1"], ["error: step 2"], numbers=False)
    assert not agrees(["epoch 1 loss 0.5"], printed, numbers=True)
    assert not agrees(["epoch 1 accuracy 0.5", "…"], printed, numbers=True)


if __name__ == "__main__":
    os.environ["WRITE_PAGES"] = "1"
    sys.exit(pytest.main(["-q", __file__, "-k", "prints"]))
