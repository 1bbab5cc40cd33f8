"""Print constraints-min.txt: every dependency of pyproject.toml, extras included, at its declared lower bound.

    python .ci/minimum_versions.py > constraints-min.txt

A test holds the file equal to what this prints.
"""

from __future__ import annotations

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
HEAD = "# The lowest versions that pyproject.toml allows, by `python .ci/minimum_versions.py > constraints-min.txt`."
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[[\w,]+\])?>=(?P<version>[\w.]+)(,<[\w.]+)?\s*(?P<marker>;.*)?")


def lower_bounds(project: dict[str, Any]) -> list[str]:
    """One line for each requirement of a pyproject.toml. Raises ValueError for one without a lower bound."""
    table = project["project"]
    lines = set()
    for requirement in chain(table["dependencies"], *table["optional-dependencies"].values()):
        found = REQUIREMENT.fullmatch(requirement)
        if found is None:
            raise ValueError(f"'{requirement}' declares no lower bound")
        marker = f" {found['marker']}" if found["marker"] else ""
        lines.add(f"{found['name']}=={found['version']}{marker}")
    return sorted(lines, key=str.lower)


if __name__ == "__main__":
    sys.stdout.write("\n".join([HEAD, *lower_bounds(tomllib.loads(PYPROJECT.read_text(encoding="utf-8")))]) + "\n")
