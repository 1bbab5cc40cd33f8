"""Builds the documentation site: `python docs/build_site.py`, or `make docs`.

The pages are copied to ``docs_dir`` of mkdocs.yml, zensical builds ``site_dir`` from them, and llms.txt and the
Markdown of every page are added. A dead link ends it with exit code 1. Needs the extra `docs`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOP = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "exports/README.md": "bundles.md",
    "exports/runtimes/README.md": "runtimes.md",
    "exports/runtimes/node/README.md": "node-client.md",
    "examples/quickstart.ipynb": "quickstart.md",
    "examples/own_network.ipynb": "own-network.md",
}
"""Pages of the site that do not stand in docs/, by their path in the repository."""
CSS = """\
.md-grid { max-width: 72rem; }
.md-typeset pre > code { white-space: pre-wrap; overflow-wrap: anywhere; }
.md-typeset table:not([class]) { font-size: .7rem; }
.md-typeset table:not([class]) code { overflow-wrap: anywhere; }
.md-typeset table:not([class]) :is(th, td) { min-width: 2rem; padding: .7em .8em; }
"""
FENCE = re.compile(r"^(```|~~~).*?^\1[ ]*$", re.M | re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def settings() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load((TOP / "mkdocs.yml").read_text(encoding="utf-8"))
    return loaded


def sections() -> dict[str, list[tuple[str, str]]]:
    """Of the nav: (title, page) of each section; pages without a section stand under ""."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for entry in settings()["nav"]:
        ((title, value),) = entry.items()
        if isinstance(value, str):
            found[""].append((title, value))
        else:
            found[title] = [pair for each in value for pair in each.items()]
    return found


def sources() -> dict[str, Path]:
    """The file that each page of the site is made of."""
    pages = {path.relative_to(TOP / "docs").as_posix(): path for path in sorted((TOP / "docs").rglob("*.md"))}
    return pages | {page: TOP / path for path, page in OUTSIDE.items()}


def stage(target: Path) -> None:
    """Copy every page, with links that lead somewhere on the site, and what the pages show."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(TOP / "docs", target, ignore=shutil.ignore_patterns("*.md", "*.py", "__pycache__"))
    (target / "site.css").write_text(CSS, encoding="utf-8")
    for page, source in sources().items():
        (target / page).parent.mkdir(parents=True, exist_ok=True)
        text = notebook_markdown(source) if source.suffix == ".ipynb" else source.read_text(encoding="utf-8")
        (target / page).write_text(turned(text, source, page, target), encoding="utf-8")


def turned(text: str, source: Path, page: str, target: Path) -> str:
    """The text of a page with its links turned to what the site has; fenced code is left as it is."""
    parts, end = [], 0
    for fence in FENCE.finditer(text):
        parts += [_links(text[end : fence.start()], source, page, target), fence[0]]
        end = fence.end()
    return "".join([*parts, _links(text[end:], source, page, target)])


def _links(text: str, source: Path, page: str, target: Path) -> str:
    by_source = {path: name for name, path in sources().items()}

    def replace(match: re.Match[str]) -> str:
        mark, words, link = match.groups()
        path, hash_, anchor = link.partition("#")
        if not path or re.match(r"[a-z]+:", link) or not (found := (source.parent / path).resolve()).exists():
            return match[0]  # what does not exist is left for the strict build to report
        if found.is_dir():
            return f"{mark}{words}"  # a folder of the repository is no page
        to = by_source.get(found) or _file(found, target)
        return f"{mark}[{words}]({_from(page, to)}{hash_}{anchor})"

    def replace_source(match: re.Match[str]) -> str:
        found = (source.parent / match[1]).resolve()
        return f'src="{_from(page, _file(found, target))}"' if found.is_file() else match[0]

    return re.sub(r'\bsrc="([^":]+)"', replace_source, LINK.sub(replace, text))


def _from(page: str, to: str) -> str:
    return os.path.relpath(to, Path(page).parent).replace(os.sep, "/")


def _file(found: Path, target: Path) -> str:
    """Where a file of the repository stands on the site; one outside docs/ is copied there."""
    if found.is_relative_to(TOP / "docs"):
        return found.relative_to(TOP / "docs").as_posix()
    shown = found.suffix in (".md", ".png", ".ipynb")
    name = f"files/{found.relative_to(TOP).as_posix()}{'' if shown else '.txt'}"
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, target / name)
    return name


def notebook_markdown(path: Path) -> str:
    """A notebook as a page: its text, its code, and what the cells put out (text and PNG)."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                parts.append(f"![What the cell shows](data:image/png;base64,{''.join(data['image/png']).strip()})")
            else:
                parts.append(f"```text\n{''.join(output.get('text') or data['text/plain']).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def summary(text: str) -> str:
    """The first sentence of a page below its title, without Markdown."""
    body = FENCE.sub("", text).partition("\n# ")[2] if not text.startswith("# ") else text
    paragraphs = [each for each in body.partition("\n")[2].split("\n\n") if re.match(r"\n*[\w`\[]", each)]
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(paragraphs[0].split())) if paragraphs else ""
    return re.split(r"(?<=[.!?:])\s", plain.replace("`", ""), maxsplit=1)[0].rstrip(":.") + "."


def llms_txt() -> str:
    """The site's index for language models (llmstxt.org): title, summary, and the pages with a line each."""
    known, lines = sources(), [f"# {settings()['site_name']}", "", f"> {settings()['site_description']}."]
    for title, pages in sections().items():
        lines += ["", f"## {title or 'Start'}", ""]
        for name, page in pages:
            source = known[page]
            text = notebook_markdown(source) if source.suffix == ".ipynb" else source.read_text(encoding="utf-8")
            lines.append(f"- [{name}]({markdown_url(page)}): {summary(text)}")
    return "\n".join(lines) + "\n"


def markdown_url(page: str) -> str:
    """Where the Markdown of a page stands: beside its HTML, with `.md` appended."""
    return "index.html.md" if page == "index.md" else f"{page.removesuffix('.md')}/index.html.md"


def main() -> int:
    built = settings()
    docs, site = TOP / built["docs_dir"], TOP / built["site_dir"]
    stage(docs)
    tool = shutil.which("zensical", path=str(Path(sys.executable).parent)) or shutil.which("zensical")
    if tool is None:
        print("error: zensical is not installed; fix: pip install -c constraints.txt -e '.[docs]'", file=sys.stderr)
        return 6
    code = subprocess.run([tool, "build", "--clean", "--strict"], cwd=TOP, check=False).returncode
    if code == 0:
        for page in sources():
            shutil.copyfile(docs / page, site / markdown_url(page))
        (site / "llms.txt").write_text(llms_txt(), encoding="utf-8")
        print(f"documentation: {(site / 'index.html').relative_to(TOP)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
