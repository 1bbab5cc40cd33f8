"""Runs killed by SIGKILL at a random moment, and resumed: `python tests/faults/kills.py --count 1000`
(`make reliability` runs it).

The twelve configurations use between them every feature of the trainer that keeps state. A kill comes at any time
between the start of the command and a little after its end; where no checkpoint was written yet, the run begins anew,
and must end the same.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from harness import Checks, Server


def options(*settings: str, optimizer: str = "sgd") -> list[str]:
    return [word for setting in (f"train.optimizer={optimizer}", *settings) for word in ("--set", setting)]


CONFIGURATIONS = {
    "plain": options(),
    "adam": options(optimizer="adam"),
    "adamw, cosine": options("train.schedule=cosine", "train.warmup_epochs=0.5", optimizer="adamw"),
    "nesterov": options("train.momentum=0.9", "train.optimizer_options={nesterov: true}"),
    "moving average": options("train.ema_decay=0.9"),
    "early stopping": options("train.patience=1"),
    "pieces": options("train.micro_batches=3"),
    "clipping, weight decay": options(
        "train.clip_norm=0.5", "train.weight_decay=0.01", "train.weight_decay_scope=weights"
    ),
    "mixup": options("train.mixup=0.4", "train.cutmix=1.0"),
    "fp16": options("train.precision=fp16"),
    "bf16": options("train.precision=bf16"),
    "augmentation": [*options(), "--augment", "flip, crop: 1, erase"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/kills.json"))
    asked = parser.parse_args()
    started, wrong, killed = time.monotonic(), [], 0
    draw = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="zoo-kills-") as name, Server(Path(name)) as server:
        prepared = {label: _reference(server, Path(name) / label, more) for label, more in CONFIGURATIONS.items()}
        for number in range(asked.count):
            label = list(CONFIGURATIONS)[number % len(CONFIGURATIONS)]
            checks, seconds = prepared[label]
            folder = Path(name) / "case"
            after = draw.uniform(0, 1.1 * seconds)
            killed += server.call("run", folder, **checks.request, kill_after=after).exit == "killed"
            found = checks.after(folder)
            if found:
                wrong.append({"kill": number, "configuration": label, "seconds": after, "wrong": found})
                print(wrong[-1], flush=True)
            shutil.rmtree(folder)
            if (number + 1) % 50 == 0:
                print(f"{number + 1} kills, {len(wrong)} wrong", flush=True)
    summary = {
        "runs": asked.count,
        "killed": killed,
        "configurations": len(CONFIGURATIONS),
        "wrong": len(wrong),
        "seconds": round(time.monotonic() - started),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({**summary, "failures": wrong}, indent=1) + "\n", encoding="utf-8")
    print(summary)
    return 1 if wrong else 0


def _reference(server: Server, folder: Path, more: list[str]) -> tuple[Checks, float]:
    """What a configuration ends with, and how long it takes."""
    request: dict[str, Any] = {"more": more, "name": "it"}
    started = time.monotonic()
    answer = server.call("run", folder, **request)
    if answer.exit != 0:
        raise SystemExit(f"{folder.name} does not run: {answer.err[-1000:]}")
    seconds = time.monotonic() - started
    reference = json.loads(server.call("facts", folder).out)
    shutil.rmtree(folder)
    return Checks(server, "run", folder, reference, request), seconds


if __name__ == "__main__":
    sys.exit(main())
