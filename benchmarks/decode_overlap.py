"""Whether decoding photographs while frozen layers already run over the first of them is faster than one after the
other, on this machine's CPU.

    python benchmarks/decode_overlap.py [--folder FOLDER] [--rounds 5]

FOLDER holds .jpg files; by default, photographs of cats and dogs in ZOO_DATA are used. The layers are those of
torchvision's squeezenet1_1 and vgg16 before their heads, with random weights, channels last, 16 images at a time;
decoding is the zoo's own, to 224×224, by a thread a core. Both ways alternate.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from _photos import photographs
from _record import compared, parser_of, result_file, write_result
from torch import nn

from zoo.data.preprocessing import Preprocessing

IMAGES = {"squeezenet1_1": 600, "vgg16": 100}
FEW = 8
"""Images with --tiny."""
BATCH = 16
PREPARED = Preprocessing(channels=3, height=224, width=224, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def decode(files: list[Path], into: np.ndarray, done: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for index, image in enumerate(pool.map(PREPARED.read, files)):
            into[index] = image
            done(index + 1)


def run_over(backbone: nn.Module, images: np.ndarray, wait: Callable[[int], None]) -> None:
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            wait(min(start + BATCH, len(images)))
            batch = torch.from_numpy(images[start : start + BATCH]).contiguous(memory_format=torch.channels_last)
            backbone(batch.float().div_(255))


def in_turn(backbone: nn.Module, files: list[Path], images: np.ndarray) -> float:
    started = time.perf_counter()
    decode(files, images, lambda _count: None)
    run_over(backbone, images, lambda _count: None)
    return time.perf_counter() - started


def overlapped(backbone: nn.Module, files: list[Path], images: np.ndarray) -> float:
    condition, ready = threading.Condition(), [0]

    def done(count: int) -> None:
        with condition:
            ready[0] = count
            condition.notify()

    def wait(count: int) -> None:
        with condition:
            condition.wait_for(lambda: ready[0] >= count)

    started = time.perf_counter()
    decoder = threading.Thread(target=decode, args=(files, images, done))
    decoder.start()
    run_over(backbone, images, wait)
    decoder.join()
    return time.perf_counter() - started


def measured(name: str, files: list[Path], rounds: int) -> dict[str, Any]:
    torch.manual_seed(0)
    backbone = getattr(torchvision.models, name)().features.eval().to(memory_format=torch.channels_last)
    files = files[: IMAGES[name]]
    images = np.zeros((len(files), 3, 224, 224), np.uint8)
    in_turn(backbone, files, images)
    found: dict[str, list[float]] = {"in turn": [], "overlapped": []}
    for _ in range(rounds):
        found["in turn"].append(in_turn(backbone, files, images))
        found["overlapped"].append(overlapped(backbone, files, images))
    comparison = compared(found, ours="overlapped")
    print(f"{name}, {len(files)} images: overlapped {comparison['ratios']['in turn']['median']:.2f}× faster")
    return {**comparison, "images": len(files)}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = asked.folder or photographs(Path(place), FEW if asked.tiny else max(IMAGES.values()), tiny=asked.tiny)
        files = sorted(folder.rglob("*.jpg"))
        found = {name: measured(name, files, 1 if asked.tiny else asked.rounds) for name in IMAGES}
    write_result(result_file(asked, "decode_overlap"), {"comparisons": found})


if __name__ == "__main__":
    main()
