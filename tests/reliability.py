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

This page lists what was tested: full disks, failing file calls, killed processes and damaged inputs.
`make reliability` runs the tests and writes this page; it takes up to four hours on two cores. `make test` runs a part
of them. The tests are in `tests/faults` and `tests/fuzz`.

Measured {date} on {cpus} cores, Python {python}, torch {torch}.

## Failing file calls

All calls that open, read, write, sync, rename, link, create or remove a file are traced, in C, Rust and Python code.
Each case injects one fault into one call: the process is killed before, during or after it, or the call fails with
ENOSPC, EIO or EACCES. A case passes if all of the following hold:

- The run resumes with exactly the same weights, or reports that no checkpoint was written yet.
- The metrics of the run belong to its model.
- A bundle is the old one or the new one.
- The error is one line with a fix, and the exit code is not 1.

| command | file calls | kills | failed calls | failures of the test |
| --- | --- | --- | --- | --- |
{faults}

{every}

## Kills at any moment

Runs in {configurations} configurations (optimizers, schedules, precisions, EMA, early stopping, mixup, augmentation)
were killed by SIGKILL at a random moment and resumed. Of {runs:,} runs, {killed:,} were killed before they ended. The
number of resumed runs whose result differs from an uninterrupted run is {wrong}.

## Bundles that are read while they are replaced

Two processes read a bundle while a third replaces it again and again, in one step (`renameat2`) and, as on systems
without it, file by file. A read is that of a client: bundle.json, the digests of the files that are loaded, and their
content; one read in ten checks all files, as `zoo verify` does. A read fails if it mixes two bundles, or calls a file
altered. In the first row, the publisher was killed by SIGKILL at a random moment, {publisher_kills:,} times. After
{after_kills} of these kills, the bundle could not be opened or not be replaced.

| reads | failed reads |
| --- | --- |
| {kill_reads:,}, while publishers were killed | {kill_wrong} |
| {reads:,}, while bundles were published | {read_wrong} |

{interrupted:,} reads of all files found a file-by-file replacement that a kill had interrupted, which `zoo verify`
reports.

## Mutated ONNX files

The model of a bundle was damaged, and the digests were made to fit: random damage, one changed bit, changed nodes, and
changed weights. Each bundle was verified against its PyTorch model. A test fails if zoo ends, if the verification takes
more than 60 seconds, or if a file is accepted whose outputs for other inputs differ from the original's.

| mutation | files | accepted, same outputs | refused | refused: onnxruntime crashed | failures |
| --- | --- | --- | --- | --- | --- |
{onnx}

## Damaged inputs

The inputs are random command lines, random settings, and files with random damage. A test fails if the exit code is 1,
the process crashes or runs for more than 30 seconds, the error has more than one line, a control character reaches the
terminal, a file is written outside the folder, a program is started, or 2 GB of memory are used.

| kind of input | inputs | failures |
| --- | --- | --- |
{fuzz}
"""


def main() -> None:
    folder, page = Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "docs/reliability.md")
    names = ("faults", "kills", "publishing", "onnx_files", "fuzz")
    found = (json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in names)
    page.write_text(render(*found), encoding="utf-8")


def published(found: dict[str, Any]) -> dict[str, Any]:
    """The figures of `tests/faults/publishing.py`."""
    killed, read = found["killed"], found["read"]
    return {
        "publisher_kills": killed["kills"],
        "after_kills": len(killed["after kills"]),
        "kill_reads": killed["reads"],
        "kill_wrong": killed["wrong"],
        "reads": read["reads"],
        "read_wrong": read["wrong"],
        "interrupted": sum(each["found"].get("interrupted", 0) for each in (killed, read)),
    }


def mutated(found: dict[str, Any]) -> str:
    """The table of `tests/fuzz/onnx_files.py`."""
    rows = []
    for kind, counts in found["kinds"].items():
        crashed = sum(count for result, count in counts.items() if result.startswith("refused: "))
        accepted, refused = counts.get("accepted", 0), counts.get("refused", 0)
        files = sum(counts.values())
        rows.append(
            f"| {kind} | {files:,} | {accepted} | {refused} | {crashed} | {files - accepted - refused - crashed} |"
        )
    return "\n".join(rows)


def render(
    faults: dict[str, Any],
    kills: dict[str, Any],
    publishing: dict[str, Any],
    onnx_files: dict[str, Any],
    fuzz: dict[str, Any],
) -> str:
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
        else f"One in {every} of these cases was run, evenly distributed.",
        onnx=mutated(onnx_files),
        **published(publishing),
        fuzz="\n".join(f"| {kind} | {row['inputs']:,} | {row['wrong']} |" for kind, row in fuzz.items()),
        **{key: kills[key] for key in ("configurations", "killed", "runs", "wrong")},
    )


if __name__ == "__main__":
    main()
