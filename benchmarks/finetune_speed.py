"""Images a second of fine-tuning ResNet-18 with augmentation at 224 pixels on the CPU: zoo against timm's loader and
optimizer in the loop of its train script, fastai, and a plain loop with torchvision.

    ZOO_DATA=… python benchmarks/finetune_speed.py [--folder FOLDER] [--fastai] [--images 160] [--rounds 3]

All weights are trained, from random ones: it is speed that is measured. Batches of 32, random resized crops and
flips, AdamW, fp32, two workers (processes of a DataLoader, threads of zoo). Every time is of a process of its own that
trains two epochs; the second counts. The sides take turns. zoo has channels-last weights, as in its recipe
`imagefolder_finetune`; timm is measured as by default and with channels-last weights. zoo decodes the images anew in
each epoch, as the others do (`dataset.cache=none`), and once with `source`; both cut the crops from the photographs at
their own size.

FOLDER has a folder for each class; by default, photographs of cats and dogs in ZOO_DATA are used. fastai is installed
into a temporary folder. With --tiny, 40 random images.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from _photos import photographs
from _process import FASTAI, install, timed
from _record import compared, parser_of, result_file, write_result

SIDE, BATCH, WORKERS, RATE = 224, 32, 2, 1e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MANY, FEW = 160, 40


def zoo_rate(folder: Path, cache: str) -> float:
    from zoo.registry.lookup import registry
    from zoo.reporting.console import Console
    from zoo.runs.resolve_config import resolve
    from zoo.runs.run_directory import create
    from zoo.training.preparation import prepare
    from zoo.training.train_state import TrainState
    from zoo.training.trainer import fit

    dataset = {"name": "folder", "path": str(folder), "test_fraction": 0.0001, "resize": SIDE, "cache": cache}
    train = {"epochs": 2, "batch_size": BATCH, "optimizer": "adamw", "lr": RATE, "augment": ["resized_crop", "flip"]}
    train |= {"channels_last": True}
    overrides = {"dataset": dataset, "train": train, "device": "cpu"}
    with tempfile.TemporaryDirectory() as place:
        ready = prepare(resolve(registry(), "torchvision/resnet18", overrides=overrides))
        run = create(ready.config, Path(place) / "run")
        fit(TrainState(ready.config, ready.learning, ready.model, ready.data, ready.engine, run, Console(quiet=True)))
        header, *_, last = run.metrics_file.read_text().splitlines()
        return float(dict(zip(header.split(","), last.split(","), strict=True))["samples_per_second"])


def second_epoch(batches: Iterable[Any], step: Callable[[Any, Any], None]) -> float:
    """Images a second of the second of two epochs."""
    for _ in range(2):
        images, started = 0, time.perf_counter()
        for inputs, labels in batches:
            step(inputs, labels)
            images += len(inputs)
    return images / (time.perf_counter() - started)


def timm_rate(folder: Path, *, channels_last: bool = False) -> float:
    """What timm's train.py does in an epoch on a CPU, without its logs."""
    import timm
    import torch
    from timm.data import create_dataset, create_loader
    from timm.optim import create_optimizer_v2
    from torch import nn

    images = create_dataset("", root=str(folder), split="", is_training=True)
    loader = create_loader(
        images,
        input_size=(3, SIDE, SIDE),
        batch_size=BATCH,
        is_training=True,
        color_jitter=0.0,
        mean=MEAN,
        std=STD,
        num_workers=WORKERS,
        use_prefetcher=False,
    )
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = timm.create_model("resnet18", num_classes=2).train().to(memory_format=layout)
    optimizer, loss = create_optimizer_v2(model, opt="adamw", lr=RATE), nn.CrossEntropyLoss()

    def step(inputs: Any, labels: Any) -> None:
        loss(model(inputs.contiguous(memory_format=layout)), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return second_epoch(loader, step)


def plain_rate(folder: Path) -> float:
    import torch
    from torch import nn
    from torchvision import transforms
    from torchvision.datasets import ImageFolder
    from torchvision.models import resnet18

    crop, flip = transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip()
    steps = transforms.Compose([crop, flip, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    loader: Any = torch.utils.data.DataLoader(
        ImageFolder(folder, steps), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True
    )
    model = resnet18(num_classes=2).train()
    optimizer, loss = torch.optim.AdamW(model.parameters(), lr=RATE), nn.CrossEntropyLoss()

    def step(inputs: Any, labels: Any) -> None:
        optimizer.zero_grad()
        loss(model(inputs), labels).backward()
        optimizer.step()

    return second_epoch(loader, step)


def fastai_rate(folder: Path) -> float:
    from fastai.callback.core import Callback
    from fastai.data.transforms import get_image_files
    from fastai.vision.all import ImageDataLoaders, Learner, Normalize, RandomResizedCrop, aug_transforms
    from torch import nn
    from torchvision.models import resnet18

    class Clock(Callback):  # type: ignore[misc]
        """Keeps the seconds of each epoch's training."""

        def before_fit(self) -> None:
            self.seconds: list[float] = []

        def before_train(self) -> None:
            self.started = time.perf_counter()

        def after_train(self) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    flips = [*aug_transforms(max_rotate=0, max_zoom=1.0, max_lighting=0, max_warp=0), Normalize.from_stats(MEAN, STD)]
    loaders = ImageDataLoaders.from_path_func(
        folder,
        get_image_files(folder),
        lambda file: file.parent.name,
        valid_pct=0.1,
        bs=BATCH,
        num_workers=WORKERS,
        item_tfms=RandomResizedCrop(SIDE, min_scale=0.08),
        batch_tfms=flips,
        device="cpu",
    )
    learner = Learner(loaders, resnet18(num_classes=2), loss_func=nn.CrossEntropyLoss(), cbs=[clock := Clock()])
    with learner.no_bar(), learner.no_logging():
        learner.fit(2, RATE)
    return len(loaders.train) * BATCH / clock.seconds[-1]  # full batches alone


SIDES: dict[str, Callable[[Path], float]] = {
    "zoo": lambda folder: zoo_rate(folder, "none"),
    "zoo, cache=source": lambda folder: zoo_rate(folder, "source"),
    "timm": timm_rate,
    "timm, channels last": lambda folder: timm_rate(folder, channels_last=True),
    "plain loop": plain_rate,
    "fastai": fastai_rate,
}


def in_process(side: str, folder: Path, place: Path, packages: Path | None) -> float:
    """Images a second, measured in a process of its own."""
    variables = {"ZOO_CACHE": str(place / "cache")}
    if side == "fastai":
        variables["PYTHONPATH"] = f"{packages}"
    file = place / "rate.json"
    script = str(Path(__file__).resolve())
    timed([sys.executable, script, "--folder", str(folder), "--side", side, "--out", str(file)], place, variables)
    return float(json.loads(file.read_text()))


def arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--images", type=int, default=MANY)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fastai", action="store_true", help="install fastai from the package index, and compare")
    parser.add_argument("--side", choices=SIDES, help="measure this one, in this process, and write it to --out")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.side is not None:
        asked.out.write_text(json.dumps(SIDES[asked.side](asked.folder)))
        return
    sides = [side for side in SIDES if side != "fastai" or asked.fastai]
    found: dict[str, list[float]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        packages = install(FASTAI, place / "packages") if asked.fastai else None
        images = FEW if asked.tiny else asked.images
        folder = asked.folder or photographs(place / "photos", images, tiny=asked.tiny)
        count = sum(1 for file in folder.rglob("*") if file.is_file())
        for _ in range(1 if asked.tiny else asked.rounds):
            for side in sides:
                found[side].append(in_process(side, folder.resolve(), place, packages))
            print({side: round(each[-1], 2) for side, each in found.items()}, flush=True)
    settings = {"images": count, "side": SIDE, "batch_size": BATCH, "workers": WORKERS, "cpus": os.cpu_count()}
    comparisons = {"training": compared(found, "images/s")}
    write_result(result_file(asked, "finetune_speed"), {"comparisons": comparisons, **settings})


if __name__ == "__main__":
    main()
