"""How long `zoo list`, `zoo plugins` and `zoo --help` take, as a user waits for them: whole processes, median of
interleaved runs.

python benchmarks/list_speed.py [--runs 15] [--out benchmarks/results/list_speed.json]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _record import write_result

COMMANDS = {
    "python": ["-c", "pass"],
    "list": ["-m", "zoo", "list"],
    "plugins": ["-m", "zoo", "plugins"],
    "help": ["-m", "zoo", "--help"],
}


def once(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "list_speed.json")
    asked = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(asked.runs):
        for name, arguments in COMMANDS.items():
            times[name].append(once(arguments))
    medians = {name: statistics.median(values) for name, values in times.items()}
    write_result(asked.out, {"runs": asked.runs, "median_seconds": medians, "seconds": times})
    print("  ".join(f"{name} {value * 1000:.0f} ms" for name, value in medians.items()))


if __name__ == "__main__":
    main()
