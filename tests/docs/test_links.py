"""Every relative link and anchor of the pages leads somewhere, and every page stands in the nav of the site."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from build_site import FENCE, OUTSIDE, sections, sources
from console_pages import TOP

PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *(TOP / "exports").glob("*.md"), *(TOP / "docs").rglob("*.md")]
LINK = re.compile(r'\]\(([^)\s]+)\)|\b(?:src|href)="([^"]+)"')


def links(text: str) -> list[str]:
    """Targets inside the repository; links in code are none."""
    prose = re.sub(r"`[^`\n]+`", lambda code: code[0] if "](" not in code[0] else "", FENCE.sub("", text))
    found = [markdown or html for markdown, html in LINK.findall(prose)]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    slugs = [re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title.replace("`", "").lower()).strip()) for title in titles]
    count, found = Counter[str](), set[str]()
    for slug in slugs:
        found.add(f"{slug}-{count[slug]}" if count[slug] else slug)
        count[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(TOP).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text, dead = page.read_text(encoding="utf-8"), []
    for target in links(text):
        path, _, anchor = target.partition("#")
        found = page if not path else page.parent / path
        on_page = bool(anchor) and found.suffix == ".md"
        if not found.exists() or (on_page and anchor not in anchors(found.read_text(encoding="utf-8"))):
            dead.append(target)
    assert dead == []


def test_the_check_finds_a_dead_link_and_a_dead_anchor() -> None:
    text = '# One `two`\n\n## One two\n\n[a](#one-two-1) [b](x.md) <img src="y.png">\n\n```text\n[c](z.md)\n```\n'
    assert links(text) == ["#one-two-1", "x.md", "y.png"]
    assert anchors(text) == {"one-two", "one-two-1"}


def test_every_page_stands_in_the_nav_and_the_nav_has_no_other() -> None:
    named = [page for pages in sections().values() for _, page in pages]
    assert sorted(named) == sorted(sources())


def test_pages_from_outside_of_docs_hide_no_page_of_docs() -> None:
    assert not [page for page in OUTSIDE.values() if (TOP / "docs" / page).exists()]


def test_links_name_files_that_are_committed() -> None:
    """What git ignores is there on one machine alone."""
    for page in PAGES:
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text(encoding="utf-8"))}
        names = [target.relative_to(TOP).as_posix() for target in targets if target.is_relative_to(TOP)]
        ignored = subprocess.run(
            ["git", "check-ignore", *names], cwd=TOP, capture_output=True, text=True, check=False
        ).stdout.split()
        assert ignored == [], page
