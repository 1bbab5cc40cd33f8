"""docs/results.md: what every recipe reached, from the recorded runs under `results/recipes`.

    python benchmarks/results_table.py

A record is the summary that `zoo run RECIPE --seeds N` writes (`seeds-….json`), copied to `results/recipes/RECIPE.json`
as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zoo.registry.lookup import registry
from zoo.support.formatting import duration, label, spread, value

RECORDS = Path(__file__).parent / "results" / "recipes"
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
TEXT = """# Results

A recipe is a named combination of architecture, dataset, task and settings.
This table lists the measured result of each recipe on the test split of its dataset. Nothing is selected on that split.
The result is mean ± sample standard deviation over seeds. `zoo info RECIPE` prints the same values.

{table}

- **time of a run** is the median over the seeds, and includes training, evaluation and the report.
  Runs on 2026-11-28 shared their cores with other programs: an idle machine takes a fraction of the time.
  `squeezenet_transfer` is the exception: its first run took 29 s, and the others used the features that it had cached.
- **commit**: `–` means not recorded, and `+` means a working tree with changes.
- Rows with `–` only are not measured yet.
- [performance.md](performance.md) compares the speed of zoo with other implementations.

`benchmarks/results_table.py` writes this page from the files in
[benchmarks/results/recipes](../benchmarks/results/recipes). To add or update a row, run the command, copy the
`seeds-….json` that it writes to that folder as `RECIPE.json`, and run the script.
"""
NONE = "–"


def page() -> str:
    return TEXT.format(table=table())


def table() -> str:
    recipes = [item for item in registry().items("recipe") if item.plugin.distribution == "torch-zoo"]
    lines = [
        "| recipe | result | seeds | epochs | time of a run | hardware | torch | commit | date | command |",
        "| --- | --- | ---: | ---: | --- | --- | --- | --- | --- | --- |",
    ]
    for item in sorted(recipes, key=lambda item: str(item.spec.name)):
        file = RECORDS / f"{item.spec.name}.json"
        metric = item.spec.expected.metric if item.spec.expected else None
        cells = (
            row(json.loads(file.read_text(encoding="utf-8")), metric)
            if file.exists()
            else [*[NONE] * 8, f"`zoo run {item.spec.name} --seeds 3`"]
        )
        lines.append(f"| {' | '.join([f'`{item.spec.name}`', *cells])} |")
    return "\n".join(lines)


def row(record: dict[str, Any], metric: str | None) -> list[str]:
    metric = metric or next(iter(record["metrics"]))
    found, several = record["metrics"][metric], len(record["seeds"]) > 1
    figure = spread(metric, found["mean"], found["sd"]) if several else value(metric, found["mean"])
    commit = record.get("commit") or NONE
    return [
        f"{label(metric)} {figure}",
        str(len(record["seeds"])),
        str(record["epochs"]),
        duration(record["seconds"]["median"]),
        record["device"],
        record["versions"]["torch"],
        commit if commit == NONE else commit[:10] + ("+" if commit.endswith("-dirty") else ""),
        record["date"][:10],
        f"`{record['command']}`",
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written to {PAGE}")
