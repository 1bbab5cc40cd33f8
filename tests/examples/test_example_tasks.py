"""A distribution for each kind of task: installed, held to the contract, trained, evaluated, exported and predicted
with, all by one process for all of them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPES = {
    "grades": "rust_grades",
    "intervals": "rotated_intervals",
    "screening": "digits_screening",
    "spots": "spots_unet",
    "triplets": "digits_triplets",
}
EPOCHS = 3
"""Enough to be far from chance; the recipes take more."""
JOURNEY = """
import json, sys
from pathlib import Path
import zoo

for recipe in sys.argv[2:]:
    run = zoo.run(recipe, epochs=int(sys.argv[1]), device="cpu", out=f"runs/{recipe}/first", quiet=True)
    image = sorted((run.path / "samples").glob("*.png"))[0]
    bundle = zoo.export(run.path, out=f"exports/{recipe}").path
    by_run, by_bundle = zoo.predict(run.path, [image]), zoo.predict(bundle, [image])
    told = {
        "run": dict(run.metrics),
        "bundle": dict(zoo.evaluate(bundle).metrics),
        "answers": [each.answer(each.rows[0][1], 3) for each in (by_run, by_bundle)],
        "facts": by_bundle.facts(by_bundle.rows[0][1], 3),
    }
    Path(f"{recipe}.json").write_text(json.dumps(told))
"""


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder, and an environment in which the examples are installed from their wheels."""
    folder = tmp_path_factory.mktemp("examples")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "--target", "site", *(str(EXAMPLES / f"zoo-{name}") for name in RECIPES)], folder, dict(os.environ))
    path = os.pathsep.join(filter(None, [str(folder / "site"), os.environ.get("PYTHONPATH")]))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ZOO_")}
    return folder, kept | {"PYTHONPATH": path, "ZOO_OFFLINE": "1", "ZOO_CACHE": str(folder / "cache")}


@pytest.fixture(scope="module")
def told(installed: tuple[Path, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """What the functions of zoo return for each recipe, with half a minute for all of them."""
    folder, environment = installed
    run([sys.executable, "-P", "-W", "error", "-c", JOURNEY, str(EPOCHS), *RECIPES.values()], folder, environment)
    return {name: json.loads((folder / f"{recipe}.json").read_text()) for name, recipe in RECIPES.items()}


def test_their_own_tests_pass(installed: tuple[Path, dict[str, str]]) -> None:
    """With the check of the contract in each of them."""
    folder, environment = installed
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-W", "error"]
    tests = [str(EXAMPLES / f"zoo-{name}" / "tests") for name in RECIPES]
    assert " passed" in run([sys.executable, "-P", "-m", "pytest", *options, *tests], folder, environment)


@pytest.mark.parametrize("name", RECIPES)
def test_the_code_of_each_has_less_than_120_lines(name: str) -> None:
    code = [line for file in EXAMPLES.glob(f"zoo-{name}/zoo_*/*.py") for line in file.read_text().splitlines()]
    assert sum(bool(line.strip()) for line in code) < 120


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_and_its_export_agree(
    name: str, told: dict[str, dict[str, Any]], installed: tuple[Path, dict[str, str]]
) -> None:
    found, folder = told[name], installed[0]
    assert found["run"] == pytest.approx(found["bundle"], rel=1e-5)
    assert found["answers"][0] == found["answers"][1]
    verified = json.loads((folder / "exports" / RECIPES[name] / "verify.json").read_text())["real"]
    assert verified["decisions_clear"] <= verified["decisions_agree"]
    assert (folder / "runs" / RECIPES[name] / "first" / "report.html").is_file()


def test_ordered_classes(told: dict[str, dict[str, Any]]) -> None:
    assert told["grades"]["run"]["quadratic_kappa"] > 0.85


def test_intervals_are_predicted_in_units(
    told: dict[str, dict[str, Any]], installed: tuple[Path, dict[str, str]]
) -> None:
    found, folder = told["intervals"], installed[0]
    assert 0.85 < found["run"]["coverage"] < 0.95
    assert found["run"]["width"] < 40  # of 90°
    angles = found["facts"]["values"]
    assert angles["angle_low"] < angles["angle"] < angles["angle_high"]
    with (folder / "runs" / RECIPES["intervals"] / "first" / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 500 and {f"{name} (°)" for name in angles} <= set(rows[0])


def test_labels_by_their_cost(told: dict[str, dict[str, Any]], installed: tuple[Path, dict[str, str]]) -> None:
    found, folder = told["screening"], installed[0]
    assert found["run"]["sensitivity"] > found["run"]["precision"]
    assert found["run"]["cost"] < 2.9  # with no network, each of the ten labels on each image costs less than nine
    bundle = json.loads((folder / "exports" / RECIPES["screening"] / "bundle.json").read_text())
    assert len(set(bundle["description"]["output"]["decision"]["thresholds"])) > 1


def test_small_objects_are_segmented(told: dict[str, dict[str, Any]]) -> None:
    assert told["spots"]["run"]["dice"] > 0.6


def test_the_closest_images_answer(told: dict[str, dict[str, Any]]) -> None:
    assert told["triplets"]["run"]["recall_at_1"] > 0.9
    assert len(told["triplets"]["facts"]["matches"]) == 3
