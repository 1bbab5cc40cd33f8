"""Networks made smaller: the algebra of a pair of layers, the sharing of a budget, and runs."""

from __future__ import annotations

import copy
import csv
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from zoo_svd.allocation import Curve, allocate, uniform
from zoo_svd.compression import Compressor
from zoo_svd.layers import candidates, filled, in_eight_bits, pays, restructured, sides
from zoo_svd.network_task import calibration
from zoo_svd.responses import by_responses, plain, statistics

import zoo
from zoo.console import Console
from zoo.errors import ConfigError, UsageError
from zoo.loading import load_shipped
from zoo.models import count_macs, count_parameters
from zoo.registry import registry
from zoo.resolve import resolve
from zoo.runner import prepare

LAYERS = [
    (nn.Linear(30, 20), (30,)),
    (nn.Linear(30, 20, bias=False), (30,)),
    (nn.Conv2d(6, 20, 3, padding=1), (6, 9, 9)),
    (nn.Conv2d(6, 20, (3, 5), stride=2, dilation=(2, 1), bias=False), (6, 15, 15)),
    (nn.Conv2d(6, 20, 3, padding=1, padding_mode="reflect"), (6, 9, 9)),
]


def inputs_of(shape, count=64):
    """Inputs that lie near a few directions, off zero: what a covariance is worth knowing for."""
    numbers = torch.Generator().manual_seed(0)
    flat = int(np.prod(shape))
    mixed = torch.randn(count, 4, generator=numbers) @ torch.randn(4, flat, generator=numbers)
    return (mixed + 0.1 * torch.randn(count, flat, generator=numbers) + 1).reshape(count, *shape)


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
@pytest.mark.parametrize("method", ["plain", "responses"])
def test_all_components_together_are_the_layer(layer, shape, method):
    inputs = inputs_of(shape)
    with torch.no_grad():
        found = plain(layer) if method == "plain" else by_responses(layer, *statistics(layer, {"": layer}, [inputs])[""])
        pair = filled(layer, found.pair(min(sides(layer))))
        torch.testing.assert_close(pair(inputs), layer(inputs), rtol=1e-3, atol=1e-3)
    assert found.lost(min(sides(layer))) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_by_responses_a_rank_errs_by_just_the_energy_it_leaves_out_and_less_than_plain(layer, shape):
    """The mean squared error over pictures and places is the sum of the eigenvalues left out, where there is a bias to correct."""
    inputs, rank = inputs_of(shape), 3
    with torch.no_grad():
        due = layer(inputs)
        mean, covariance = statistics(layer, {"": layer}, inputs.split(16))[""]
        errors = {}
        for name, found in (("responses", by_responses(layer, mean, covariance)), ("plain", plain(layer))):
            errors[name] = float((filled(layer, found.pair(rank))(inputs) - due).square().sum() / (due.numel() / due.shape[1]))
    assert errors["responses"] < errors["plain"] or layer.bias is None
    if layer.bias is not None:
        left_out = torch.linalg.eigvalsh(covariance).flip(0)[rank:].sum()
        assert errors["responses"] == pytest.approx(float(left_out), rel=2e-2, abs=1e-4)


def test_statistics_are_the_mean_and_covariance_of_responses():
    layer, inputs = nn.Conv2d(3, 5, 3), torch.randn(12, 3, 8, 8)
    mean, covariance = statistics(layer, {"": layer}, inputs.split(5))[""]
    rows = layer(inputs).detach().permute(0, 2, 3, 1).reshape(-1, 5).numpy().astype(np.float64)
    np.testing.assert_allclose(mean, rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(covariance, np.cov(rows.T, bias=True), atol=1e-6)


def test_what_cannot_become_smaller_is_no_candidate():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(1, 1, 1), nn.Linear(1, 5), nn.Linear(9, 7), nn.BatchNorm2d(3))
    assert list(candidates(model)) == ["3"]
    assert pays(3, 9, 7) and not pays(4, 9, 7) and not pays(1, 2, 2)


def test_the_structure_alone_gives_the_same_shapes():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Flatten(), nn.Linear(72, 10))
    rebuilt = restructured(copy.deepcopy(model), {"0": 2, "2": 4})
    compressor = Compressor(model, torch.randn(8, 3, 7, 7))
    due = compressor.compressed({"0": 2, "2": 4})
    assert {name: each.shape for name, each in rebuilt.state_dict().items()} == {name: each.shape for name, each in due.state_dict().items()}


def test_eight_bits_are_steps_of_each_output_and_nothing_else_changes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(36, 5))
    found = in_eight_bits(model)
    for before, after in ((model[0], found[0]), (model[3], found[3])):
        one, other = before.weight.detach().flatten(1), after.weight.detach().flatten(1)
        steps = one.abs().amax(1, keepdim=True) / 127
        torch.testing.assert_close((other / steps).round() * steps, other)
        assert (one - other).abs().max() <= steps.max() / 2 + 1e-7 and torch.equal(before.bias, after.bias)
    assert not torch.equal(model[0].weight, found[0].weight)


# ---------------------------------------------------------------------------------------------------------------------------- budgets


def curve(rows, columns, harm, *, unit=4.0, decay=0.8):
    values = decay ** np.arange(min(rows, columns))
    return Curve(rows, columns, unit, lambda rank: float(values[rank:].sum() / values.sum()), [(0.5, harm)])


@pytest.mark.parametrize("budget", [0.8, 0.5, 0.25, 0.1])
def test_a_budget_is_kept_and_used(budget):
    curves = {"a": curve(64, 128, 1.0), "b": curve(64, 64, 0.01), "c": curve(10, 84, 5.0)}
    ranks = allocate(curves, budget)
    whole = sum(each.whole for each in curves.values())
    spent = sum(curves[name].cost(rank) for name, rank in ranks.items())
    assert spent <= budget * whole
    assert spent >= 0.8 * budget * whole
    assert all(rank is None or rank < 16 or rank % 8 == 0 for rank in ranks.values())


def test_the_greedy_walk_comes_near_the_best_of_all_choices():
    curves = {"a": curve(12, 20, 1.0, decay=0.5), "b": curve(16, 10, 0.02, decay=0.9), "c": curve(8, 30, 0.3, decay=0.7)}
    whole = sum(each.whole for each in curves.values())
    for budget in (0.6, 0.4, 0.25):
        best = min(
            sum(each.harm(rank) for each, rank in zip(curves.values(), ranks, strict=True))
            for ranks in itertools.product(*([None, *each.ranks()] for each in curves.values()))
            if sum(each.cost(rank) for each, rank in zip(curves.values(), ranks, strict=True)) <= budget * whole
        )
        found = sum(curves[name].harm(rank) for name, rank in allocate(curves, budget).items())
        assert found <= 1.25 * best + 1e-9


def test_a_layer_that_matters_more_keeps_more():
    curves = {"harmless": curve(64, 64, 0.001), "vital": curve(64, 64, 10.0)}
    ranks = allocate(curves, 0.4)
    assert (ranks["vital"] or 64) > (ranks["harmless"] or 64)


def test_a_budget_that_cannot_be_met_is_told():
    with pytest.raises(UsageError, match=r"a budget of 0\.01 cannot be met.*give at least 0\.1"):
        allocate({"a": curve(16, 16, 1.0)}, 0.01)


def test_the_same_share_for_every_layer():
    assert uniform({"a": curve(64, 128, 1.0), "b": curve(4, 4, 1.0)}, 0.5) == {"a": 21, "b": 1}


def test_harm_is_read_between_what_was_measured():
    found = Curve(10, 10, 1.0, lambda rank: 1 / rank, [(0.1, 0.01), (0.5, 1.0)])
    assert found.harm(None) == 0
    assert found.harm(10) == pytest.approx(0.01) and found.harm(2) == pytest.approx(1.0)
    assert 0.01 < found.harm(5) < 1.0 < found.harm(1)


# -------------------------------------------------------------------------------------------------------------------------------- runs


def test_the_recipe_halves_a_network_and_it_exports_and_comes_back(tmp_path):
    result = zoo.run("digits_svd", out=tmp_path / "run", console=Console(quiet=True))
    record = result.record
    assert list(record.structure) == ["ranks"] and record.structure["ranks"]
    weights = sum(np.prod(sides(layer)) for layer in candidates(load_shipped(registry(), "digits_pretrain").model).values())
    model = zoo.load(result.path)
    after = sum(each.weight.numel() for each in model.modules() if isinstance(each, (nn.Linear, nn.Conv2d)))
    assert after <= 0.5 * weights and record.parameters == count_parameters(model)[0]
    assert result.metrics["accuracy"] > 0.97
    with (result.path / "layers.csv").open(newline="") as stream:
        rows = {row["layer"]: row for row in csv.DictReader(stream)}
    assert {name: int(row["rank"]) for name, row in rows.items() if row["rank"] != "–"} == record.structure["ranks"]
    assert sum(int(row["bytes after"]) for row in rows.values()) == 4 * after
    with (result.path / "compression.csv").open(newline="") as stream:
        told = {row[""]: row for row in csv.DictReader(stream)}
    assert int(told["parameters"]["after"].replace(",", "")) == record.parameters
    assert float(told["onnx: bytes of the file"]["share"]) < 0.8
    shape = record.preprocessing.shape
    assert int(told["multiply-accumulates a picture"]["after"].replace(",", "")) == count_macs(model, shape)
    with (result.path / "budgets.csv").open(newline="") as stream:
        points = [(row["method"], float(row["share"]), float(row["accuracy in %"])) for row in csv.DictReader(stream)]
    assert points[0] == ("the original", 1.0, 100.0) and points[1][:2] == ("8 bits alone", 0.25) and points[1][2] > 99
    shares = {name: [share for method, share, _ in points if method == name] for name in ("by responses", "by responses, 8 bits", "plain SVD")}
    assert [4 * share for share in shares["by responses, 8 bits"]] == pytest.approx(shares["by responses"], abs=3e-4)
    assert all(share <= budget + 1e-4 for share, budget in zip(shares["by responses"], (0.125, 0.25, 0.5), strict=True))
    bundle = zoo.export(str(result.path), out=tmp_path / "bundle")
    assert bundle.verification["real"]["top1_agree"] == 181
    assert [each.title for each in record.exhibits][:3] == ["Before and after", "Layers", "Budgets"]


@pytest.mark.parametrize(
    "aim",
    [
        {"energy": 0.9},
        {"max_drop": 2.0},
        {"budget": 0.5, "of": "macs"},
        {"budget": 0.6, "even": True, "method": "plain"},
        {"ranks": {"fc1": 7}},
        {},
    ],
    ids=str,
)
def test_every_way_to_say_how_small(aim):
    ready = prepare(resolve(registry(), "digits_svd", overrides={"task": {"budget": None, **aim}}), Console(quiet=True))
    ranks = ready.structure["ranks"]
    original = load_shipped(registry(), "digits_pretrain").model
    if "energy" in aim:
        compressor = ready.task._compressor
        assert all(1 - compressor.decomposition(name).lost(rank) >= 0.9 for name, rank in ranks.items())
    elif aim.get("of") == "macs":
        places = ready.task._compressor.places
        whole = sum(places[name] * np.prod(sides(layer)) for name, layer in candidates(original).items())
        after = sum(
            places[name] * (ranks[name] * sum(sides(layer)) if name in ranks else np.prod(sides(layer)))
            for name, layer in candidates(original).items()
        )
        assert after <= 0.5 * whole
    elif "ranks" in aim:
        assert ranks == {"fc1": 7}
    assert count_parameters(ready.model)[0] < count_parameters(original)[0]


@pytest.mark.parametrize(("curve", "measured"), [([0.5], True), ([], False)])
def test_what_the_picture_of_budgets_shows_is_measured_however_small_was_said(curve, measured):
    ready = prepare(resolve(registry(), "digits_svd", overrides={"task": {"budget": None, "energy": 0.9, "curve": curve}}), Console(quiet=True))
    assert all((each.points != [(1.0, 1.0)]) == measured for each in ready.task._curves.values())


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        ({"budget": 0.5, "energy": 0.9}, ConfigError, "budget, energy, max_drop and ranks each say how small: give one of them"),
        ({"budget": 0.001}, UsageError, "a budget of 0.001 cannot be met"),
        ({"budget": None, "ranks": {"fc9": 3}}, UsageError, "no layer 'fc9' that could be factorised.*for example: fc"),
        ({"budget": None, "ranks": {"fc1": 33}}, UsageError, "rank 33 would make 'fc1' larger: it is 50×96"),
    ],
)
def test_what_makes_no_sense_is_told(task, error, words):
    with pytest.raises(error, match=words):
        prepare(resolve(registry(), "digits_svd", overrides={"task": task}), Console(quiet=True))


def test_fine_tuning_by_the_original_brings_accuracy_back(tmp_path):
    tight = {"task": {"budget": 0.15, "curve": []}}
    bare = zoo.run("digits_svd", overrides=tight, out=tmp_path / "bare", console=Console(quiet=True))
    tuned = zoo.run(
        "digits_svd",
        overrides={"task": {**tight["task"], "finetune": True}, "train": {"epochs": 3, "batch_size": 32, "lr": 0.003}, "device": "cpu"},
        out=tmp_path / "tuned",
        console=Console(quiet=True),
    )
    assert tuned.record.structure == bare.record.structure and tuned.metrics["accuracy"] > bare.metrics["accuracy"] + 0.02


def test_batch_norms_see_the_calibration_pictures_again_only_where_that_helps():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    pictures = torch.randn(64, 3, 9, 9) * 3 + 1
    model.train()
    for _ in range(50):
        model(pictures)
    compressor = Compressor(model, pictures)
    found = compressor.compressed({"0": 1})
    bare = copy.deepcopy(compressor.model)
    bare[0] = filled(compressor.layers["0"], compressor.decomposition("0").pair(1))
    assert compressor.divergence(found) <= compressor.divergence(bare.eval())
    assert found[1].momentum == 0.1 and not found.training


def test_calibration_pictures_are_drawn_by_their_seed():
    ready = prepare(resolve(registry(), "digits_svd"), Console(quiet=True))
    train = ready.data.part("train")
    one, labels = calibration(train, 20, 0)
    same, other = calibration(train, 20, 0)[0], calibration(train, 20, 1)[0]
    assert torch.equal(one, same) and not torch.equal(one, other) and len(labels) == len(one) == 20
    everything = torch.cat([batch.inputs for batch in train.batches(500)])
    assert torch.equal(calibration(train, 10_000, 0)[0], everything)


def test_a_run_says_which_network_and_data_its_weights_are_of(tmp_path):
    settings = {"dataset": {"name": "digits", "holdout": 0.5}, "device": "cpu", "train": {"epochs": 1}, "name": "trained"}
    zoo.run("lenet", overrides=settings, console=Console(quiet=True))
    config = resolve(registry(), "svd_compress", overrides={"weights": "trained"})
    assert config.task.name == "svd/svd_compress"
    assert (config.architecture.name, config.dataset.name, config.dataset.holdout) == ("classics/lenet", "datasets/digits", 0.5)


@pytest.mark.slow
def test_vgg16_with_its_linear_layers_at_1024_and_256_is_2_72_times_smaller_and_so_is_its_file(tmp_path):
    """R. Girshick's Fast R-CNN (2015), section 4.4, truncates fc6 and fc7 so."""
    from zoo_onnx.exporter import build

    from zoo.api import EmitRequest
    from zoo.config import Section
    from zoo.models import build_model

    torch.manual_seed(0)
    model = build_model(registry(), Section(name="torchvision/vgg16"), in_channels=3, num_classes=1000, image_size=(224, 224)).eval()
    before = count_parameters(model)[0]
    build().emit(model, torch.zeros(2, 3, 224, 224), tmp_path / "before.onnx", EmitRequest(None, None, {}))
    compressor = Compressor(model, torch.randn(2, 3, 224, 224), "plain")
    found = compressor.compressed({"classifier.0": 1024, "classifier.3": 256})
    after = count_parameters(found)[0]
    assert (round(after / 1e6, 1), round(before / after, 2)) == (50.8, 2.72)
    build().emit(found, torch.zeros(2, 3, 224, 224), tmp_path / "after.onnx", EmitRequest(None, None, {}))
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("before", "after")]
    assert sizes[0] / sizes[1] == pytest.approx(2.72, abs=0.01)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        due = found(pictures).numpy()
    np.testing.assert_allclose(build().runner(tmp_path / "after.onnx", "cpu")(pictures.numpy()), due, atol=1e-4 * np.abs(due).max())
