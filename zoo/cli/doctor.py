"""``zoo doctor``"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import typer

from zoo.cli.output import emphasised, plural, say, say_json, say_wrapped
from zoo.cli.shared_options import AsJson
from zoo.errors import SetupError

if TYPE_CHECKING:
    from zoo.doctor.examine import Finding


def doctor(as_json: AsJson = False) -> None:
    from zoo.doctor.examine import examine, worst

    found: list[tuple[str, Finding]] = []
    for topic, findings in examine():
        found += [(topic, finding) for finding in findings]
        if not as_json:
            _say_topic(topic, findings)
    level = worst(finding.level for _, finding in found)
    if as_json:
        say_json({"level": level, "findings": [as_dict(topic, finding) for topic, finding in found]})
    else:
        counts = Counter(finding.level for _, finding in found)
        say(", ".join(plural(counts[each], each) for each in ("problem", "warning") if counts[each]) or "no problems")
    if level == "problem":
        raise typer.Exit(SetupError.exit_code)


def as_dict(topic: str, finding: Finding) -> dict[str, Any]:
    facts = {"topic": topic, "name": finding.name, "level": finding.level, "says": finding.says, "fix": finding.fix}
    return {**facts, "facts": dict(finding.facts)}


def _say_topic(topic: str, findings: list[Finding]) -> None:
    width = max((len(finding.name) for finding in findings), default=0)
    say(emphasised(topic))
    for finding in findings:
        fix = f"; fix: {finding.fix}" if finding.fix else ""
        say_wrapped(f"  {finding.level:7}  {finding.name.ljust(width)}  ", f"{finding.says}{fix}")
    say()
    sys.stdout.flush()  # the next topic may take seconds, for the import of torch
