"""The site: pages as they are staged, llms.txt, and, where the extra `docs` is installed, the strict build itself."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import build_site
import pytest
from build_site import llms_txt, markdown_url, sections, stage, summary, turned
from console_pages import TOP

import zoo
import zoo.plugin
import zoo.testing

API = {"zoo": zoo.__all__, "zoo.plugin": zoo.plugin.__all__, "zoo.testing": zoo.testing.__all__}


@pytest.mark.parametrize("module", API)
def test_the_api_pages_have_every_public_name(module: str) -> None:
    text = (TOP / "docs" / "api" / f"{module.rpartition('.')[2]}.md").read_text(encoding="utf-8")
    named = re.findall(r"^::: (\S+)$", text, re.M)
    assert sorted(named) == sorted(f"{module}.{name}" for name in API[module])


def test_links_are_turned_to_what_the_site_has(tmp_path: Path) -> None:
    text = (
        "[a](docs/cli.md#reference) [b](exports/README.md) [c](docs) [d](LICENSE) [e](gone.md) [f](https://x.y/z)\n"
        '<img src="docs/images/report.png">\n```text\n[g](docs/cli.md)\n```\n'
    )
    assert turned(text, TOP / "README.md", "index.md", tmp_path) == (
        "[a](cli.md#reference) [b](bundles.md) c [d](files/LICENSE.txt) [e](gone.md) [f](https://x.y/z)\n"
        '<img src="images/report.png">\n```text\n[g](docs/cli.md)\n```\n'
    )
    assert (tmp_path / "files" / "LICENSE.txt").is_file()


def test_llms_txt_lists_every_page_of_the_nav_with_a_sentence() -> None:
    title, _, quote, *rest = llms_txt().splitlines()
    assert title == "# zoo" and quote.startswith("> ")
    assert re.findall(r"^## (.+)$", "\n".join(rest), re.M) == [name or "Start" for name in sections()]
    entries = [re.fullmatch(r"- \[(.+)\]\((\S+)\): .{10,}\.", line) for line in rest if line.startswith("- ")]
    assert all(entries)
    assert [(each[1], each[2]) for each in entries if each] == [
        (name, markdown_url(page)) for pages in sections().values() for name, page in pages
    ]


def test_a_summary_is_the_first_sentence_below_the_title() -> None:
    assert summary("# A\n\nIt does `this` ([here](x.md)). Then that.\n") == "It does this (here)."
    assert summary("# A\n\n    code first\n\n<img>\n\nThen text: more.\n") == "Then text."


def test_every_page_is_staged(tmp_path: Path) -> None:
    stage(tmp_path / "docs")
    staged = {path.relative_to(tmp_path / "docs").as_posix() for path in (tmp_path / "docs").rglob("*.md")}
    assert set(build_site.sources()) <= staged
    assert (tmp_path / "docs" / "images" / "report.png").is_file()
    assert not list((tmp_path / "docs").rglob("*.py"))


@pytest.mark.skipif(find_spec("zensical") is None, reason="needs the extra docs: pip install -e '.[docs]'")
def test_the_site_is_built_without_a_dead_link() -> None:
    done = subprocess.run([sys.executable, "docs/build_site.py"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (TOP / "build" / "site-docs" / "llms.txt").is_file()
