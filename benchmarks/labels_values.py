"""The multi-label and regression recipes over seeds, beside scikit-learn's extremely randomised trees on the pixels.

The trees are fitted to the pixels of train; the thresholds of their labels are tuned on val, as those of the recipes.
The metrics of the trees are scikit-learn's and scipy's own. Intervals are 95 % intervals of the mean over seeds
(Student's t).

python benchmarks/labels_values.py [--seeds 3] [--recipes NAME …] [--out benchmarks/results/labels_values.json]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _record import write_result
from scipy import stats
from sklearn import metrics
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

import zoo
from zoo.data.data_folder import Store
from zoo.data.open_dataset import open_dataset
from zoo.registry.lookup import registry
from zoo.reporting.console import Console

RECIPES = ("lenet_digit_sets", "cnn_digits_rotated", "lenet_mnist_sets", "cnn_mnist_rotated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "labels_values.json")
    asked = parser.parse_args()
    found: dict[str, Any] = {"seeds": asked.seeds, "threads": torch.get_num_threads()}
    for name in asked.recipes:
        runs = [trained(name, seed) for seed in range(asked.seeds)]
        data = splits(registry().recipe(name).spec.dataset)
        trees = [baseline(data, seed) for seed in range(asked.seeds)]
        found[name] = {"recipe": summary(runs), "extra_trees": summary(trees)}
        print(name, found[name], flush=True)
    write_result(asked.out, found)


def trained(name: str, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"seed": seed, "device": "cpu"}
        result = zoo.run(name, overrides=overrides, out=Path(folder) / "run", console=Console(quiet=True))
    return {**result.metrics, "seconds": result.record.seconds or 0.0}


def splits(dataset: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pixels, float32 (N, H·W), and targets of each split."""
    opened = open_dataset(registry().dataset(dataset), {}, Store())
    loaded = {part: opened.load(name) for part, name in opened.parts.items()}
    return {
        part: (np.asarray(split.images).reshape(len(split.images), -1).astype(np.float32), np.asarray(split.targets))
        for part, split in loaded.items()
    }


def baseline(data: dict[str, tuple[np.ndarray, np.ndarray]], seed: int) -> dict[str, float]:
    started = time.perf_counter()
    pixels, targets = data["train"]
    many = targets.shape[1] > 1
    model = (ExtraTreesClassifier if many else ExtraTreesRegressor)(200, random_state=seed, n_jobs=-1)
    model.fit(pixels, targets if many else targets[:, 0])
    figures = (of_labels if many else of_values)(model, data)
    return {**figures, "seconds": time.perf_counter() - started}


def of_labels(model: Any, data: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    scores = {
        part: np.stack([each[:, 1] for each in model.predict_proba(data[part][0])], 1) for part in ("val", "test")
    }
    truth = data["test"][1]
    thresholds = [tuned(*columns) for columns in zip(data["val"][1].T, scores["val"].T, strict=True)]
    predicted = scores["test"] >= thresholds
    return {
        "map": float(metrics.average_precision_score(truth, scores["test"], average="macro")),
        "micro_f1": float(metrics.f1_score(truth, predicted, average="micro")),
        "macro_f1": float(metrics.f1_score(truth, predicted, average="macro")),
    }


def tuned(truth: np.ndarray, scores: np.ndarray) -> float:
    return max(np.unique(scores), key=lambda threshold: metrics.f1_score(truth, scores >= threshold))


def of_values(model: Any, data: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    pixels, truth = data["test"][0], data["test"][1][:, 0]
    found = model.predict(pixels)
    return {
        "mae": float(metrics.mean_absolute_error(truth, found)),
        "rmse": float(metrics.root_mean_squared_error(truth, found)),
        "r2": float(metrics.r2_score(truth, found)),
        "spearman": float(stats.spearmanr(truth, found).statistic),
    }


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        mean, sd = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5 if len(values) > 1 else None
        found[name] = {"mean": mean, "sd": sd, "interval": None if half is None else [mean - half, mean + half]}
    return found


if __name__ == "__main__":
    main()
