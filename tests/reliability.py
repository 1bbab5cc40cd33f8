"""Write docs/reliability.md from what `make reliability` measured: `python tests/reliability.py build/reliability`."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PAGE = """# Reliability

What happens when the disk fills up, a file call fails, the process is killed, or an input is damaged.
`make reliability` measures this page in up to four hours on two cores; a part of it runs with every `make test`. The
harnesses are in `tests/faults` and `tests/fuzz`.

Measured {date} on {cpus} cores, Python {python}, torch {torch}.

## Failing file calls

Every call that opens, reads, writes, syncs, renames, links, makes or removes a file is traced, in C, Rust and Python
code alike, and gets every fault of its kind in a case of its own: the process is killed before or after it or in the
middle of a write, or the call fails with ENOSPC, EIO or EACCES. Afterwards a run must resume to the same bits or say
that no checkpoint was written yet, its model must be the one that its metrics are of, a bundle must be the old one or
the new one, and the error must be one line with a fix and an exit code other than 1.

| command | file calls | deaths | failing calls | wrong |
| --- | --- | --- | --- | --- |
{faults}

{every}

## Kills at any moment

SIGKILL at a random moment of a run in {configurations} configurations (optimizers, schedules, precisions, averaging,
early stopping, mixing, augmentation), then resumed: {killed:,} of {runs:,} were killed before they ended; {wrong} ended
differently from the run that was left alone.

## Damaged inputs

Random command lines and settings, and files damaged in random places. Wrong is an exit code of 1, a crash of the
process, no end within 30 seconds, more than one line of error, a raw control character on the terminal, a file written
outside of the folder, a program started, or 2 GB of memory.

| kind of input | inputs | wrong |
| --- | --- | --- |
{fuzz}
"""


def main() -> None:
    folder, page = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/reliability.md")
    faults, kills, fuzz = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("faults", "kills", "fuzz")
    )
    page.write_text(render(faults, kills, fuzz), encoding="utf-8")


def render(faults: dict[str, Any], kills: dict[str, Any], fuzz: dict[str, Any]) -> str:
    every = faults["every"]
    return PAGE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cpus=os.cpu_count(),
        python=platform.python_version(),
        torch=metadata.version("torch"),
        faults="\n".join(
            f"| `{story}` | {row['calls']:,} | {row.get('died', 0):,} | {row.get('failed', 0):,} | {row['wrong']} |"
            for story, row in faults["stories"].items()
        ),
        every="All of these cases were run."
        if every == 1
        else f"One in {every} of these cases was run, evenly spread.",
        fuzz="\n".join(f"| {kind} | {row['inputs']:,} | {row['wrong']} |" for kind, row in fuzz.items()),
        **{key: kills[key] for key in ("configurations", "killed", "runs", "wrong")},
    )


if __name__ == "__main__":
    main()
