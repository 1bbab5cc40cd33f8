"""Networks made smaller: runs, and what may be asked of them."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from zoo_svd.compress_network import SvdCompress, calibration
from zoo_svd.compression import Compressor
from zoo_svd.forms import Choice, candidates

import zoo
from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.models.building import count_macs, count_parameters
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.load_model import load_shipped
from zoo.runs.resolve_config import resolve
from zoo.training.preparation import Prepared, prepare


def adaptation_of(ready: Prepared) -> SvdCompress:
    assert ready.learning is not None
    (adaptation,) = ready.learning.adaptations.each
    assert isinstance(adaptation, SvdCompress)
    return adaptation


def test_the_recipe_halves_a_network_and_it_exports_and_comes_back(tmp_path) -> None:
    curve = {"task": {"curve": [0.125, 0.5]}}
    result = zoo.run("digits_svd", overrides=curve, out=tmp_path / "run", console=Console(quiet=True))
    record = result.record
    layers = record.adaptations[0]["layers"]
    weights = sum(
        layer.weight.numel() for layer in candidates(load_shipped(registry(), "digits_pretrain").model).values()
    )
    model = zoo.load(result.path).module
    after = sum(each.weight.numel() for each in model.modules() if isinstance(each, (nn.Linear, nn.Conv2d)))
    assert after <= 0.5 * weights and record.parameters == count_parameters(model)[0]
    assert result.metrics["accuracy"] > 0.97
    with (result.path / "layers.csv").open(newline="") as stream:
        rows = {row["layer"]: row for row in csv.DictReader(stream)}
    told = {name: str(Choice(facts["form"], tuple(facts["ranks"]))) for name, facts in layers.items()}
    assert {name: row["becomes"] for name, row in rows.items() if row["becomes"] != "–"} == told and told
    assert all(
        float(row[when]) > 0
        for row in rows.values()
        for batch in (1, 32)
        for when in (f"ms for {batch} before", f"ms for {batch} after")
    )
    assert sum(int(row["bytes after"]) for row in rows.values()) == 4 * after
    with (result.path / "compression.csv").open(newline="") as stream:
        told = {row[""]: row for row in csv.DictReader(stream)}
    assert int(told["parameters"]["after"].replace(",", "")) == record.parameters
    assert float(told["onnx: bytes of the file"]["share"]) < 0.8
    shape = record.preprocessing.shape
    assert int(told["multiply-accumulates an image"]["after"].replace(",", "")) == count_macs(model, shape)
    with (result.path / "budgets.csv").open(newline="") as stream:
        points = [(row["method"], float(row["share"]), float(row["accuracy in %"])) for row in csv.DictReader(stream)]
    assert points[0] == ("the original", 1.0, 100.0) and points[1][:2] == ("8 bits alone", 0.25) and points[1][2] > 99
    shares = {
        name: [share for method, share, _ in points if method == name]
        for name in ("by responses", "by responses, 8 bits", "plain SVD")
    }
    assert [4 * share for share in shares["by responses, 8 bits"]] == pytest.approx(shares["by responses"], abs=3e-4)
    assert float(told["accuracy"]["after, in 8 bits"]) > 0.97
    assert all(share <= budget + 1e-4 for share, budget in zip(shares["by responses"], (0.125, 0.5), strict=True))
    bundle = zoo.export(str(result.path), out=tmp_path / "bundle")
    assert bundle.verification["real"]["decisions_agree"] == 181
    assert [each.title for each in record.report_items][:3] == ["Before and after", "Layers", "Budgets"]


@pytest.mark.parametrize(
    "aim",
    [
        {"energy": 0.9},
        {"max_drop": 2.0},
        {"budget": 0.5, "of": "macs"},
        {"budget": 0.2, "forms": ["channels"]},
        {"budget": 0.6, "even": True, "method": "plain"},
        {"ranks": {"fc1": 7, "conv2": 3}, "forms": ["spatial"]},
        {"ranks": {"conv2": [2, 3]}},
        {},
    ],
    ids=str,
)
def test_every_way_to_say_how_small(aim) -> None:
    ready = prepare(resolve(registry(), "digits_svd", overrides={"task": {"budget": None, **aim}}))
    made, compressor = ready.learning.made[0], adaptation_of(ready).compressor
    layers = {name: Choice(facts["form"], tuple(facts["ranks"])) for name, facts in made["layers"].items()}
    original = load_shipped(registry(), "digits_pretrain").model
    if "energy" in aim:
        assert all(
            1 - compressor.decomposition(name, choice.form).lost(choice.ranks) >= 0.9 for name, choice in layers.items()
        )
    elif aim.get("of") == "macs":
        whole, after = (
            sum(compressor.cost(name, choices.get(name)) for name in compressor.layers) for choices in ({}, layers)
        )
        assert after <= 0.5 * whole and count_macs(
            original, ready.data.preprocessing.shape
        ) - whole + after == count_macs(ready.model, ready.data.preprocessing.shape)
    elif "ranks" in aim:
        due = (
            {"conv2": Choice("tucker", (2, 3))}
            if "forms" not in aim
            else {"fc1": Choice("linear", (7,)), "conv2": Choice("spatial", (3,))}
        )
        assert layers == due
    elif "forms" in aim:
        assert {choice.form for choice in layers.values()} == {"channels", "linear"}
    assert count_parameters(ready.model)[0] < count_parameters(original)[0]


@pytest.mark.parametrize(("curve", "measured"), [([0.5], True), ([], False)])
def test_what_the_image_of_budgets_shows_is_measured_however_small_was_said(curve, measured) -> None:
    ready = prepare(
        resolve(registry(), "digits_svd", overrides={"task": {"budget": None, "energy": 0.9, "curve": curve}})
    )
    known = [option for each in adaptation_of(ready).menus.values() for option in each[1:]]
    assert known and any(option.harm != pytest.approx(option.lost) for option in known) == measured


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        (
            {"budget": 0.5, "energy": 0.9},
            ConfigError,
            "budget, energy, max_drop and ranks exclude each other: give one of them",
        ),
        ({"budget": 0.001}, UsageError, "a budget of 0.001 cannot be met"),
        ({"budget": None, "ranks": {"fc9": 3}}, UsageError, "no layer 'fc9' that can be factorised.*for example: fc"),
        (
            {"budget": None, "ranks": {"fc1": 33}},
            UsageError,
            "linear 33 does not make 'fc1' smaller: 4,800 weights become 4,818",
        ),
        ({"budget": None, "ranks": {"fc1": [3, 3]}}, UsageError, "'fc1' takes one rank"),
        ({"budget": None, "ranks": {"conv2": [9, 2]}}, UsageError, "'conv2' has no ranks above 6, 6"),
    ],
)
def test_what_makes_no_sense_is_told(task, error, words) -> None:
    with pytest.raises(error, match=words):
        prepare(resolve(registry(), "digits_svd", overrides={"task": task}))


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_fine_tuning_by_the_original_brings_accuracy_back(tmp_path) -> None:
    tight = {"task": {"budget": 0.15, "curve": []}}
    bare = zoo.run("digits_svd", overrides=tight, out=tmp_path / "bare", console=Console(quiet=True))
    tuned = zoo.run(
        "digits_svd",
        overrides={
            "task": {**tight["task"], "finetune": True},
            "train": {"epochs": 3, "batch_size": 32, "lr": 0.003},
            "device": "cpu",
        },
        out=tmp_path / "tuned",
        console=Console(quiet=True),
    )
    assert (
        tuned.record.adaptations[0]["layers"] == bare.record.adaptations[0]["layers"]
        and tuned.metrics["accuracy"] > bare.metrics["accuracy"] + 0.02
    )


def test_calibration_images_are_drawn_by_their_seed() -> None:
    ready = prepare(resolve(registry(), "digits_svd"))
    train = ready.data.part("train")
    one, labels = calibration(train, 20, 0)
    same, other = calibration(train, 20, 0)[0], calibration(train, 20, 1)[0]
    assert torch.equal(one, same) and not torch.equal(one, other) and len(labels) == len(one) == 20
    everything = torch.cat([batch.inputs for batch in train.batches(500)])
    assert torch.equal(calibration(train, 10_000, 0)[0], everything)


def test_a_run_says_which_network_and_data_its_weights_are_of(tmp_path) -> None:
    settings = {
        "dataset": {"name": "digits", "val_fraction": 0.5},
        "device": "cpu",
        "train": {"epochs": 1},
        "name": "trained",
    }
    zoo.run("lenet", overrides=settings, console=Console(quiet=True))
    config = resolve(registry(), "svd_compress", overrides={"weights": "trained"}).config
    assert config.task.name == "svd/svd_compress"
    assert (config.architecture.name, config.dataset.name, config.dataset.val_fraction) == (
        "classics/lenet",
        "datasets/digits",
        0.5,
    )


DATA = "the data that the weights were trained on: the weights `digits_0_to_4`: "
KNOWN = re.escape(f"{DATA}5 classes (")


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"classes": ["5", "6", "7", "8", "9"]}, KNOWN + r"0, 1, 2, …\), datasets/digits: 5 classes \(5, 6, 7, …\)"),
        ({"classes": ["4", "3", "2", "1", "0"]}, KNOWN + r"0, 1, 2, …\), datasets/digits: 5 classes \(4, 3, 2, …\)"),
        (
            {"classes": ["0", "1", "2", "4", "3"]},
            KNOWN + r"0, 1, 2, 3, …\), datasets/digits: 5 classes \(0, 1, 2, 4, …\)",
        ),
        ({"resize": 20}, DATA + "images of 1×[0-9]+×[0-9]+, datasets/digits: 1×20×20"),
        ({"mean": [0.5]}, DATA + "mean 0.3054, datasets/digits: 0.5"),
        ({"fit": "squash"}, DATA + "resize cover, crop the centre, datasets/digits: squash to the size"),
    ],
    ids=str,
)
@pytest.mark.parametrize("finetune", [False, True])
def test_data_that_the_weights_were_not_trained_on_is_refused_naming_both(
    dataset: dict[str, object], words: str, finetune: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zoo.training.preparation.open_data", lambda *_, **__: pytest.fail("data was opened"))
    with pytest.raises(UsageError, match=words) as caught:
        prepare(resolve(registry(), "digits_svd", overrides={"dataset": dataset, "task": {"finetune": finetune}}))
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_run_s_data_is_compared_too(tmp_path: Path) -> None:
    overrides = {
        "dataset": {"name": "digits", "permute_pixels": 3, "classes": ["0", "1"]},
        "device": "cpu",
        "train": {"epochs": 1},
        "name": "permuted",
    }
    zoo.run("lenet", overrides=overrides, console=Console(quiet=True))
    for changed, words in (
        ({"permute_pixels": None}, "permute_pixels 3, datasets/digits: none"),
        ({"classes": None}, r"2 classes \(0, 1\), datasets/digits: 10 classes \(0, 1, 2, …\)"),
    ):
        asked = {"weights": "permuted", "dataset": {**overrides["dataset"], **changed}, "device": "cpu"}
        with pytest.raises(UsageError, match=f"the run lenet/permuted: {words}"):
            prepare(resolve(registry(), "svd_compress", overrides=asked))


@pytest.mark.slow
@pytest.mark.usefixtures("unreported")
def test_a_run_that_was_made_smaller_is_no_start_and_what_is_one_is_told() -> None:
    zoo.run("digits_svd", overrides={"name": "small", "task": {"curve": []}}, console=Console(quiet=True))
    with pytest.raises(
        CheckpointError,
        match=r"do not fit.*svd_compress of that run changed the network; use the initial weights .*digits_0_to_4",
    ):
        prepare(resolve(registry(), "svd_compress", overrides={"weights": "small"}))


@pytest.mark.gpu
@pytest.mark.parametrize("finetune", [False, True])
def test_on_cuda_a_network_is_compressed_and_trained_on_as_on_the_cpu(tmp_path, finetune) -> None:
    found = {}
    for device in ("cpu", "cuda"):
        overrides = {"device": device, "task": {"finetune": finetune}, "train": {"epochs": 2}}
        result = zoo.run("digits_svd", overrides=overrides, out=tmp_path / device, console=Console(quiet=True))
        assert result.record.device["device"].startswith(device)
        found[device] = result.metrics["accuracy"], result.record.parameters
        assert (
            zoo.export(str(result.path), out=tmp_path / f"{device}-bundle").verification["real"]["decisions_agree"]
            == 181
        )
    assert found["cuda"] == pytest.approx(found["cpu"], rel=0.05)


@pytest.mark.slow
def test_vgg16_with_its_linear_layers_at_1024_and_256_is_2_72_times_smaller_and_so_is_its_file(tmp_path) -> None:
    """R. Girshick's Fast R-CNN (2015), section 4.4, truncates fc6 and fc7 so."""
    from zoo.api import ExportJob
    from zoo.config.item_options import build_exporter
    from zoo.config.run_config import Section
    from zoo.models.building import build_model

    torch.manual_seed(0)
    model = build_model(
        registry(), Section(name="torchvision/vgg16"), in_channels=3, num_outputs=1000, image_size=(224, 224)
    ).eval()
    before = count_parameters(model)[0]
    exporter = build_exporter(registry().exporter("onnx"))
    exporter.write(ExportJob(model, torch.zeros(2, 3, 224, 224)), tmp_path / "before.onnx")
    compressor = Compressor(model, torch.randn(2, 3, 224, 224), "plain")
    found = compressor.compressed(
        {
            **dict.fromkeys(compressor.layers),
            "classifier.0": Choice("linear", (1024,)),
            "classifier.3": Choice("linear", (256,)),
        }
    )
    after = count_parameters(found)[0]
    assert (round(after / 1e6, 1), round(before / after, 2)) == (50.8, 2.72)
    exporter.write(ExportJob(found, torch.zeros(2, 3, 224, 224)), tmp_path / "after.onnx")
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("before", "after")]
    assert sizes[0] / sizes[1] == pytest.approx(2.72, abs=0.01)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        due = found(images).numpy()
    given = exporter.open(tmp_path / "after.onnx", "cpu")({"input": images.numpy()})["output"]
    np.testing.assert_allclose(given, due, atol=1e-4 * np.abs(due).max())
