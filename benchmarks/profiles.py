"""What bounds each job of docs/performance.md: a profile of each, written to results/profiles.

    python -m pip install --target /tmp/py-spy py-spy
    ZOO_DATA=… python benchmarks/profiles.py --weights squeezenet1_1.safetensors [--py-spy /tmp/py-spy] [--only NAME …]

Training is profiled by `zoo run --profile`: 20 steps, by phase and by operator of PyTorch. Whole commands, and loading
of images, are sampled by py-spy: each thread that runs, 100 times a second; a sample belongs to the innermost function
of zoo on its stack, or to the import of modules. Shares are of the samples, so that threads count as often as they
run. With OMP_NUM_THREADS=1, other programs on the machine disturb a profile less.

With --tiny, random images and weights; MNIST and CIFAR-10 are left out without ZOO_DATA.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _photos import photographs, random_weights
from _process import timed
from _record import RESULTS, parser_of, write_result

HERE = Path(__file__).resolve().parent
ZOO = [sys.executable, "-P", "-m", "zoo"]
FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^)]*?)(?::\d+)?\)")
OWN = re.compile(r"(?:^|/)((?:zoo|plugins|zoo_\w+)/\S+\.py)$")
MANY, FEW = 600, 40
PARTS = 6
"""The number of functions that a profile keeps; the rest is one sum."""
IMPORTS = "import of modules"
Profile = dict[str, Any]


class Places:
    """Folders and files that the profiles use: photographs and weights, from ZOO_DATA or random."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.photos = photographs(folder / "photos", FEW if asked.tiny else MANY, tiny=asked.tiny)
        self.weights = asked.weights.absolute() if asked.weights else random_weights(folder)

    def spied(self, *commands: list[str], cache: str, without: tuple[str, ...] = ()) -> Profile:
        """The functions that a sequence of commands runs most, by samples of py-spy, ``without`` those named."""
        counts: collections.Counter[str] = collections.Counter()
        spy = self.asked.py_spy / "bin" / "py-spy"
        for command in commands:
            file = self.folder / "samples.txt"
            record = [str(spy), "record", "-r", "100", "-f", "raw", "--nolineno", "--nonblocking", "-o", str(file)]
            timed([*record, "--", *command], self.folder, {"ZOO_CACHE": str(self.folder / cache)})
            counts += by_function(file.read_text("utf-8"))
        for name in without:
            del counts[name]
        total = sum(counts.values())
        most = counts.most_common(PARTS)
        parts = [{"name": name, "share": count / total} for name, count in most]
        rest = {"name": "other functions", "share": 1 - sum(count for _, count in most) / total}
        return {"tool": "py-spy", "samples": total, "parts": [*parts, rest]}

    def traced(self, recipe: str, *options: str) -> Profile:
        """The phases of a training step, and PyTorch's operators, by `zoo run --profile`."""
        out = self.folder / f"traced-{Path(recipe).name}"
        if self.asked.tiny:
            options = (*options, "--set", "train.batch_size=4")
        command = [*ZOO, "run", recipe, *options, "--profile", "--device", "cpu", "--out", str(out)]
        timed(command, self.folder, {"ZOO_CACHE": str(self.folder / "cache")})
        found = json.loads((out / "profile" / "profile.json").read_text("utf-8"))
        *phases, step = ((row["name"], row["host_ms"]) for row in found["phases"])
        operators = [{"name": row["name"], "share": row["host_ms"] / step[1]} for row in found["operators"][:PARTS]]
        parts = [{"name": name, "share": value / step[1]} for name, value in phases]
        return {"tool": "zoo run --profile", "steps": found["steps"], "parts": parts, "operators": operators}


def by_function(raw: str) -> collections.Counter[str]:
    """Count samples by the innermost function of zoo, from lines ``outer;…;inner N`` of py-spy's raw format."""
    found: collections.Counter[str] = collections.Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        found[_name(stack.split(";"))] += int(count)
    return found


def _name(stack: list[str]) -> str:
    if any(frame.startswith(("_find_and_load", "_load_unlocked")) for frame in stack):
        return IMPORTS
    for frame in reversed(stack):
        match = FRAME.fullmatch(frame)
        own = OWN.search(match["file"]) if match else None
        if match and own:
            return f"{match['function']} ({own[1]})"
    return "outside zoo"


def on_photos(places: Places) -> list[str]:
    """The options that train SqueezeNet's last layer on the photographs."""
    return ["--data", f"folder:{places.photos}", "--weights", str(places.weights)]


def crops(places: Places) -> Profile:
    script = [sys.executable, str(HERE / "source_crops.py"), "--folder", str(places.photos), "--side", "zoo, none"]
    return places.spied(script, cache="crops", without=(IMPORTS,))  # an epoch begins after them


def small_run(places: Places) -> Profile:
    run = [*ZOO, "run", "squeezenet_transfer", *on_photos(places), "--device", "cpu"]
    return places.spied([*run, "--out", str(places.folder / "small")], cache="small")


def bundle(places: Places) -> Profile:
    run = [*ZOO, "run", f"folder:{places.photos}", "--weights", str(places.weights), "--device", "cpu"]
    export = [*ZOO, "export", "bundle", "--onnx"]
    return places.spied([*run, "--name", "bundle"], export, cache="bundle")


def fine_tuning(places: Places) -> Profile:
    """In batches of 8: 25 steps of 32 images would take minutes."""
    count = FEW if places.asked.tiny else 300
    photos = photographs(places.folder / "fine-tuning", count, tiny=places.asked.tiny)
    data = ["--data", f"folder:{photos}", "--set", "dataset.cache=none", "--set", "dataset.resize=224"]
    train = ["--batch-size", "8", "--epochs", "1", "--set", "train.augment=[resized_crop,flip]"]
    return places.traced("torchvision/resnet18", *data, *train)


PROFILES: dict[str, Callable[[Places], Profile]] = {
    "mnist_fnn": lambda places: places.traced("fnn_mnist"),
    "mnist_cnn": lambda places: places.traced("cnn_mnist"),
    "cifar10_lenet": lambda places: places.traced("lenet_cifar10", "--epochs", "1"),
    "mnist_fast": lambda places: places.traced("mnist_fast"),
    "source_crops": crops,
    "small_run": small_run,
    "head": lambda places: places.traced("squeezenet_transfer", *on_photos(places)),
    "photos_to_bundle": bundle,
    "finetune_speed": fine_tuning,
}
SAMPLED = ("source_crops", "small_run", "photos_to_bundle")
REAL = ("mnist_fnn", "mnist_cnn", "cifar10_lenet", "mnist_fast")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of torchvision's squeezenet1_1")
    parser.add_argument("--py-spy", type=Path, help="where py-spy was installed; without it, its profiles are left out")
    parser.add_argument("--only", nargs="*", choices=PROFILES, default=list(PROFILES))
    asked = parser.parse_args()
    if asked.weights is None and not asked.tiny:
        parser.error("--weights FILE is needed")
    target = asked.out or (None if asked.tiny else RESULTS / "profiles")
    with tempfile.TemporaryDirectory() as name:
        places = Places(asked, Path(name))
        for profile in asked.only:
            if profile in SAMPLED and asked.py_spy is None:
                print(f"{profile}: left out without --py-spy")
            elif profile in REAL and "ZOO_DATA" not in os.environ:
                print(f"{profile}: left out without ZOO_DATA")
            else:
                found = {"threads": torch.get_num_threads(), **PROFILES[profile](places)}
                told = ", ".join(f"{part['name']} {part['share']:.0%}" for part in found["parts"])
                print(f"{profile}: {told}", flush=True)
                write_result(None if target is None else target / f"{profile}.json", found)


if __name__ == "__main__":
    main()
