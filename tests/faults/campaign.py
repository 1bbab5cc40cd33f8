"""Every file call of every story under every fault of its kind: `python tests/faults/campaign.py` (`make reliability`
runs it, in hours).

--every N     only each N-th case;  --workers N   servers at a time;  --out FILE   the results, as JSON
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import Case, Checks, Server, cases, trace
from images import write_archive

Row = tuple[Case, list[str]]


def prepare(server: Server, folder: Path) -> dict[str, tuple[Checks, list[Case]]]:
    """Each story with its starting state, what it must end with, and all its cases."""
    empty, stopped, finished = folder / "empty", folder / "stopped", folder / "finished"
    archive = folder / "images.zip"
    write_archive(archive)
    whole = folder / "whole"
    _expect(server.call("run", whole, name="it").exit == 0, whole)
    calls = {"run": trace(whole)}
    reference = json.loads(server.call("facts", whole).out)
    shutil.copytree(whole / "root", finished)
    _expect(server.call("export", whole).exit == 0, whole)
    shutil.copytree(whole / "root", folder / "exported")
    _expect(server.call("export", whole).exit == 0, whole)
    calls["export"] = trace(whole)
    half = next(
        call
        for call, operation, path in calls["run"]
        if operation == "rename" and "step-000010" in path and "checkpoints/step" in path
    )
    shutil.copytree(_killed(server, folder / "half", half) / "root", stopped)
    resumed = folder / "resumed"
    shutil.copytree(stopped, resumed / "root")
    _expect(server.call("resume", resumed).exit == 0, resumed)
    calls["resume"] = trace(resumed)
    fetched, request = folder / "fetched", {"archive": str(archive)}
    _expect(server.call("download", fetched, **request, name="again").exit == 0, fetched)
    calls["download"] = trace(fetched)
    downloaded = json.loads(server.call("facts", fetched, run="runs/lenet/again").out)
    made = {
        "run": Checks(server, "run", empty, reference, {"name": "it"}),
        "resume": Checks(server, "resume", stopped, reference),
        "export": Checks(server, "export", folder / "exported", reference),
        "download": Checks(server, "download", empty, downloaded, {**request, "name": "it"}),
    }
    return {story: (checks, list(cases(story, calls[story]))) for story, checks in made.items()}


def _killed(server: Server, folder: Path, call: int) -> Path:
    """A run that was killed after its second epoch's first checkpoints."""
    server.call("run", folder, {"call": call, "kind": "die after", "errno": 0}, name="it")
    return folder


def _expect(true: bool, folder: Path) -> None:
    if not true:
        raise SystemExit(f"a story fails without a fault: {(folder / 'stderr').read_text(encoding='utf-8')[-2000:]}")


def run(checks: Checks, case: Case, folder: Path) -> list[str]:
    try:
        return checks.run(case, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stories", nargs="+", default=["run", "resume", "export", "download"])
    parser.add_argument("--out", type=Path, default=Path("build/faults.json"))
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zoo-faults-") as folder:
        rows = _all(Path(folder), asked.stories, asked.every, asked.workers)
    summary = summarise(rows, asked.every, time.monotonic() - started)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary["stories"], indent=1))
    return 1 if summary["failures"] else 0


def _all(folder: Path, stories: list[str], every: int, workers: int) -> list[Row]:
    """Each worker has a server of its own and takes the next case when it is done with one."""
    queue: Queue[Case] = Queue()
    rows: list[Row] = []

    def work(number: int) -> None:
        place = folder / str(number)
        place.mkdir()
        with Server(place) as server:
            prepared = prepare(server, place / "prepared")
            if number == 0:
                for case in [case for story in stories for case in prepared[story][1]][::every]:
                    queue.put(case)
                ready.append(True)
            while not ready:
                time.sleep(0.1)
            while not queue.empty():
                case = queue.get()
                wrong = run(prepared[case.story][0], case, place / "case")
                rows.append((case, wrong))
                if wrong:
                    print(f"{case}: {'; '.join(wrong)}", flush=True)
                if len(rows) % 50 == 0:
                    print(f"{len(rows)} cases, {queue.qsize()} to go", flush=True)

    ready: list[bool] = []
    with ThreadPoolExecutor(workers) as pool:
        for result in [pool.submit(work, number) for number in range(workers)]:
            result.result()
    return rows


def summarise(rows: list[Row], every: int, seconds: float) -> dict[str, Any]:
    stories: dict[str, Any] = {}
    for story in dict.fromkeys(case.story for case, _ in rows):
        mine = [(case, wrong) for case, wrong in rows if case.story == story]
        kinds = Counter("died" if case.kind in ("die before", "die after", "torn") else "failed" for case, _ in mine)
        stories[story] = {
            **kinds,
            "calls": len({case.call for case, _ in mine}),
            "wrong": sum(bool(wrong) for _, wrong in mine),
        }
    failures = [{"case": str(case), "wrong": wrong} for case, wrong in rows if wrong]
    return {"every": every, "seconds": round(seconds), "stories": stories, "failures": failures}


if __name__ == "__main__":
    sys.exit(main())
