"""`zoo run folder:PATH` on photographs in folders of classes, against a probe by hand with scikit-learn on the same
features and the same split. It runs twice: the second time, the features are in the cache.

    python benchmarks/own_photos.py PATH

PATH has a folder for each class. Without the weights of a recipe in the data folder, they are downloaded.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from _record import write_result
from sklearn.linear_model import LogisticRegressionCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zoo
from zoo import runtime
from zoo.workflows.embedder import open_embedder

RESULT = Path(__file__).parent / "results" / "own_photos.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    times = []
    for _ in range(2):
        start, busy = time.perf_counter(), time.process_time()
        result = zoo.run(f"folder:{asked.folder}")
        times.append({"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - busy})
    record, folder = result.record, result.path
    assert folder is not None and record.architecture is not None
    with (folder / "probe.csv").open(newline="") as stream:
        ours = list(csv.DictReader(stream))
    with (folder / "predictions.csv").open(newline="") as stream:
        test = {row["sample"] for row in csv.DictReader(stream)}
    files = runtime.find_images([asked.folder.absolute()]).files
    names = [file.relative_to(asked.folder.absolute()).as_posix() for file in files]
    embedder = open_embedder(record.architecture, weights="imagenet1k_v1")
    begun = time.perf_counter()
    groups = runtime.split_files(files, embedder.description)
    features = [embedder.run(runtime.prepare_chunk(group, embedder.spec).inputs) for group in groups]
    x, y = np.concatenate(features), np.array([Path(name).parts[0] for name in names])
    computed = time.perf_counter() - begun
    held = np.array([name in test for name in names])
    probe = make_pipeline(
        StandardScaler(), LogisticRegressionCV(Cs=[1e-4, 1e-3, 1e-2, 0.1, 1.0], cv=5, max_iter=2000)
    ).fit(x[~held], y[~held])
    neighbours = KNeighborsClassifier(record.adaptations[0]["neighbours"], metric="cosine").fit(x[~held], y[~held])
    write_result(
        RESULT,
        {
            "images": {"train": int((~held).sum()), "test": int(held.sum())},
            "architecture": record.architecture,
            "zoo": {"times": times, "notes": list(record.notes), "rows": ours, "probe": record.adaptations[0]},
            "by_hand": {
                "seconds_features": computed,
                "linear_probe": float(probe.score(x[held], y[held])),
                "nearest_neighbours": float(neighbours.score(x[held], y[held])),
            },
        },
    )


if __name__ == "__main__":
    main()
