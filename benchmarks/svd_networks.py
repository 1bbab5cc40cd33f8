"""Networks at 50, 25, 12.5 and 6.25 % of their layers' bytes: ours against plain SVD, without any training after it.

    ZOO_DATA=… python benchmarks/svd_networks.py RUN [RUN …] [--draws 5] [--calibration 256]
        [--out benchmarks/results/svd_networks.json]

RUN is a finished run. Plain SVD takes the same share of every layer and truncates its weights (a convolution as k×k and
1×1). Ours, `draws` times with other calibration images of the train split: by responses, every form of a convolution,
forms and ranks shared out by the harm that is measured, smaller layers fitted to those before them. Both are evaluated
on the test split.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from pathlib import Path
from typing import Any

import torch
from _record import write_result
from torch import nn
from zoo_svd.allocation import spent
from zoo_svd.compress_network import calibration
from zoo_svd.compression import Compressor

from zoo.data.data_loader import open_data
from zoo.data.loaded_part import LoadedPart
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.runs.load_model import load_run
from zoo.runs.run_directory import find

BUDGETS = (0.5, 0.25, 0.125, 0.0625)


def accuracy(model: nn.Module, part: LoadedPart) -> float:
    """In points."""
    right = 0
    with torch.no_grad():
        for batch in part.batches(100):
            right += int((model.eval()(batch.inputs).argmax(1) == batch.targets).sum())
    return 100 * right / len(part)


def measured(compressor: Compressor, part: LoadedPart, *, even: bool) -> dict[str, dict[str, float]]:
    """Accuracy and the share of the bytes that was really taken, by budget."""
    menus, found = compressor.menus(measured=not even, even=even), {}
    for budget in BUDGETS:
        try:
            choices = compressor.choices(budget, menus, even=even)
        except UsageError:
            continue  # not even by rank 1
        found[str(budget)] = {
            "accuracy": accuracy(compressor.compressed(choices), part),
            "share": spent(menus, choices),
        }
    return found


def of_run(name: str, draws: int, count: int) -> dict[str, Any]:
    loaded = load_run(find(name))
    data = open_data(
        registry(),
        loaded.config.dataset,
        torch.device("cpu"),
        preprocessing=loaded.preprocessing,
        seed=loaded.config.seed,
    )
    train, report = data.part("train"), data.part("test")
    base = accuracy(loaded.model, report)
    plain = measured(
        Compressor(copy.deepcopy(loaded.model), calibration(train, 2, 0)[0], "plain", forms=["channels"]),
        report,
        even=True,
    )
    ours = []
    for draw in range(draws):
        compressor = Compressor(copy.deepcopy(loaded.model), calibration(train, count, draw)[0])
        ours.append(measured(compressor, report, even=False))
        print(
            name, f"draw {draw}", {budget: round(each["accuracy"], 2) for budget, each in ours[-1].items()}, flush=True
        )
    rows = {}
    for budget in map(str, BUDGETS):
        values = [each[budget]["accuracy"] for each in ours if budget in each]
        if not values:
            continue
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        rows[budget] = {
            "plain": plain[budget],
            "ours": {
                "mean": statistics.mean(values),
                "sd": spread,
                "share": ours[0][budget]["share"],
                "values": values,
            },
        }
        told = (
            f"plain {plain[budget]['accuracy']:.2f} ({plain[budget]['share']:.3f}), ours {statistics.mean(values):.2f} "
            f"± {spread:.2f}"
        )
        print(f"{name} at {budget}: {told}; the original {base:.2f}")
    return {"recipe": loaded.config.recipe, "original": base, "calibration": count, "draws": draws, "budgets": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "svd_networks.json")
    asked = parser.parse_args()
    write_result(asked.out, {"networks": {name: of_run(name, asked.draws, asked.calibration) for name in asked.runs}})


if __name__ == "__main__":
    main()
