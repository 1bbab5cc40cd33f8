"""Where the time of a small run goes: a new last layer on SqueezeNet 1.1 for 1,600 photographs of cats and dogs.

    ZOO_DATA=… python benchmarks/small_run.py --weights squeezenet1_1.safetensors [--rounds 3] [--fastai]

Each turn starts `zoo run squeezenet_transfer` twice in a new process, with an empty cache and with that of the first,
and, with --fastai, one epoch of fastai's learner in another: frozen body, its own head, transforms and schedule, the
same weights and the same images. A process is measured from its start to its end, by the clock and by the processor
time of it and its threads. `phases` are measured inside the run, by both. fastai is installed into a temporary folder,
without its dependencies, so that it uses this environment's torch; nothing of it stays.

With --tiny, one round with random images and weights, which needs neither ZOO_DATA nor --weights.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from _photos import photographs, random_weights
from _process import FASTAI, install, timed
from _record import compared, parser_of, result_file, write_result

FEW = {"train": 32, "val": 8}
"""Images with --tiny."""

ZOO = """
import json, sys, time
from contextlib import contextmanager
begun = {"clock": time.perf_counter(), "processor": time.process_time()}
phases = {}
def measured(module, name, phase):
    plain = getattr(module, name)
    def timed(*given, **named):
        at = time.perf_counter(), time.process_time()
        try:
            return plain(*given, **named)
        finally:
            spent = phases.setdefault(phase, {"clock": 0.0, "processor": 0.0})
            spent["clock"] += time.perf_counter() - at[0]
            spent["processor"] += time.process_time() - at[1]
    setattr(module, name, timed)
file, seed, out, weights, tiny = sys.argv[1:]
at = time.perf_counter(), time.process_time()
from zoo.workflows import run as workflow
from zoo.registry.lookup import registry
measured(workflow, "resolve", "resolve names and weights")
import torch
from zoo.workflows import run_stages
from zoo.training import preparation, trainer
phases["import"] = {"clock": time.perf_counter() - at[0], "processor": time.process_time() - at[1]}
measured(preparation, "_open_data", "decode images")
measured(run_stages, "prepare", "prepare (with the decoding)")
measured(run_stages, "keep_features", "features of frozen layers")
measured(run_stages, "fit", "train the head")
measured(run_stages, "_fit_decision", "evaluate")
measured(run_stages, "_evaluate", "evaluate")
measured(run_stages, "_report", "report of the task")
measured(run_stages.run_results, "write_curves", "curves and samples")
measured(run_stages.run_results, "write_images", "curves and samples")
measured(run_stages, "write_page", "report.html")
overrides = {"weights": weights, "seed": int(seed), "device": "cpu"}
if tiny == "1":
    overrides["train"] = {"epochs": 1}
result = workflow.run("squeezenet_transfer", overrides=overrides, out=out, quiet=True)
import csv
rows = list(csv.DictReader(open(f"{out}/metrics.csv")))
json.dump({
    "accuracy": result.metrics["accuracy"], "phases": phases, "samples": result.record.samples,
    "head_samples_per_second": [float(row["samples_per_second"]) for row in rows],
}, open(file, "w"))
"""

THEIRS = """
import json, sys
file, listing, weights, seed = sys.argv[1:]
from fastai.vision.all import *
from torchvision.models import squeezenet1_1
from safetensors.torch import load_file
known = json.load(open(listing))
set_seed(int(seed))
block = DataBlock(
    blocks=(ImageBlock, CategoryBlock), get_items=lambda _: known, get_x=lambda row: row["file"],
    get_y=lambda row: row["label"], splitter=FuncSplitter(lambda row: row["held"]), item_tfms=Resize(224),
    batch_tfms=Normalize.from_stats(*imagenet_stats),
)
dls = block.dataloaders(None, bs=64, num_workers=2, device=torch.device("cpu"))
learn = vision_learner(dls, squeezenet1_1, metrics=accuracy, pretrained=False, normalize=False)
whole = squeezenet1_1()
whole.load_state_dict(load_file(weights))
learn.model[0][0].load_state_dict(whole.features.state_dict())
learn.freeze()
learn.fit_one_cycle(1, 2e-3)
json.dump({"accuracy": float(learn.recorder.values[-1][-1])}, open(file, "w"))
"""


def listing(folder: Path) -> Path:
    """Write the files of the run's splits, with labels and whether they are evaluated."""
    from zoo.data.data_folder import Store
    from zoo.data.open_dataset import open_dataset
    from zoo.data.splits import load_parts
    from zoo.data.targets import describe_target, target_of
    from zoo.registry.lookup import registry
    from zoo.runs.resolve_config import resolve

    plan = resolve(registry(), "squeezenet_transfer", overrides={"weights": "none"})
    section = plan.config.dataset
    dataset = open_dataset(plan.dataset, section.options, Store(download=False))
    target = target_of(plan.dataset, dataset)
    rows = [
        {"file": str(image), "label": describe_target(target, label), "held": part == "test"}
        for part, split in load_parts(plan.dataset, dataset, target, section, ("train", "test"), 0).items()
        for image, label in zip(split.images, split.targets, strict=True)
    ]
    (folder / "listing.json").write_text(json.dumps(rows))
    return folder / "listing.json"


def measured(script: str, arguments: list[str], file: Path, **variables: str) -> dict[str, Any]:
    """Run a script in a process of its own, and return what it writes, with the seconds of the whole process."""
    file.unlink(missing_ok=True)
    seconds = timed([sys.executable, "-P", "-c", script, str(file), *arguments], file.parent, variables)
    return {**seconds, **json.loads(file.read_text())}


def random_inputs(folder: Path) -> Path:
    """Lay out random images as the data of `datasets/catdog`, and write random weights; return the weights' file."""
    for part, count in FEW.items():
        photographs(folder / "data" / "cat_dog" / part, count, tiny=True)
    photographs(folder / "test", 4, tiny=True)
    (folder / "data" / "cat_dog" / "test").mkdir()
    for index, file in enumerate(sorted((folder / "test").rglob("*.jpg"))):
        file.rename(folder / "data" / "cat_dog" / "test" / f"{index}.jpg")
    return random_weights(folder)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of torchvision's squeezenet1_1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fastai", action="store_true", help="install fastai from the package index, and compare")
    asked = parser.parse_args()
    if asked.weights is None and not asked.tiny:
        parser.error("--weights FILE is needed")
    found: dict[str, list[dict[str, Any]]] = {"cold": [], "warm": [], "fastai": []}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        weights = str(random_inputs(place) if asked.tiny else asked.weights.absolute())
        data = {"ZOO_DATA": str(place / "data")} if asked.tiny else {}
        if asked.fastai:
            install(FASTAI, place / "packages")
            files = listing(place)
        for seed in range(1 if asked.tiny else asked.rounds):
            if asked.fastai:
                found["fastai"].append(
                    measured(
                        THEIRS,
                        [str(files), weights, str(seed)],
                        place / "result.json",
                        PYTHONPATH=f"{place / 'packages'}",
                    )
                )
            for kind in ("cold", "warm"):
                arguments = [str(seed), str(place / f"run-{seed}-{kind}"), weights, str(int(asked.tiny))]
                cache = str(place / f"cache-{seed}")
                found[kind].append(measured(ZOO, arguments, place / "result.json", ZOO_CACHE=cache, **data))
            print({kind: round(each[-1]["clock"], 1) for kind, each in found.items() if each}, flush=True)
    write_result(result_file(asked, "small_run"), summary(found))


def summary(found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    names = {"cold": "zoo", "warm": "zoo, features cached", "fastai": "fastai"}
    kinds = {kind: each for kind, each in found.items() if each}
    head = [statistics.median(one["head_samples_per_second"]) for one in kinds["warm"]]
    comparisons = {
        f"run_{by}": compared({names[kind]: [one[by] for one in each] for kind, each in kinds.items()})
        for by in ("clock", "processor")
    }
    return {
        "comparisons": {**comparisons, "head": compared({"zoo": head}, "samples/s")},
        "accuracy": {kind: [one["accuracy"] for one in each] for kind, each in kinds.items()},
        "runs": kinds,
    }


if __name__ == "__main__":
    main()
