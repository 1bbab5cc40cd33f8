"""A bundle that is replaced while it is read, and publishers that are killed:
`python tests/faults/publishing.py --kills 500 --reads 100000` (`make reliability` runs it).

Two bundles replace each other in one folder, in one step or file by file, as `zoo export` does it. Each read is that of
a client: bundle.json, the digests of the files that are loaded, and their content. One read in ten checks all files, as
`zoo verify` does. Wrong is a read that mixes the two bundles, or that finds a file altered. A publisher is killed by
SIGKILL at a random moment; wrong is also a bundle that cannot be opened afterwards, or that cannot be replaced.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo import runtime
from zoo.exporting import atomic_publish
from zoo.exporting.atomic_publish import JOURNAL, publish, temporary_beside
from zoo.exporting.bundle import write_sealed_json
from zoo.exporting.integrity import check_files
from zoo.support.atomic_files import sha256

PUBLISHED = Path(__file__).parents[2] / "exports" / "published" / "fnn_mnist"
WAYS = ("in one step", "file by file")
READERS = 2
ALL_FILES = 10
"""One read in so many checks all files."""
LONGEST = 0.03
"""Seconds until a publisher is killed, at most: a few publications."""


class Content:
    """A runner that reads its file, and runs nothing."""

    metadata: Mapping[str, str] = {}

    def __init__(self, path: Path) -> None:
        self.marker = path.read_bytes()[-1:].decode()

    def close(self) -> None:
        pass


def make_bundles(folder: Path) -> list[Path]:
    """Two bundles: the last byte of the model and the name in the description are "A" or "B"."""
    made = []
    for marker in "AB":
        bundle = folder / f"bundle {marker}"
        shutil.copytree(PUBLISHED, bundle, ignore=shutil.ignore_patterns("__pycache__"))
        index = runtime.read_index(bundle)
        (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes() + marker.encode())
        index["description"]["name"] = marker
        index["files"]["model.onnx"] = {"sha256": sha256(bundle / "model.onnx")}
        del index["sha256"]
        write_sealed_json(bundle / "bundle.json", index)
        verification = json.loads((bundle / "verify.json").read_bytes())
        verification["bundle"]["sha256"] = sha256(bundle / "bundle.json")
        del verification["sha256"]
        write_sealed_json(bundle / "verify.json", verification)
        made.append(bundle)
    return made


def put(bundle: Path, target: Path) -> None:
    """Replace ``target`` by a copy of ``bundle``."""
    with temporary_beside(target) as folder:
        shutil.copytree(bundle, folder, dirs_exist_ok=True)
        publish(folder, target)


def read(target: Path, whole: bool) -> str:
    """Read a bundle as a client, or all of it; returns what is wrong, or "right"."""
    try:
        opened = runtime.open_model(target / "model.onnx", Content, lambda _: None)
    except runtime.ModelError as error:
        return "altered" if "altered" in str(error) else str(error)
    if opened.description["name"] != opened.runner.marker:
        return "half"
    damaged = [each for each in check_files(target).findings if each.state != "ok"] if whole else []
    if damaged:
        return "interrupted" if any(each.part == JOURNAL for each in damaged) else f"damaged: {damaged[0]}"
    return "right"


def read_many(target: Path, number: int, count: int | None, stop: Any, answers: Any) -> None:
    """``count`` reads, or as many as fit until ``stop``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    found: Counter[str] = Counter()
    while not stop.is_set() and (count is None or found.total() < count):
        found[read(target, found.total() % ALL_FILES == number)] += 1
    answers.put(found)


@contextmanager
def readers(target: Path, count: int | None) -> Iterator[Callable[[], Counter[str]]]:
    """Processes that read; the function waits for their reads, or ends them where they have no number of them."""
    stop: Any = multiprocessing.Event()
    answers: Any = multiprocessing.Queue()
    each = None if count is None else -(-count // READERS)
    started = [
        multiprocessing.Process(target=read_many, args=(target, number, each, stop, answers))
        for number in range(READERS)
    ]
    for process in started:
        process.start()

    def total() -> Counter[str]:
        if count is None:
            stop.set()
        return sum((answers.get() for _ in started), Counter())

    try:
        yield total
    finally:
        stop.set()
        for process in started:
            process.join()


def publisher(bundles: list[Path], target: Path, way: str) -> int:
    """Fork a process that publishes the bundles in turn until it is killed; returns its id."""
    process = os.fork()
    if process:
        return process
    try:
        use(way)
        while True:
            for bundle in bundles:
                put(bundle, target)
    except BaseException as error:
        print(f"publishing failed: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(70)


def use(way: str) -> None:
    if way == "file by file":
        atomic_publish.exchange = lambda *_: False


def kill(process: int, after: float) -> bool:
    """Kill a process after a time; returns whether it ran until then."""
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def after_a_kill(bundles: list[Path], target: Path, number: int) -> list[str]:
    """What is wrong with the bundle, and with replacing it."""
    found = read(target, whole=True)
    wrong = [] if found in ("right", "interrupted") else [found]
    put(bundles[number % 2], target)
    found = read(target, whole=True)
    beside = [path.name for path in target.parent.iterdir() if path != target]
    return wrong + ([] if found == "right" else [f"replaced: {found}"]) + [f"left behind: {name}" for name in beside]


def kills(bundles: list[Path], folder: Path, count: int, draw: random.Random) -> dict[str, Any]:
    wrong: list[str] = []
    killed, reads = 0, Counter[str]()
    exchange = atomic_publish.exchange
    for way in WAYS:
        target = folder / way / "it"
        use(way)
        put(bundles[0], target)
        with readers(target, None) as total:
            for number in range(count // len(WAYS)):
                killed += kill(publisher(bundles, target, way), draw.uniform(0, LONGEST))
                wrong += [f"{way}, kill {number}: {each}" for each in after_a_kill(bundles, target, number)]
            reads += total()
        atomic_publish.exchange = exchange
    return {"kills": killed, "reads": reads.total(), **outcome(reads), "after kills": wrong}


def reads(bundles: list[Path], folder: Path, count: int) -> dict[str, Any]:
    found: Counter[str] = Counter()
    for way in WAYS:
        target = folder / f"{way}, read" / "it"
        put(bundles[0], target)
        process = publisher(bundles, target, way)
        try:
            with readers(target, count // len(WAYS)) as total:
                found += total()
        finally:
            if not kill(process, 0):
                found["the publisher failed"] += 1
    return {"reads": found.total(), **outcome(found)}


def outcome(found: Counter[str]) -> dict[str, Any]:
    """A file-by-file replacement that was killed is no altered bundle: `zoo verify` calls it interrupted."""
    return {"wrong": found.total() - found["right"] - found["interrupted"], "found": dict(found)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--reads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/publishing.json"))
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="zoo-publishing-") as name:
        bundles = make_bundles(Path(name))
        found = {
            "killed": kills(bundles, Path(name), asked.kills, random.Random(asked.seed)),
            "read": reads(bundles, Path(name), asked.reads),
        }
    summary = {**found, "seconds": round(time.monotonic() - started)}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=1))
    return 1 if found["killed"]["wrong"] or found["killed"]["after kills"] or found["read"]["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
