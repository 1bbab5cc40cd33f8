"""The plot and the JSON of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from zoo.benching.plot import draw
from zoo.benching.result import Benchmark, Latency, Measurement, Settings, Skipped, TargetResult


def measured(engine: str, batch: int, scale: float = 1.0) -> Measurement:
    latency = Latency(2.0 * scale, 1.5 * scale, 3.0 * scale, 4.0 * scale)
    return Measurement(engine, batch, latency, batch / scale, 1000, 20, 10, 5.0)


def result(*targets: TargetResult) -> Benchmark:
    return Benchmark(Settings((1, 8), "cpu", "cpu", 2, 2.0), list(targets))


def height(file: Path) -> int:
    with Image.open(file) as image:
        return image.height


def test_each_target_is_a_row(tmp_path: Path) -> None:
    one = TargetResult("a $run", (1, 28, 28), measurements=[measured("x", 1), measured("x", 8), measured("y", 8, 0.1)])
    other = TargetResult("b", (3, 8, 8), measurements=[measured("x", 1)])
    empty = TargetResult("c", (3, 8, 8), skipped=[Skipped("x", "it differs", differs=True)])
    draw(tmp_path / "one.png", result(one))
    draw(tmp_path / "all.png", result(one, other, empty))
    assert height(tmp_path / "all.png") > 2 * height(tmp_path / "one.png")


def test_the_facts_are_json_and_have_the_settings() -> None:
    found = result(TargetResult("a", (1, 28, 28), measurements=[measured("x", 1)]))
    facts = json.loads(json.dumps(found.facts()))
    assert facts["format"] == 1 and facts["settings"]["threads"] == 2
    assert {"processor", "cores", "gpu", "system"} == set(facts["hardware"])
    assert {"python", "torch", "torch-zoo"} <= set(facts["versions"])
    assert facts["targets"][0]["measurements"][0]["latency_ms"] == {"median": 2.0, "p25": 1.5, "p75": 3.0, "p95": 4.0}
    assert not found.differs and found.targets[0].measurements[0].latency_ms.iqr == 1.5


def test_an_engine_that_differs_is_seen_in_the_whole() -> None:
    assert result(TargetResult("a", (1, 2, 2), skipped=[Skipped("x", "it differs", differs=True)])).differs
    assert not result(TargetResult("a", (1, 2, 2), skipped=[Skipped("x", "no compiler")])).differs
