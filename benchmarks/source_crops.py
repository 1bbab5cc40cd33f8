"""The first epoch over photographs with random resized crops at 224 pixels: `dataset.cache=none` (and the others)
against torch's DataLoader with torchvision's transforms, and SPDL.

    python -m pip install --target /tmp/spdl --no-deps spdl spdl-core spdl-io av
    ZOO_DATA=… python benchmarks/source_crops.py [--folder FOLDER] [--spdl /tmp/spdl] [--rounds 5] [--enlarge 4]

FOLDER has a folder for each class; by default, 1,600 photographs of cats and dogs in ZOO_DATA are used. Every time is
of a process of its own with an empty cache; the sides take turns. An epoch begins when the loader is asked for its
first batch and ends with its last: batches of 64 images, float32, normalised, by two workers (processes of the
DataLoader, threads of the others). Opening the data is timed apart: zoo reads and digests all files, and decodes them
for the caches. Processor time includes that of child processes. SPDL finds the FFmpeg that it needs among the libraries
of av. With --tiny, the photographs are random images.

``--enlarge`` N uses copies of the photographs that are N times larger, as a camera's are.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from _photos import photographs
from _record import compared, parser_of, result_file, write_result

SIDE, BATCH, WORKERS = 224, 64, 2
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
SIDES = ("zoo, none", "zoo, source", "zoo, sized", "DataLoader", "SPDL")
EPOCHS = 2
MANY, FEW = 1600, 24


def zoo_epochs(folder: Path, cache: str) -> Iterator[Iterator[torch.Tensor]]:
    from zoo.config.augmentation_options import canonical
    from zoo.config.run_config import DatasetSection
    from zoo.data.data_loader import open_data
    from zoo.registry.lookup import registry
    from zoo.support.counter_random import order

    section = DatasetSection(
        name="folder", path=str(folder), test_fraction=0.0001, resize=SIDE, mean=MEAN, std=STD, cache=cache
    )
    part = open_data(registry(), section, torch.device("cpu"), parts=("train",)).part("train")
    augmenter = part.augmenter(canonical("resized_crop, flip"), 0)
    for epoch in range(EPOCHS):
        batches = part.batches_of(order(0, epoch, len(part)), BATCH, 0, augmenter.of_epoch(epoch))
        yield (batch.inputs for batch in batches)


def dataloader_epochs(folder: Path) -> Iterator[Iterator[torch.Tensor]]:
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [
        transforms.RandomResizedCrop(SIDE, SCALE, RATIO),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    images = ImageFolder(folder, transforms.Compose(steps))
    loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True, num_workers=WORKERS)
    for _ in range(EPOCHS):
        yield (inputs for inputs, _ in loader)


def spdl_epochs(folder: Path) -> Iterator[Iterator[torch.Tensor]]:
    import spdl.io
    from spdl.pipeline import PipelineBuilder

    files, draw = sorted(str(file) for file in folder.rglob("*.jpg")), random.Random(0)  # noqa: S311
    mean, std = (torch.tensor(each).view(3, 1, 1) * 255 for each in (MEAN, STD))

    def decode(file: str) -> Any:
        packets = spdl.io.demux_image(file)
        height, width = packets.height, packets.width
        area = draw.uniform(*SCALE) * height * width
        root = math.exp(0.5 * draw.uniform(*map(math.log, RATIO)))
        wide, high = min(width, round(math.sqrt(area) * root)), min(height, round(math.sqrt(area) / root))
        left, top = draw.randint(0, width - wide), draw.randint(0, height - high)
        flip = ",hflip" if draw.random() < 0.5 else ""
        steps = f"crop={wide}:{high}:{left}:{top},scale={SIDE}:{SIDE}:flags=bilinear{flip},format=rgb24"
        return spdl.io.decode_packets(packets, filter_desc=steps)

    def batch(frames: list[Any]) -> torch.Tensor:
        images = spdl.io.to_torch(spdl.io.convert_frames(frames)).permute(0, 3, 1, 2)
        return images.contiguous().float().sub_(mean).div_(std)

    for _ in range(EPOCHS):
        draw.shuffle(files)
        builder = PipelineBuilder().add_source(iter(files)).pipe(decode, concurrency=WORKERS)
        pipeline = builder.aggregate(BATCH).pipe(batch).add_sink(2).build(num_threads=WORKERS)
        with pipeline.auto_stop():
            yield iter(pipeline)


def processor_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Return the seconds of opening the data and of each epoch, by clock and by processor."""
    kind, _, cache = side.partition(", ")
    epochs = {"zoo": lambda: zoo_epochs(folder, cache)}.get(kind) or {
        "DataLoader": lambda: dataloader_epochs(folder),
        "SPDL": lambda: spdl_epochs(folder),
    }[kind]
    if kind == "zoo":  # what any run has imported
        import zoo.data.data_loader  # noqa: F401
        from zoo.registry.lookup import registry

        registry()
    elif kind == "DataLoader":
        import torchvision.datasets  # noqa: F401
    found: list[tuple[float, float]] = []
    shown: set[tuple[int, ...]] = set()
    images = 0
    clock, used = time.perf_counter(), processor_seconds()
    for batches in epochs():
        found.append((time.perf_counter() - clock, processor_seconds() - used))
        clock, used = time.perf_counter(), processor_seconds()
        images = 0
        for inputs in batches:
            images += len(inputs)
            shown.add((*inputs.shape[1:], inputs.dtype.itemsize))
        found.append((time.perf_counter() - clock, processor_seconds() - used))
        clock, used = time.perf_counter(), processor_seconds()
    if shown != {(3, SIDE, SIDE, 4)}:
        raise RuntimeError(f"{side} gave batches of {shown}")
    opened, first, _, second = found
    return {"images": images, "open": opened, "first_epoch": first, "second_epoch": second}


def ffmpeg_of(spdl: Path, links: Path) -> list[str]:
    """Return folders where SPDL finds av's copy of FFmpeg under its usual names, which av's wheel has changed."""
    libraries = spdl / "av.libs"
    for file in libraries.glob("lib*.so.*"):
        name = re.sub(r"-[0-9a-f]{8}(\.so\.\d+).*", r"\1", file.name)
        if not (links / name).exists():
            (links / name).symlink_to(file.resolve())
    return [str(links), str(libraries.resolve())]


def in_process(side: str, folder: Path, spdl: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as cache:
        path = [str(spdl)] if spdl is not None and side == "SPDL" else []
        environment = {**os.environ, "ZOO_CACHE": cache}
        environment["PYTHONPATH"] = os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])])
        if path:
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(ffmpeg_of(Path(path[0]), Path(cache)))
        told = subprocess.run(
            [sys.executable, __file__, "--folder", str(folder), "--side", side],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
        )
    if told.returncode:
        sys.exit(f"{side} failed:\n{told.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(told.stdout.splitlines()[-1])
    return found


def laid_out(folder: Path, target: Path, count: int | None, enlarge: int) -> int:
    """Put ``count`` photographs into ``target``, in the folders of their classes; return their number."""
    from PIL import Image

    files = sorted(folder.rglob("*.jpg"))
    files = files[:: max(1, len(files) // count)][:count] if count else files
    for number, file in enumerate(files):
        place = target / file.parent.name / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        if enlarge == 1:
            place.write_bytes(file.read_bytes())
        else:
            with Image.open(file) as image:
                size = (image.width * enlarge, image.height * enlarge)
                image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(place, quality=90)
    return len(files)


def summary(rounds: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Medians in milliseconds for each image, and ratios to `zoo, none` round by round, in clock and processor time."""
    found: dict[str, Any] = {}
    for side in rounds[0]:
        of = [each[side] for each in rounds]
        cells = {
            f"{what}_{unit}_ms": round(statistics.median(1000 * each[what][place] / each["images"] for each in of), 3)
            for what in ("open", "first_epoch", "second_epoch")
            for place, unit in enumerate(("wall", "cpu"))
        }
        ratios = {
            f"{unit}_ratio": sorted(
                round(
                    each[side]["first_epoch"][place]
                    / each[side]["images"]
                    / (each["zoo, none"]["first_epoch"][place] / each["zoo, none"]["images"]),
                    3,
                )
                for each in rounds
            )
            for place, unit in enumerate(("wall", "cpu"))
        }
        medians = {f"median_{name}": statistics.median(values) for name, values in ratios.items()}
        found[side] = {**cells, **medians, **ratios}
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--spdl", type=Path, help="where SPDL was installed; without it, it is left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, help="use this number of the photographs")
    parser.add_argument("--enlarge", type=int, default=1)
    parser.add_argument("--side", choices=SIDES, help="measure this one, in this process, and print it as JSON")
    asked = parser.parse_args()
    if asked.side is not None:
        print(json.dumps(measure(asked.side, asked.folder)))
        return
    sides = [side for side in SIDES if side != "SPDL" or asked.spdl is not None]
    with tempfile.TemporaryDirectory() as folder:
        given = asked.folder or photographs(Path(folder) / "given", FEW if asked.tiny else MANY, tiny=asked.tiny)
        count = laid_out(given, Path(folder) / "laid out", asked.images, asked.enlarge)
        rounds = []
        for _ in range(1 if asked.tiny else asked.rounds):
            rounds.append({side: in_process(side, Path(folder) / "laid out", asked.spdl) for side in sides})
            told = (f"{side} {found['first_epoch'][0]:.2f} s" for side, found in rounds[-1].items())
            print("; ".join(told), flush=True)
    found = summary(rounds)
    milliseconds = {
        side: [1000 * each[side]["first_epoch"][0] / each[side]["images"] for each in rounds] for side in sides
    }
    for side, row in found.items():
        clock, used = row["first_epoch_wall_ms"], row["first_epoch_cpu_ms"]
        ratios = f"{row['median_wall_ratio']:.2f}× zoo's ({row['median_cpu_ratio']:.2f}×)"
        print(f"{side}: first epoch {clock} ms an image ({used} of processors), {ratios}")
    versions = {} if asked.spdl is None else {"spdl": sorted(each.name for each in asked.spdl.glob("spdl*.dist-info"))}
    settings = {"side": SIDE, "batch": BATCH, "workers": WORKERS, "photographs": count, "enlarge": asked.enlarge}
    comparisons = {"first_epoch": compared(milliseconds, "ms", "zoo, none")}
    figures = {"comparisons": comparisons, **settings, **versions, "summary": found, "rounds": rounds}
    write_result(result_file(asked, "source_crops"), figures)


if __name__ == "__main__":
    main()
