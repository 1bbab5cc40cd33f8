"""The retrieval recipes over seeds, beside the pixels of the same images: each test image is a query among all others.

Recall at k is also computed by scikit-learn's NearestNeighbors with the cosine distance, and mean average precision by
torchmetrics' RetrievalMAP; on the learned vectors, both must give what zoo gives. The mean average precision is
compared on the first test images, because RetrievalMAP keeps every pair of them. Of the pixels, recall is
scikit-learn's, and the mean average precision of all images is that of zoo's evaluator.

python benchmarks/retrieval_accuracy.py [--seeds 3] [--recipes NAME …] [--out FILE]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _record import write_result
from scipy import stats
from sklearn.neighbors import NearestNeighbors
from torchmetrics.retrieval import RetrievalMAP
from zoo_tasks.retrieval_metrics import RANKS, RetrievalEvaluator

import zoo
from zoo.api import Batch
from zoo.data.data_folder import Store
from zoo.data.open_dataset import open_dataset
from zoo.registry.lookup import registry
from zoo.reporting.console import Console

RECIPES = ("digits_retrieval", "mnist_retrieval")
COMPARED = 1000
"""Test images on which the mean average precision is compared."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "retrieval_accuracy.json")
    asked = parser.parse_args()
    found: dict[str, Any] = {"seeds": asked.seeds, "threads": torch.get_num_threads(), "compared": COMPARED}
    for name in asked.recipes:
        images, labels = test_images(registry().recipe(name).spec.dataset)
        pixels = images.reshape(len(images), -1)
        runs = [measured(name, seed, images, labels) for seed in range(asked.seeds)]
        found[name] = {
            "recipe": {each: summary([metrics[each] for metrics, _ in runs]) for each in runs[0][0]},
            "largest_difference_to_other_libraries": max(difference for _, difference in runs),
            "pixels": {**by_scikit_learn(pixels, labels), **metrics_of(pixels, labels, only_map=True)},
        }
        print(name, found[name], flush=True)
        write_result(asked.out, found)


def test_images(dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, C, H, W) and int64 (N,)."""
    opened = open_dataset(registry().dataset(dataset), {}, Store())
    loaded = opened.load(opened.parts["test"])
    return np.asarray(loaded.images), np.asarray(loaded.targets)


def measured(name: str, seed: int, images: np.ndarray, labels: np.ndarray) -> tuple[dict[str, float], float]:
    """The metrics and the seconds of a run, and the largest difference to those of other libraries on its vectors."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"seed": seed, "device": "cpu", "task": {"gallery": False}}
        result = zoo.run(name, overrides=overrides, out=Path(folder) / "run", console=Console(quiet=True))
        assert result.path is not None
        vectors = np.stack([vector for _, vector in zoo.load(result.path).predict(images).rows])
    theirs = by_scikit_learn(vectors, labels)
    few, of_few = vectors[:COMPARED], labels[:COMPARED]
    pairs = [*((theirs[each], result.metrics[each]) for each in theirs)]
    pairs.append((by_torchmetrics(few, of_few), metrics_of(few, of_few)["mean_average_precision"]))
    print(name, seed, pairs, flush=True)
    metrics = {**result.metrics, "seconds": result.record.seconds or 0.0}
    return metrics, max(abs(one - other) for one, other in pairs)


def metrics_of(vectors: np.ndarray, labels: np.ndarray, *, only_map: bool = False) -> dict[str, float]:
    """By zoo's evaluator."""
    evaluator, targets = RetrievalEvaluator(), torch.from_numpy(labels)
    evaluator.update({"output": torch.from_numpy(vectors.astype(np.float32))}, Batch(targets, targets, targets))
    found = dict(evaluator.compute().metrics)
    return {"mean_average_precision": found["mean_average_precision"]} if only_map else found


def by_scikit_learn(vectors: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Recall at each rank; without queries that are alone in their class."""
    search = NearestNeighbors(n_neighbors=max(RANKS), metric="cosine", algorithm="brute").fit(vectors.astype(float))
    match = labels[search.kneighbors(return_distance=False)] == labels[:, None]  # without the query itself
    match = match[np.bincount(labels)[labels] > 1]
    return {f"recall_at_{rank}": float(match[:, :rank].any(1).mean()) for rank in RANKS}


def by_torchmetrics(vectors: np.ndarray, labels: np.ndarray) -> float:
    """Mean average precision."""
    unit = torch.from_numpy(vectors).double()
    unit /= unit.norm(dim=1, keepdim=True)
    targets, others = torch.from_numpy(labels), ~torch.eye(len(labels), dtype=torch.bool)
    queries = torch.arange(len(labels))[:, None].expand(-1, len(labels))
    metric = RetrievalMAP(empty_target_action="skip")
    scores = (unit @ unit.T).argsort(1).argsort(1) + 1.0  # torchmetrics counts positive scores only, in float32
    metric.update(scores[others], (targets[:, None] == targets[None])[others], indexes=queries[others])
    return float(metric.compute())


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation, and the 95 % interval of the mean by Student's t."""
    mean, sd = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5 if len(values) > 1 else None
    interval = None if half is None else [mean - half, mean + half]
    return {"mean": mean, "sd": sd, "interval": interval, "values": values}


if __name__ == "__main__":
    main()
