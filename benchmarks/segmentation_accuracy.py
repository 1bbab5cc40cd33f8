"""`unet_digits_on_photos` over seeds, beside a classifier of single pixels: scikit-learn's gradient boosting on the
colours of the 9×9 pixels around each. Mean IoU of both by scikit-learn's jaccard_score; that of the recipe must be
zoo's own.

python benchmarks/segmentation_accuracy.py [--seeds 3] [--out benchmarks/results/segmentation_accuracy.json]
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
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import jaccard_score
from zoo_datasets.digits import Digits
from zoo_datasets.on_photos import OnPhotos

import zoo
from zoo.reporting.console import Console
from zoo.runs.load_model import load_run
from zoo.runs.run_directory import RunDir

RECIPE = "unet_digits_on_photos"
AROUND = 4
PIXELS = 20_000
"""Pixels of each class, the background included, that the baseline is fitted on (all of them where there are fewer)."""


def arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, 3, 32, 32) and uint8 (N, 32, 32), as the dataset has them by default."""
    loaded = OnPhotos(Digits(), 32, 4, enlarge=True).load(split)
    return np.asarray(loaded.images), np.asarray(loaded.targets)


def neighbourhoods(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3·9·9)."""
    padded = np.pad(images, ((0, 0), (0, 0), (AROUND, AROUND), (AROUND, AROUND)), mode="reflect")
    side = 2 * AROUND + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (2, 3))  # (N, 3, H, W, 9, 9)
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(*images.shape[:1], *images.shape[2:], -1)


def baseline(seed: int) -> tuple[float, float]:
    """Mean IoU on the test split, and seconds."""
    start, random = time.perf_counter(), np.random.RandomState(seed)
    images, masks = arrays("train")
    features, labels = neighbourhoods(images), masks.ravel()
    rows = [random.permutation(np.flatnonzero(labels == each))[:PIXELS] for each in range(labels.max() + 1)]
    chosen = np.concatenate(rows)
    # the shares of the classes among all pixels, so that the background is as likely as it is
    shares = [np.full(len(each), (labels == place).sum() / len(each)) for place, each in enumerate(rows)]
    model = HistGradientBoostingClassifier(max_iter=80, random_state=seed)
    model.fit(features.reshape(len(labels), -1)[chosen], labels[chosen], np.concatenate(shares))
    images, masks = arrays("test")
    found = model.predict(neighbourhoods(images).reshape(masks.size, -1))
    return jaccard_score(masks.ravel(), found, average="macro"), time.perf_counter() - start


def recipe(seed: int) -> tuple[dict[str, float], float, float]:
    """Metrics of the run, its mean IoU by scikit-learn, and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {"seed": seed, "device": "cpu"}
        result = zoo.run(RECIPE, overrides=overrides, out=Path(folder) / "run", console=Console(quiet=True))
        assert result.path is not None
        loaded = load_run(RunDir(result.path))
    images, masks = arrays("test")
    mean, std = (
        np.array(values, np.float32)[:, None, None] for values in (loaded.preprocessing.mean, loaded.preprocessing.std)
    )
    with torch.inference_mode():
        found = loaded.model(torch.from_numpy((images / np.float32(255) - mean) / std)).argmax(1).numpy()
    return (
        dict(result.metrics),
        jaccard_score(masks.ravel(), found.ravel(), average="macro"),
        result.record.seconds or 0.0,
    )


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation, and the 95 % interval of the mean by Student's t."""
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * sd / len(values) ** 0.5
    return {"mean": mean, "sd": sd, "interval": [mean - half, mean + half], "values": values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "segmentation_accuracy.json")
    asked = parser.parse_args()
    runs = [recipe(seed) for seed in range(asked.seeds)]
    others = [baseline(seed) for seed in range(asked.seeds)]
    figures = {
        "seeds": asked.seeds,
        RECIPE: {name: summary([metrics[name] for metrics, _, _ in runs]) for name in runs[0][0]},
        "median_seconds": statistics.median(seconds for _, _, seconds in runs),
        "largest_difference_to_scikit_learn": max(abs(metrics["mean_iou"] - theirs) for metrics, theirs, _ in runs),
        "pixels_9x9_gradient_boosting": {"mean_iou": summary([score for score, _ in others])},
        "baseline_median_seconds": statistics.median(seconds for _, seconds in others),
    }
    write_result(asked.out, figures)
    print(figures)


if __name__ == "__main__":
    main()
