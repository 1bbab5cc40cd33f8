"""zoo bench: what is measured, what is not, and how it is printed. No test looks at a time."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from zoo.cli.app import run_cli

QUICK = ("--seconds", "0.02", "--threads", "1")
EAGER, COMPILED = "PyTorch eager", "PyTorch compiled"


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile returns the network itself, since compiling takes most of a minute."""
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "1")


@pytest.fixture(scope="module")
def fixed_bundle(trained_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared run, exported with a batch size of 3."""
    bundle = tmp_path_factory.mktemp("bench") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_RUNS", str(trained_runs))
        assert run_cli(["export", "cnn_digits/short", "--batch", "3", "--out", str(bundle)]) == 0
    return bundle


@pytest.mark.usefixtures("short", "uncompiled")
def test_a_run_is_measured_in_every_engine_and_the_result_is_written(zoo, tmp_path: Path, full_figures: None) -> None:
    told = zoo("bench", "cnn_digits/short", "--batch", "2,1", *QUICK, "--out", str(tmp_path / "out"), "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    written = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    assert {**found, "date": ""} == {**written, "date": ""}
    with Image.open(tmp_path / "out" / "bench.png") as image:
        assert image.width > 600
    settings = found["settings"]
    assert (settings["batches"], settings["threads"], settings["device"]) == ([1, 2], 1, "cpu")
    (target,) = found["targets"]
    assert (target["target"], target["input"], target["skipped"]) == ("cnn_digits/short", [1, 16, 16], [])
    engines = [each["name"] for each in target["engines"]]
    assert engines[:2] == [EAGER, COMPILED] and "onnx" in engines
    order = [(each["batch"], each["engine"]) for each in target["measurements"]]
    assert order == [(batch, engine) for batch in (1, 2) for engine in engines]
    for each in target["measurements"]:
        latency = each["latency_ms"]
        assert 0 < latency["p25"] <= latency["median"] <= latency["p75"] <= latency["p95"]
        assert each["calls"] >= each["rounds"] > 0 and each["memory_bytes"] > 0 and each["images_per_second"] > 0
    assert target["compared_with"] == EAGER and 0 <= target["max_rel_error"] < 1e-4
    assert target["preprocessing"]["images"] == "of the run" and target["preprocessing"]["count"] > 1
    assert "measuring in rounds" in told.err


def test_a_bundle_without_its_run_is_compared_with_the_record_and_measured_at_its_batch(zoo, fixed_bundle) -> None:
    told = zoo("bench", str(fixed_bundle), "--batch", "1,8", *QUICK)
    assert told.code == 0, told.err
    assert max(map(len, told.out.splitlines()[1:3])) <= 80
    head, row = told.out.splitlines()[1:3]
    assert head.split() == ["engine", "batch", "median", "ms", "IQR", "ms", "p95", "ms", "images/s", "memory"]
    assert row.split()[:2] == ["onnx", "3"]
    assert f"skipped: {EAGER}: the PyTorch model is not on this machine" in told.out
    assert "outputs equal the outputs of PyTorch that the export recorded" in told.out
    assert "the file has the fixed batch size 3 and is measured only at that size" in told.out
    assert "1 CPU thread" in told.out and " rounds of 0.002 s, at least 5 calls" in told.out
    assert "32 images of datasets/digits, one thread" in told.out


@pytest.mark.usefixtures("short", "uncompiled")
def test_a_file_that_answers_otherwise_is_not_measured(zoo, fixed_bundle: Path, tmp_path: Path) -> None:
    model = onnx.load(fixed_bundle / "model.onnx")
    weight = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 1.5, weight.name))
    onnx.save(model, tmp_path / "model.onnx")
    told = zoo("bench", str(tmp_path / "model.onnx"), "--batch", "1", *QUICK, "--json")
    assert told.code == 5
    (target,) = json.loads(told.out)["targets"]
    (skipped,) = target["skipped"]
    assert skipped["engine"] == "onnx" and skipped["differs"] and "its outputs differ" in skipped["reason"]
    measured = {(each["engine"], each["batch"]) for each in target["measurements"]}
    assert measured == {(engine, batch) for engine in (EAGER, COMPILED) for batch in (1, 3)}


@pytest.mark.slow
@pytest.mark.usefixtures("short")
def test_a_machine_without_a_compiler_skips_the_compiled_network(zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    told = zoo("bench", "cnn_digits/short", "--batch", "1", *QUICK, "--json")
    assert told.code == 0, told.err
    (target,) = json.loads(told.out)["targets"]
    (skipped,) = target["skipped"]
    assert skipped["engine"] == COMPILED and not skipped["differs"]
    assert "compiler" in skipped["reason"] and "\n" not in skipped["reason"]
    assert {each["engine"] for each in target["measurements"]} >= {EAGER, "onnx"}


def test_a_run_without_a_network_is_refused(zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (12, 12), 90).save(tmp_path / "grey.png")
    assert zoo("run", "svd_image", "--data", f"images:{tmp_path / 'grey.png'}", "--name", "one").code == 0
    told = zoo("bench", "svd_image/one")
    assert told.code == 2 and told.err.count("\n") == 1
    assert "a run of task svd/svd_image has no network" in told.err and "; fix: " in told.err


def test_an_altered_bundle_is_refused(zoo, fixed_bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in fixed_bundle.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with (copy / "model.onnx").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    told = zoo("bench", str(copy), *QUICK)
    assert (told.code, told.out, told.err.count("\n")) == (4, "", 1) and "model.onnx" in told.err


def test_a_file_that_does_not_describe_itself_is_refused(zoo, bundle_model: Path, tmp_path: Path) -> None:
    model = onnx.load(bundle_model)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    told = zoo("bench", str(tmp_path / "foreign.onnx"), *QUICK)
    assert told.code == 2 and "the file does not describe its input" in told.err and "; fix: " in told.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--batch", "1,x"), "--batch: must be whole numbers of at least 1, not 'x'; fix: for example --batch 1,8,32"),
        (("--batch", "0"), "--batch: must be"),
        (("--threads", "none"), "--threads: must be"),
        (("--seconds", "soon"), "--seconds: must be a number, not 'soon'"),
        (("--seconds", "nan"), "the time must be a positive number of seconds (--seconds)"),
        (("--device", "tpu"), "'tpu' is not a device; fix: choose one of: auto, cpu"),
        (("--provider", "abacus"), "has no provider 'abacus' (--provider); fix: choose one of: cpu"),
        (("--out", "."), "the output folder must be new or empty (.); fix: choose another --out"),
    ],
)
def test_wrong_options_are_one_line(zoo, fixed_bundle, tmp_path, monkeypatch, options, words) -> None:
    (tmp_path / "taken").mkdir()
    monkeypatch.chdir(tmp_path)
    told = zoo("bench", str(fixed_bundle), *options)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1) and words in told.err


def test_an_unknown_target_is_one_line(zoo) -> None:
    told = zoo("bench", "cnn_digit")
    assert told.code == 2 and "no recipe is called 'cnn_digit'; fix: did you mean cnn_digits" in told.err
