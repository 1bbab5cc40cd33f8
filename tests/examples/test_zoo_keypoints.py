"""A task of its own kind: built as a wheel, held to the contract, trained, exported and predicted with."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "zoo-keypoints"


def run(command: list[str], environment: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("keypoints")
    plain = dict(os.environ)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist", str(EXAMPLE)]
    run(build, plain, folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "site", str(wheel)]
    run(install, plain, folder)
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ZOO_")}
    return folder, kept | {"PYTHONPATH": path, "ZOO_OFFLINE": "1"}


def test_it_trains_and_its_export_predicts_in_pixels(environment: tuple[Path, dict[str, str]]) -> None:
    folder, variables = environment
    zoo = [sys.executable, "-P", "-m", "zoo"]
    run([*zoo, "run", "pointers_cnn", "--device", "cpu", "--name", "first"], variables, folder)
    where = folder / "runs" / "pointers_cnn" / "first"
    results = json.loads((where / "run.json").read_text())["results"]["test"]
    # Independent of the evaluator: the targets as the dataset draws them, the positions from predictions.csv. A guess
    # of the centre is some 6 pixels away.
    truth = run(
        [sys.executable, "-c", "from zoo_keypoints.pointers import *; print(Pointers().load('test').targets.tolist())"],
        variables,
        folder,
    )
    with (where / "predictions.csv").open() as stream:
        found = np.array([[float(cell) for cell in row[2:]] for row in list(csv.reader(stream))[1:]])
    distances = np.hypot(*np.moveaxis((found - np.array(json.loads(truth))).reshape(-1, 2, 2), -1, 0))
    assert results["distance_px"] == pytest.approx(distances.mean(), abs=1e-5)
    assert results["distance_px"] < 2.5
    run([*zoo, "export", "pointers_cnn", "--onnx"], variables, folder)
    image = sorted((where / "samples").glob("*.png"))[0]
    told = json.loads(run([*zoo, "predict", "exports/pointers_cnn", str(image), "--json"], variables, folder))
    assert set(told["predictions"][0]["values"]) == {"head_x", "head_y", "tail_x", "tail_y"}


def test_it_keeps_the_contract_in_less_than_120_lines(environment: tuple[Path, dict[str, str]]) -> None:
    folder, variables = environment
    tests = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    assert " passed" in run(tests, variables, folder)
    code = [line for file in (EXAMPLE / "zoo_keypoints").glob("*.py") for line in file.read_text().splitlines()]
    assert sum(bool(line.strip()) for line in code) < 120
