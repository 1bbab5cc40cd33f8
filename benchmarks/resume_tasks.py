"""Whole runs by each task and each of its options, killed and resumed: the second table of docs/exact-resume.md.

`resume_exactness.py` writes it. The folder of a run of three epochs is copied right after its second checkpoint, within
its first epoch; the copy is what a kill at that moment leaves. It is resumed, and must end with the weights and metrics
of the run itself. The networks are small ones, on the embedded digits and images made of them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

import zoo
from zoo.errors import ZooError
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir

HOW: dict[str, dict[str, Any]] = {
    "sgd, constant, fp32": {"optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
    "adamw, cosine, fp32": {"optimizer": "adamw", "schedule": "cosine"},
    "adamw, cosine, fp16": {"optimizer": "adamw", "schedule": "cosine", "precision": "fp16"},
}
COMPRESSED = {"finetune": True, "budget": 0.5, "curve": []}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "classification": [{}, {"label_smoothing": 0.1}, {"class_weights": "balanced"}],
    "transfer": [
        {},
        {"label_smoothing": 0.1},
        {"class_weights": "balanced"},
        {"train": "last:2"},
        {"train": "all"},
        {"train": "all", "layer_decay": 0.5},
        {"unfreeze_every": 1},
    ],
    "svd_compress": [
        COMPRESSED,
        *(
            {**COMPRESSED, **more}
            for more in ({"of": "macs"}, {"method": "plain"}, {"even": True}, {"forms": ["spatial"]})
        ),
        *(
            {**COMPRESSED, **more}
            for more in ({"distillation": 0.0}, {"distillation": 1.0}, {"temperature": 4.0}, {"calibration_seed": 1})
        ),
        *({"finetune": True, "curve": [], **more} for more in ({"energy": 0.9}, {"max_drop": 5.0})),
    ],
    "multi_label": [{}, {"loss": "asymmetric"}, {"positive_weights": "balanced"}, {"threshold": 0.3}],
    "regression": [
        {},
        *({"loss": loss} for loss in ("l1", "huber", "quantile")),
        {"clip": [-50, 50]},
        {"link": "sigmoid", "clip": [-50, 50]},
    ],
    "segmentation": [
        {},
        *({"loss": loss} for loss in ("dice", "focal", "cross_entropy+dice")),
        {"class_weights": "balanced"},
    ],
    "retrieval": [{}, {"dimensions": 8}, {"temperature": 0.5}, {"gallery": False}],
}
"""Values of the options that a training of each task can have, by task; the first is its defaults.

``of: ms`` has a test of its own (tests/plugins/zoo_svd): of layers this small, the measured times may allow no budget.
``link: exp`` needs positive numbers, which the angles are not.
"""
ON_WEIGHTS = ("transfer", "svd_compress")
"""Tasks that start from trained weights."""
DIGITS: dict[str, Any] = {"name": "digits", "resize": 16, "val_fraction": 0.2}
DATA: dict[str, dict[str, Any]] = {
    "multi_label": {"name": "digit_sets"},
    "regression": {"name": "digits_rotated", "resize": 16},
    "segmentation": {"name": "digits_on_photos", "val_fraction": 0.2},
}
"""The datasets of tasks that are not for classes."""
SMALL = {"width": 4, "depth": 2}
"""The options of the U-Net."""


def cases() -> list[tuple[str, dict[str, Any]]]:
    return [(task, options) for task, variants in OPTIONS.items() for options in variants]


def label(task: str, options: dict[str, Any]) -> str:
    shown = [
        f"{name}={value}"
        for name, value in options.items()
        if (name, value) not in (("finetune", True), ("budget", 0.5), ("curve", []))
    ]
    return f"`{task}`" + (f" {', '.join(shown)}" if shown else "")


def difference(task: str, options: dict[str, Any], train: dict[str, Any], start: Path, folder: Path) -> str | None:
    """What a run that was killed and resumed has otherwise than one that was not, or why it is refused; None where
    nothing. ``start`` is a run."""
    network, batch_size, more = ("unet", 64, {"architecture": SMALL}) if task == "segmentation" else ("cnn", 256, {})
    overrides = {
        "task": {"name": task, **options},
        "dataset": DATA.get(task, DIGITS),
        "train": {"epochs": 3, "batch_size": batch_size, "checkpoint_steps": 2, **train},
        "device": "cpu", "threads": 1, "seed": 5,
        **more,
        **({"weights": str(start)} if task in ON_WEIGHTS else {}),
    }  # fmt: skip
    whole, stopped = folder / "whole", folder / "stopped"
    try:
        with _copied_at(checkpoint=2, to=stopped):
            zoo.run(network, overrides=overrides, out=whole, console=Console(quiet=True))
        zoo.run(resume=stopped, console=Console(quiet=True))
    except ZooError as error:
        return f"refused: {error.what}"
    due, found = (zoo.load(run).module.state_dict() for run in (whole, stopped))
    different = [name for name, value in due.items() if not torch.equal(value, found[name])]
    if different:
        return f"differs: {different[0]}"
    return None if _metrics(whole) == _metrics(stopped) else "differs: metrics"


def _metrics(run: Path) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if "second" not in name} for row in RunDir(run).epochs()]


@contextmanager
def _copied_at(checkpoint: int, to: Path) -> Iterator[None]:
    """A copy of the run's folder right after a number of checkpoints were published: what a kill at that moment
    leaves."""
    original, count = RunDir.write_root, 0

    def write_root(self: RunDir, root: Any) -> None:
        nonlocal count
        original(self, root)
        count += bool(root.checkpoints)
        if count == checkpoint and not to.exists():
            shutil.copytree(self.path, to)

    RunDir.write_root = write_root  # type: ignore[method-assign]
    try:
        yield
    finally:
        RunDir.write_root = original  # type: ignore[method-assign]


def trained(folder: Path) -> Path:
    """A run to start from."""
    train = {"epochs": 2, "batch_size": 256}
    zoo.run(
        "cnn",
        overrides={"dataset": {"name": "digits", "resize": 16}, "train": train, "device": "cpu", "threads": 1},
        out=folder / "start",
        console=Console(quiet=True),
    )
    return folder / "start"


def lines() -> Iterator[str]:
    yield f"| task, option | {' | '.join(HOW)} |"
    yield f"| --- |{' --- |' * len(HOW)}"
    with tempfile.TemporaryDirectory() as name:
        start = trained(Path(name))
        for number, (task, options) in enumerate(cases()):
            found = [
                difference(task, options, train, start, Path(name) / f"{number}-{column}")
                for column, train in enumerate(HOW.values())
            ]
            yield f"| {label(task, options)} | {' | '.join(each or 'exact' for each in found)} |"
            print(f"{task} {json.dumps(options)} done", file=sys.stderr)


if __name__ == "__main__":
    os.environ.setdefault("ZOO_OFFLINE", "1")
    print("\n".join(lines()))
