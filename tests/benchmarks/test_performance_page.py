"""docs/performance.md is what the recorded figures say, and their files have one form."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
FILES = sorted(RESULTS.glob("*.json"))
PROFILES = sorted((RESULTS / "profiles").glob("*.json"))
COMPARISONS = [
    pytest.param(found["unit"], found, id=f"{file.stem} {name}")
    for file in FILES
    for name, found in json.loads(file.read_text(encoding="utf-8")).get("comparisons", {}).items()
]


@pytest.fixture(scope="module")
def generator(script):
    return script("performance_page")


def test_the_page_is_what_the_generator_writes(generator) -> None:
    assert generator.PAGE.read_text(encoding="utf-8") == generator.page(), "run: python benchmarks/performance_page.py"


def test_every_row_has_a_line_and_a_section(generator) -> None:
    page = generator.page()
    for row in generator.ROWS:
        assert page.count(f"| {row.job} |") == page.count(f"## {row.job.replace('`', '')}\n") == 1


def test_a_row_without_figures_says_so(generator) -> None:
    row = generator.Row("A job", "no_such_file", "epoch", (generator.Target("plain", 2),), "`make bench`")
    assert generator.section(row, generator.measured(row)) == "## A job\n\n- not measured yet\n- measure: `make bench`"
    assert generator.absent(generator.ROWS[-1]) == "awaits a GPU"


def test_a_row_is_repeated_by_a_script_or_a_target_that_exists(generator) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for row in generator.ROWS:
        script, target = re.search(r"(benchmarks/\w+\.py)", row.repeat), re.search(r"make ([\w-]+)", row.repeat)
        if script:
            assert (ROOT / script[1]).exists(), row.repeat
        elif target:
            assert f"\n{target[1]}: " in makefile
        else:
            assert row.repeat == "there is no recipe yet"


def test_a_target_is_reached_from_its_value_on(generator, script) -> None:
    found = script("_record").compared({"zoo": [2.0, 1.0, 1.0], "plain": [3.0, 3.0, 4.0]})
    target = generator.Target
    assert generator.cells(target("plain", least=3), found)[1:] == ["3×", "3.00× (1.50 to 4.00)", "yes"]
    assert generator.cells(target("plain", least=3.01), found)[-1] == "no"
    assert generator.cells(target(most=1.0), found) == ["", "at most 1.00 s", "1.00 s (1.00 s to 2.00 s)", "yes"]
    assert generator.cells(target(most=0.99), found)[-1] == "no"
    assert generator.cells(target("fastai", least=3), found)[2:] == ["not measured yet", "–"]
    assert generator.cells(target("plain", least=3), None)[2:] == ["not measured yet", "–"]


@pytest.mark.parametrize("file", [*FILES, *PROFILES], ids=lambda file: file.stem)
def test_a_result_says_when_on_what_and_of_which_commit(file) -> None:
    found = json.loads(file.read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", found["date"])
    assert re.fullmatch(r"[0-9a-f]{40}", found["commit"])
    assert {"processor", "cores", "gpu", "system"} <= set(found["hardware"])
    assert {"python", "torch"} <= set(found["versions"])
    assert "/tmp/" not in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("unit", "found"), COMPARISONS)
def test_a_comparison_adds_up(unit, found) -> None:
    """Against numpy."""
    values = {name: np.array(side["values"]) for name, side in found["sides"].items()}
    own = values[found["ours"]]
    for name, side in found["sides"].items():
        assert len(values[name]) == found["rounds"]
        assert [side["median"], side["low"], side["high"]] == pytest.approx(np.percentile(values[name], [50, 0, 100]))
    assert set(found["ratios"]) == set(values) - {found["ours"]}
    for name, ratio in found["ratios"].items():
        by_round = values[name] / own if unit in ("s", "ms") else own / values[name]
        assert [ratio["median"], ratio["low"], ratio["high"]] == pytest.approx(np.percentile(by_round, [50, 0, 100]))


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.stem)
def test_the_parts_of_a_profile_are_the_whole(file) -> None:
    parts = json.loads(file.read_text(encoding="utf-8"))["parts"]
    assert sum(each["share"] for each in parts) == pytest.approx(1, abs=0.02)


def test_a_sample_belongs_to_the_innermost_function_of_zoo(script) -> None:
    raw = "\n".join(
        [
            "main (zoo/cli/app.py);read (zoo/data/decoding.py);open (PIL/Image.py) 3",
            "main (zoo/cli/app.py);read (zoo/data/decoding.py) 2",
            "main (zoo/cli/app.py);_find_and_load (<frozen importlib._bootstrap>);<module> (torch/__init__.py) 4",
            "_bootstrap (threading.py);run (threading.py) 1",
        ]
    )
    assert script("profiles").by_function(raw) == {
        "read (zoo/data/decoding.py)": 5,
        "import of modules": 4,
        "outside zoo": 1,
    }
