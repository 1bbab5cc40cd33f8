"""``zoo doctor``"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from zoo.cli.output import emphasised, plural, say, say_json, say_wrapped
from zoo.cli.parameters import AsJson
from zoo.errors import SetupError

if TYPE_CHECKING:
    from zoo.doctor import Finding


def doctor(as_json: AsJson = False) -> None:
    from zoo.doctor import examine, overall

    found = examine()
    level = overall(found)
    if as_json:
        say_json({"level": level, "findings": [as_dict(topic, finding) for topic, findings in found.items() for finding in findings]})
    else:
        _say(found)
    if level == "problem":
        raise typer.Exit(SetupError.exit_code)


def as_dict(topic: str, finding: Finding) -> dict[str, Any]:
    facts = {"topic": topic, "name": finding.name, "level": finding.level, "says": finding.says, "fix": finding.fix}
    return {**facts, "facts": dict(finding.facts)}


def _say(found: dict[str, list[Finding]]) -> None:
    width = max(len(finding.name) for findings in found.values() for finding in findings)
    for topic, findings in found.items():
        say(emphasised(topic))
        for finding in findings:
            fix = f"; fix: {finding.fix}" if finding.fix else ""
            say_wrapped(f"  {finding.level:7}  {finding.name.ljust(width)}  ", f"{finding.says}{fix}")
        say()
    counts = Counter(finding.level for findings in found.values() for finding in findings)
    worse = [plural(counts[level], level) for level in ("problem", "warning") if counts[level]]
    say(", ".join(worse) if worse else "all is well")
