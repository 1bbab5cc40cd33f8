"""Every script of docs/performance.md runs to its end in its small form, and writes what the page reads.

Minutes together: most scripts start processes that import PyTorch, as users do.
"""

from __future__ import annotations

import json
import sys

import pytest
import torch

EXPECTED = {
    "mnist_epoch": {"fnn": {"plain", "bare", "zoo"}, "cnn": {"plain", "bare", "zoo"}},
    "cifar10_epoch": {"lenet": {"plain", "bare", "zoo"}},
    "epoch_against": {"epoch": {"this", "other"}},
    "source_crops": {"first_epoch": {"zoo, none", "zoo, source", "zoo, sized", "DataLoader"}},
    "finetune_speed": {"training": {"zoo", "zoo, cache=source", "timm", "plain loop"}},
    "photos_to_bundle": {
        "clock": {"zoo", "zoo, features cached", "plain script"},
        "processor": {"zoo", "zoo, features cached", "plain script"},
    },
    "small_run": {
        "run_clock": {"zoo", "zoo, features cached"},
        "run_processor": {"zoo", "zoo, features cached"},
        "head": {"zoo"},
    },
}
REAL = ("mnist_epoch", "cifar10_epoch")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The small forms have so few samples that threads would only wait for each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(script, name, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--tiny", *options])
    script(name).main()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.realdata] if name in REAL else []) for name in EXPECTED]
)
def test_a_script_runs_to_its_end(script, name, monkeypatch, tmp_path) -> None:
    file = tmp_path / "result.json"
    tiny(script, name, monkeypatch, "--out", str(file))
    found = json.loads(file.read_text(encoding="utf-8"))
    assert {key: set(each["sides"]) for key, each in found["comparisons"].items()} == EXPECTED[name]
    assert all(
        value > 0
        for each in found["comparisons"].values()
        for side in each["sides"].values()
        for value in side["values"]
    )


@pytest.mark.slow
def test_the_profiles_run_to_their_end(script, monkeypatch, tmp_path) -> None:
    tiny(script, "profiles", monkeypatch, "--only", "finetune_speed", "--out", str(tmp_path))
    found = json.loads((tmp_path / "finetune_speed.json").read_text(encoding="utf-8"))
    assert {each["name"] for each in found["parts"]} == {"data", "forward", "backward", "optimizer", "other"}
    assert found["operators"] and all(0 < each["share"] < 1 for each in found["operators"])


def test_a_small_form_writes_nothing_unless_asked(script, monkeypatch, capsys) -> None:
    record = script("_record")
    asked = record.parser_of(None).parse_args(["--tiny"])
    assert record.result_file(asked, "mnist_epoch") is None
    record.write_result(None, {})
    assert capsys.readouterr().out == "nothing written without --out\n"


def test_make_bench_runs_the_scripts_that_the_page_reads(script, tmp_path) -> None:
    bench, page = script("bench"), script("performance_page")
    on_cpu = {row.file for row in page.ROWS if not row.job.startswith("H100")}
    assert on_cpu <= {*bench.PLAIN, *bench.PHOTOS} and on_cpu <= set(EXPECTED)
    asked = bench.argparse.Namespace(tiny=False, out=None, weights=tmp_path / "squeezenet1_1.safetensors")
    assert bench.options("photos_to_bundle", asked, tmp_path)[:2] == ["--rounds", "2"]
    assert bench.options("photos_to_bundle", asked, tmp_path)[2:] == ["--weights", str(asked.weights)]
    tiny = bench.argparse.Namespace(tiny=True, out=tmp_path, weights=None)
    assert bench.options("small_run", tiny, tmp_path) == ["--tiny", "--out", str(tmp_path / "small_run.json")]
