"""docs/results.md is what the recorded runs say, and the recipes state the same figures."""

from __future__ import annotations

import importlib.util
import json
import statistics
from pathlib import Path

import pytest

from zoo.registry.lookup import registry

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "benchmarks" / "results" / "recipes").glob("*.json"))


@pytest.fixture(scope="module")
def generator():
    specification = importlib.util.spec_from_file_location("results_table", ROOT / "benchmarks" / "results_table.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_is_what_the_generator_writes(generator) -> None:
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run: python benchmarks/results_table.py"


def test_every_recipe_has_a_row(generator) -> None:
    table = generator.table()
    assert all(f"| `{item.spec.name}` |" in table for item in registry().items("recipe", namespace="classics"))


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_a_recipe_states_what_was_recorded(file) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    spec = registry().recipe(record["recipe"]).spec
    found, expected = record["metrics"][spec.expected.metric], spec.expected
    assert spec.name == file.stem
    assert (expected.mean, expected.sd) == (
        pytest.approx(found["mean"], abs=5.1e-5),
        pytest.approx(found["sd"], abs=5.1e-5),
    )
    assert expected.seeds == len(record["seeds"])
    assert expected.seconds == pytest.approx(record["seconds"]["median"], abs=0.51)


@pytest.mark.parametrize("file", RECORDS, ids=lambda file: file.stem)
def test_a_record_adds_up_and_names_no_place(file) -> None:
    record = json.loads(file.read_text(encoding="utf-8"))
    for found in record["metrics"].values():
        assert found["mean"] == pytest.approx(statistics.fmean(found["values"])) and len(found["values"]) == len(
            record["seeds"]
        )
        assert found["sd"] == pytest.approx(statistics.stdev(found["values"]) if len(found["values"]) > 1 else 0.0)
    assert not any(str(each).startswith("/") for each in record.get("runs", []))


@pytest.mark.parametrize("item", registry().items("recipe", namespace="classics"), ids=lambda item: item.spec.name)
def test_no_figure_is_stated_that_was_not_recorded(item) -> None:
    assert (item.spec.expected is None) or any(file.stem == item.spec.name for file in RECORDS)


def test_the_page_on_judging_explains_every_figure_and_file() -> None:
    """Against a task's own answer, for more than five classes."""
    import torch
    from zoo_tasks.metrics import ClassificationEvaluator

    from zoo.api import Batch

    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    evaluator, labels = ClassificationEvaluator(6), torch.arange(6)
    evaluator.update({"output": torch.eye(6)}, Batch(torch.zeros(6, 1, 1, 1), labels, labels))
    metrics = evaluator.compute().metrics
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(metrics)
