"""docs/performance.md: speed of zoo against other implementations, from the files under `results`.

    python benchmarks/performance_page.py

A row has a target, and what was measured for it: a comparison (see `_record.compared`) in the file of its script. What
bounds a job is taken from its profile under `results/profiles`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
TEXT = """# Performance

The speed of zoo against a plain PyTorch loop and against other libraries, for each of zoo's performance targets.

{summary}

- **ratio**: how many times faster zoo is: the median of the ratios within a round, with the lowest and the highest.
  The sides of a comparison take turns on the same machine; a round is one turn of each.
- Rows that name an H100 need a GPU; [gpu.md](gpu.md) lists what ran on one.
- **commit**: that of the measured code. Results of before 2026-11-28 have the commit that added them.

`make bench` repeats the measurements on a CPU in about 25 minutes and writes this page; `make bench-gpu` repeats those
on a GPU. The scripts are in [benchmarks](../benchmarks), the figures in [benchmarks/results](../benchmarks/results).
Accuracies are in [results.md](results.md).

{sections}
"""
NONE = "–"
WORDS = {"plain": "DataLoader loop, best settings", "bare": "plain loop over tensors", "graph": "CUDA graph"}
WORDS |= {"compiled": "compiled, CUDA graph", "zoo_steps": "zoo, steps alone"}
WORDS |= {"zoo_graph": "zoo, train.cuda_graph", "zoo_graph_steps": "zoo, train.cuda_graph, steps alone"}


@dataclass(frozen=True)
class Target:
    """``least`` times as fast as ``side``; without a side, zoo's own figure is ``most`` or less, or ``least`` or
    more."""

    side: str | None = None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Row:
    """A job with its targets, and where its figures are: a comparison in results/FILE.json."""

    job: str
    file: str
    comparison: str
    targets: tuple[Target, ...]
    repeat: str
    profile: str | None = None
    note: str | None = None


CPU = "2 CPU cores"
PHOTOS = "python benchmarks/{}.py --weights squeezenet1_1.safetensors"
ROWS = (
    Row(
        f"MNIST, `fnn_mnist`, one epoch, {CPU}",
        "mnist_epoch",
        "fnn",
        (Target("plain", 12), Target("bare", 1)),
        "`python benchmarks/mnist_epoch.py`",
        "mnist_fnn",
    ),
    Row(
        f"MNIST, `cnn_mnist`, one epoch, {CPU}",
        "mnist_epoch",
        "cnn",
        (Target("plain", 3), Target("bare", 1)),
        "`python benchmarks/mnist_epoch.py`",
        "mnist_cnn",
    ),
    Row(
        f"CIFAR-10, `lenet_cifar10`, one epoch, {CPU}",
        "cifar10_epoch",
        "lenet",
        (Target("plain", 2.3),),
        "`python benchmarks/cifar10_epoch.py`",
        "cifar10_lenet",
    ),
    Row(
        f"Photographs: first epoch of random resized crops at 224 pixels, {CPU}",
        "source_crops",
        "first_epoch",
        (Target("DataLoader", 1.5), Target("SPDL", 1.1)),
        "`python benchmarks/source_crops.py --spdl FOLDER`",
        "source_crops",
        "Figures are milliseconds for one image; `zoo, none` is `dataset.cache=none`.",
    ),
    Row(
        f"Photographs: fine-tuning of ResNet-18 with augmentation at 224 pixels, {CPU}",
        "finetune_speed",
        "training",
        (Target("timm", 1.1), Target("fastai", 1.1), Target("plain loop", 1.1)),
        "`python benchmarks/finetune_speed.py --fastai`",
        "finetune_speed",
        note="zoo has channels-last weights, as in `imagefolder_finetune`; the others have the default of each.",
    ),
    Row(
        f"Photographs: `squeezenet_transfer` on 1,600 images, nothing cached, {CPU}",
        "small_run",
        "run_clock",
        (Target("fastai", 3),),
        f"`{PHOTOS.format('small_run')} --fastai`",
        note="Seconds of the whole process. fastai trains one epoch and reaches a lower accuracy ({accuracy}).",
    ),
    Row(
        f"Photographs: the head of `squeezenet_transfer` on cached features, {CPU}",
        "small_run",
        "head",
        (Target(least=2250),),
        f"`{PHOTOS.format('small_run')}`",
        "head",
        "The target is five times the 450 samples/s of an earlier version.",
    ),
    Row(
        f"Photographs: 600 images to a verified ONNX bundle, two commands, {CPU}",
        "photos_to_bundle",
        "clock",
        (Target(most=30),),
        f"`{PHOTOS.format('photos_to_bundle')}`",
        "photos_to_bundle",
    ),
    Row(
        "H100: MNIST, `cnn_mnist`, one epoch, bf16, batch size 1,024",
        "gpu_epochs",
        "cnn_mnist bf16 1024",
        (Target(most=0.060),),
        "`make bench-gpu`",
        note="Measured before training steps stopped waiting for the GPU.",
    ),
    Row(
        "H100: VGG on images of CIFAR-10's shape, one epoch, bf16, batch size 128",
        "gpu_epochs",
        "vgg_cifar10 bf16 128",
        (Target(most=0.2),),
        "`make bench-gpu`",
        note="Measured before training steps stopped waiting for the GPU.",
    ),
    Row("H100: CIFAR-10 to 94% accuracy", "cifar10_speedrun", "run", (Target(most=2.0),), "there is no recipe yet"),
    Row(
        "H100: ResNet-50 at 224 pixels, bf16, images on the device",
        "gpu_epochs",
        "resnet50 bf16 256",
        (Target("bare", 1),),
        "`make bench-gpu`",
    ),
)


def read(name: str) -> dict[str, Any] | None:
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def measured(row: Row) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The row's file and comparison, if it was measured."""
    found = read(row.file)
    comparison = (found or {}).get("comparisons", {}).get(row.comparison)
    return None if found is None or comparison is None else (found, comparison)


def page() -> str:
    sections = [*(section(row, measured(row)) for row in ROWS), recipe_section()]
    return TEXT.format(summary="\n".join(summary()), sections="\n\n".join(sections))


def summary() -> list[str]:
    lines = ["| job | compared with | target | measured | reached |", "| --- | --- | --- | --- | --- |"]
    for row in ROWS:
        found = measured(row)
        for place, target in enumerate(row.targets):
            job = row.job if place == 0 else ""
            told = cells(target, found[1] if found else None, absent(row))
            lines.append(f"| {job} | {' | '.join(told)} |")
    return [*lines, recipe_line()]


def absent(row: Row) -> str:
    return "awaits a GPU" if row.job.startswith("H100") else "not measured yet"


def cells(target: Target, comparison: dict[str, Any] | None, missing: str = "not measured yet") -> list[str]:
    """What is compared with, the target, the figure (or that it is ``missing``), and whether it is reached."""
    unit = "s" if comparison is None else comparison["unit"]
    if target.side is not None:
        asked = f"{target.least:g}×"
        ratio = None if comparison is None else comparison["ratios"].get(target.side)
        told = [missing, NONE] if ratio is None else [times(ratio), yes(ratio["median"] >= (target.least or 0))]
        return [words(target.side), asked, *told]
    asked = f"at most {figure(target.most, unit)}" if target.most else f"at least {target.least:,g} samples/s"
    if comparison is None:
        return ["", asked, missing, NONE]
    own = comparison["sides"][comparison["ours"]]
    reached = own["median"] <= target.most if target.most else own["median"] >= (target.least or 0)
    return ["", asked, spread(own, unit), yes(reached)]


def recipe_line() -> str:
    """`mnist_fast`, whose figures are those of its recorded runs."""
    record, job = read("recipes/mnist_fast"), f"MNIST to 99% accuracy, `mnist_fast`, {CPU}"
    asked = "at least 99% over 30 seeds, at most 6 s"
    if record is None:
        return f"| {job} | | {asked} | not measured yet | {NONE} |"
    accuracy, seconds = record["metrics"]["accuracy"], record["seconds"]["median"]
    told = f"{accuracy['mean']:.2%} ± {accuracy['sd']:.2%}, {seconds:.1f} s, {len(record['seeds'])} seeds"
    enough = len(record["seeds"]) >= 30 and accuracy["mean"] >= 0.99
    return f"| {job} | | {asked} | {told} | {yes(enough and seconds <= 6)} |"


def recipe_section() -> str:
    lines = [f"## MNIST to 99% accuracy, mnist_fast, {CPU}", ""]
    if record := read("recipes/mnist_fast"):
        lines.append(f"- {record['date'][:10]}: {record['device']}; commit {(record.get('commit') or NONE)[:10]}")
    else:
        lines.append("- not measured yet")
    return "\n".join([*lines, "- measure: `zoo run mnist_fast --seeds 30`", f"- bound by: {profiled('mnist_fast')}"])


def section(row: Row, result: tuple[dict[str, Any], dict[str, Any]] | None) -> str:
    title = f"## {row.job.replace('`', '')}"
    if result is None:
        bound = [f"- bound by: {profiled(row.profile)}"] if row.profile else []
        return "\n".join([title, "", f"- {absent(row)}", f"- measure: {row.repeat}", *bound])
    found, comparison = result
    unit, ours, ratios = comparison["unit"], comparison["ours"], comparison["ratios"]
    lines = [
        title,
        "",
        "| side | median (lowest to highest) | ratio |",
        "| --- | --- | --- |",
    ]
    for name, side in comparison["sides"].items():
        lines.append(f"| {words(name)} | {spread(side, unit)} | {NONE if name == ours else times(ratios[name])} |")
    rounds = comparison["rounds"]
    lines += ["", f"- {rounds} round{'s' if rounds > 1 else ''} on {where(found)}", f"- repeat: {row.repeat}"]
    lines += [f"- bound by: {each}" for each in bounds(row, found, comparison)]
    if row.note:
        accuracy = {name: f"{100 * max(each):.2f}%" for name, each in found.get("accuracy", {}).items()}
        told = f"{accuracy.get('fastai', NONE)}, zoo {accuracy.get('cold', NONE)}"
        lines.append(f"- {row.note.format(accuracy=told)}")
    return "\n".join(lines)


def bounds(row: Row, found: dict[str, Any], comparison: dict[str, Any]) -> list[str]:
    """What takes the time of a job, from its profile."""
    sides = comparison["sides"]
    if "graph" in sides:
        graph, ours = sides["graph"]["median"], sides["zoo"]["median"]
        share = f"{figure(graph, 's')}, {graph / ours:.0%} of zoo's time"
        return [f"kernel launches: the same steps as a CUDA graph, which are launched together, take {share}"]
    if row.comparison == "run_clock":
        return [f"{shares(phases(found['runs']['cold'][0]))} (of the time of a run, measured within it)"]
    return [profiled(row.profile)]


def profiled(name: str | None) -> str:
    profile = read(f"profiles/{name}")
    if profile is None:
        return "not profiled yet"
    told = shares(profile["parts"])
    operators = shares([each for each in profile.get("operators", []) if each["share"] >= 0.05], code=True)
    what = f"; by operator: {operators}" if operators else ""
    threads = "1 thread" if profile["threads"] == 1 else f"{profile['threads']} threads"
    how = f"{profile['tool']}, {threads}, {profile['date'][:10]}, commit {profile['commit'][:10]}"
    return f"{told}{what} ({how})"


def phases(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The phases of a run of `small_run.py` by share of its time; decoding is a part of another phase."""
    found = {name: each["clock"] for name, each in run["phases"].items() if name != "decode images"}
    parts = [{"name": name, "share": seconds / run["clock"]} for name, seconds in found.items()]
    return [*parts, {"name": "other", "share": 1 - sum(each["share"] for each in parts)}]


def shares(parts: list[dict[str, Any]], *, code: bool = False) -> str:
    most = sorted((each for each in parts if each["share"] >= 0.01), key=lambda each: -each["share"])
    mark = "`" if code else ""
    return ", ".join(f"{mark}{each['name']}{mark} {each['share']:.0%}" for each in most)


def where(found: dict[str, Any]) -> str:
    hardware, versions = found["hardware"], found["versions"]
    cores = f"{hardware['processor']}, {hardware['cores']} cores"
    device = f"{hardware['gpu']}, {cores}" if hardware["gpu"] else cores
    packages = ", ".join(f"{name} {versions[name]}" for name in ("torch", "torchvision", "timm"))
    return f"{found['date'][:10]}: {device}; Python {versions['python']}, {packages}; commit {found['commit'][:10]}"


def words(side: str) -> str:
    return WORDS.get(side, side)


def figure(value: float | None, unit: str) -> str:
    assert value is not None
    if unit == "s":
        return f"{1000 * value:,.0f} ms" if value < 0.5 else f"{value:,.2f} s" if value < 10 else f"{value:,.1f} s"
    return f"{value:,.2f} {unit}" if value < 100 else f"{value:,.0f} {unit}"


def spread(side: dict[str, Any], unit: str) -> str:
    if side["low"] == side["high"]:
        return figure(side["median"], unit)
    return f"{figure(side['median'], unit)} ({figure(side['low'], unit)} to {figure(side['high'], unit)})"


def times(ratio: dict[str, float]) -> str:
    if ratio["low"] == ratio["high"]:
        return f"{ratio['median']:.2f}×"
    return f"{ratio['median']:.2f}× ({ratio['low']:.2f} to {ratio['high']:.2f})"


def yes(reached: bool) -> str:
    return "yes" if reached else "no"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"written to {PAGE}")
