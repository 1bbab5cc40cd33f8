"""Networks made smaller: the algebra of forms, the sharing of a budget, fitting, and runs."""

from __future__ import annotations

import copy
import csv
import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F
from torchvision.models import SwinTransformer, VisionTransformer
from zoo_svd import refitting
from zoo_svd.allocation import Harm, Option, allocate, spent, steps, uniform, worthwhile
from zoo_svd.compression import Compressor
from zoo_svd.decompositions import decompose
from zoo_svd.forms import Choice, candidates, empty, filled, forms_of, macs_of, pays, restructured, to_json, weights_of
from zoo_svd.latency import Stopwatch, deployed
from zoo_svd.network_task import calibration
from zoo_svd.options import CONVOLUTIONS
from zoo_svd.places import channels_of, patches, rows_of
from zoo_svd.seen import Moments, look

import zoo
from zoo.console import Console
from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.loading import load_shipped
from zoo.models import count_macs, count_parameters
from zoo.registry import registry
from zoo.resolve import resolve
from zoo.runner import prepare

LAYERS = [
    (nn.Linear(30, 20), (30,)),
    (nn.Linear(30, 20, bias=False), (30,)),
    (nn.Conv2d(6, 20, 1), (6, 9, 9)),
    (nn.Conv2d(6, 20, 3, padding=1), (6, 9, 9)),
    (nn.Conv2d(6, 20, (3, 5), stride=2, dilation=(2, 1), bias=False), (6, 15, 15)),
    (nn.Conv2d(6, 20, (5, 3), stride=(1, 2), padding=(2, 0)), (6, 15, 15)),
    (nn.Conv2d(6, 20, 3, padding="same"), (6, 9, 9)),
    (nn.Conv2d(6, 20, 3, padding=1, padding_mode="reflect"), (6, 9, 9)),
]


@pytest.fixture(scope="module")
def trained_digits():
    ready = prepare(resolve(registry(), "digits_svd"), Console(quiet=True))
    return ready.task._original, calibration(ready.data.part("train"), 200, 0)[0]


FORMS = [(layer, shape, form) for layer, shape in LAYERS for form in forms_of(layer)]


def inputs_of(shape, count=64):
    """Inputs that lie near a few directions, off zero: what a covariance is worth knowing for."""
    numbers = torch.Generator().manual_seed(0)
    flat = int(np.prod(shape))
    mixed = torch.randn(count, 4, generator=numbers) @ torch.randn(4, flat, generator=numbers)
    return (mixed + 0.1 * torch.randn(count, flat, generator=numbers) + 1).reshape(count, *shape)


def decomposition(layer, form, method, inputs):
    return decompose(layer, form, look(layer, {"": layer}, inputs.split(16))[""] if method == "responses" else None)


def chain(layer, form, found, ranks):
    return filled(layer, Choice(form, ranks), *found.weights(ranks))


@pytest.mark.parametrize(("layer", "shape", "form"), FORMS)
@pytest.mark.parametrize("method", ["plain", "responses"])
def test_all_components_together_are_the_layer(layer, shape, form, method):
    inputs = inputs_of(shape)
    found = decomposition(layer, form, method, inputs)
    ranks = tuple(len(spectrum) for spectrum in found.spectra)
    with torch.no_grad():
        torch.testing.assert_close(chain(layer, form, found, ranks)(inputs), layer(inputs), rtol=1e-3, atol=2e-3)
    assert found.lost(ranks) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("layer", "shape", "form"), FORMS)
def test_what_a_form_costs_is_what_torch_counts(layer, shape, form):
    ranks = (3, 4) if form == "tucker" else (4,)
    smaller = empty(layer, Choice(form, ranks))
    assert weights_of(layer, Choice(form, ranks)) == sum(each.weight.numel() for each in smaller)
    if len(shape) == 3:
        assert macs_of(layer, Choice(form, ranks), shape) == count_macs(smaller, shape)
    with torch.no_grad():
        assert smaller(inputs_of(shape)).shape == layer(inputs_of(shape)).shape


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_by_responses_a_rank_errs_by_just_the_energy_it_leaves_out_and_less_than_plain(layer, shape):
    """The mean squared error over pictures and places is the sum of the eigenvalues left out, where there is a bias to correct."""
    inputs, rank, form = inputs_of(shape), 3, forms_of(layer, ["channels"])[0]
    with torch.no_grad():
        due = layer(inputs)
        errors = {}
        for method in ("responses", "plain"):
            smaller = chain(layer, form, decomposition(layer, form, method, inputs), (rank,))
            errors[method] = float((smaller(inputs) - due).square().sum() / (due.numel() / due.shape[1]))
    assert errors["responses"] < errors["plain"] or layer.bias is None
    if layer.bias is not None:
        covariance = np.cov(rows_of(layer, due).numpy().astype(np.float64).T, bias=True)
        assert errors["responses"] == pytest.approx(float(np.linalg.eigvalsh(covariance)[:-rank].sum()), rel=2e-2, abs=1e-4)


@pytest.mark.parametrize(("form", "ranks"), [("spatial", (4,)), ("tucker", (3, 6))])
def test_the_other_forms_err_less_by_what_they_saw_than_by_weights_alone(form, ranks):
    torch.manual_seed(1)
    layer, inputs = nn.Conv2d(6, 20, 3, padding=1), inputs_of((6, 9, 9))
    with torch.no_grad():
        due = layer(inputs)
        errors = [
            float((chain(layer, form, decomposition(layer, form, method, inputs), ranks)(inputs) - due).square().mean())
            for method in ("responses", "plain")
        ]
    assert errors[0] < 0.85 * errors[1]


def test_a_spatial_form_of_weights_alone_is_the_truncated_svd_of_its_columns():
    """Against numpy: C. Tai et al.: Convolutional neural networks with low-rank regularization (2016), theorem 1."""
    layer = nn.Conv2d(4, 7, (3, 5), bias=False)
    first, second = decompose(layer, "spatial", None).weights((3,))[0]
    found = torch.einsum("rci,orj->ocij", first.reshape(3, 4, 3), second)
    matrix = layer.weight.detach().numpy().transpose(1, 2, 0, 3).reshape(12, 35)
    u, s, vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(found.numpy().transpose(1, 2, 0, 3).reshape(12, 35), (u[:, :3] * s[:3]) @ vt[:3], atol=1e-6)


def test_a_tucker_form_of_weights_alone_is_the_truncated_higher_order_svd():
    """Against numpy: the weights projected onto the leading singular vectors of both unfoldings (Kim et al. 2016, section 3.1)."""
    layer = nn.Conv2d(6, 8, 3, bias=False)
    first, middle, last = decompose(layer, "tucker", None).weights((3, 5))[0]
    found = torch.einsum("mr,rsij,sc->mcij", last, middle, first).numpy()
    kernel = layer.weight.detach().numpy().astype(np.float64)
    out = np.linalg.svd(kernel.reshape(8, -1))[0][:, :5]
    into = np.linalg.svd(kernel.transpose(1, 0, 2, 3).reshape(6, -1))[0][:, :3]
    due = np.einsum("ma,na,ncij,cb,db->mdij", out, out, kernel, into, into)
    np.testing.assert_allclose(found, due, atol=1e-6)


def test_what_a_layer_sees_are_means_and_covariances_over_pictures_and_places():
    layer, inputs = nn.Conv2d(3, 5, 3, padding=1, stride=2), torch.randn(12, 3, 8, 9)
    seen = look(layer, {"": layer}, inputs.split(5))[""]
    columns = F.unfold(inputs, (3, 1), padding=(1, 0), stride=(2, 1)).transpose(1, 2).reshape(-1, 9)
    for moments, rows in ((seen.answers, rows_of(layer, layer(inputs).detach())), (seen.channels, channels_of(inputs)), (seen.columns, columns)):
        due = rows.numpy().astype(np.float64)
        np.testing.assert_allclose(moments.mean, due.mean(0), atol=1e-6)
        np.testing.assert_allclose(moments.covariance, np.cov(due.T, bias=True), atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(layer, shape) for layer, shape in LAYERS if getattr(layer, "padding_mode", "zeros") == "zeros" and layer is not LAYERS[6][0]],
)
def test_patches_times_weights_are_the_answers_at_the_same_places(layer, shape):
    inputs = torch.randn(5, *shape)
    with torch.no_grad():
        due = rows_of(layer, layer(inputs), 4)
        found = patches(layer, inputs, 4) @ layer.weight.flatten(1).T + (0 if layer.bias is None else layer.bias)
    torch.testing.assert_close(found, due, rtol=1e-4, atol=1e-5)
    assert len(due) == 5 * (16 if len(shape) == 3 else 1)


def test_moments_do_not_mind_how_rows_are_shared_out():
    rows, one, other = torch.randn(100, 4), Moments(), Moments()
    one.add(rows)
    for few in rows.split(7):
        other.add(few)
    torch.testing.assert_close(one.covariance, other.covariance)


def test_what_cannot_become_smaller_is_no_candidate():
    model = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(1, 1, 1), nn.Linear(1, 5), nn.Linear(9, 7), nn.BatchNorm2d(3))
    assert list(candidates(model)) == ["3"]
    linear = nn.Linear(7, 9)
    assert pays(linear, Choice("linear", (3,))) and not pays(linear, Choice("linear", (4,)))


def test_forms_that_a_layer_cannot_take_are_not_offered():
    assert forms_of(nn.Linear(3, 4)) == ("linear",)
    assert forms_of(nn.Conv2d(3, 4, 1)) == forms_of(nn.Conv2d(3, 4, (3, 1))) == ("channels",)
    assert forms_of(nn.Conv2d(3, 4, 3)) == CONVOLUTIONS
    assert forms_of(nn.Conv2d(3, 4, 3, padding="same")) == ("channels", "tucker")
    assert forms_of(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), ["spatial"]) == ("channels",)


def test_the_structure_alone_gives_the_same_shapes():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(72, 10))
    choices = {"0": Choice("channels", (2,)), "1": Choice("spatial", (3,)), "2": Choice("tucker", (2, 3)), "4": Choice("linear", (4,))}
    rebuilt = restructured(copy.deepcopy(model), to_json(choices))
    due = Compressor(model, torch.randn(8, 3, 15, 15)).compressed(choices)
    assert {name: each.shape for name, each in rebuilt.state_dict().items()} == {name: each.shape for name, each in due.state_dict().items()}


def test_the_structure_of_a_run_from_before_there_were_forms_is_understood():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 10))
    found = restructured(model, {"ranks": {"0": 2, "2": 4}})
    assert [tuple(each.weight.shape) for each in (*found[0], *found[2])] == [(2, 3, 3, 3), (8, 2, 1, 1), (4, 72), (10, 4)]


def test_eight_bits_are_those_of_the_quantizer_and_near_the_network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 50)).eval()
    pictures = torch.randn(40, 3, 8, 8)
    item = next(iter(registry().items("exporter")))
    whole, small = deployed(item, model, (3, 8, 8)), deployed(item, model, (3, 8, 8), pictures)
    with torch.no_grad():
        due = model(pictures)
        torch.testing.assert_close(whole(pictures), due, rtol=1e-4, atol=1e-5)
        error = (small(pictures) - due).abs().max() / due.abs().max()
    assert 1e-4 < error < 0.05 and small.size < 0.4 * whole.size


def test_a_layer_that_is_like_another_is_timed_once():
    watch = Stopwatch(2)
    first = watch(nn.Linear(8, 4), (8,))
    assert first > 0 and watch(nn.Linear(8, 4), (8,)) == first and len(watch._known) == 1
    assert watch(nn.Conv2d(3, 4, 3), (3, 9, 9)) > 0 and len(watch._known) == 2


# --------------------------------------------------------------------------------------------------------------------------- fitting


def test_a_fit_is_the_least_squares_of_scipy_and_lessens_what_was_lacking():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 1)).eval()
    pictures = torch.randn(400, 6)
    smaller = copy.deepcopy(model)
    smaller[0] = nn.Sequential(nn.Linear(6, 1, bias=False), nn.Linear(1, 6))
    smaller[0][0].weight.data.copy_(model[0].weight[:1])
    due = refitting.answers(model, {"0": model[0]}, pictures.split(16))
    with torch.no_grad():
        given, wanted = smaller[0][0](pictures)[:, 0].numpy(), model[0](pictures).numpy()
    refitting.refit(smaller, ["0"], due, pictures.split(16))
    fitted = smaller[0][1].state_dict()
    for output in range(6):
        line = stats.linregress(given, wanted[:, output])
        assert float(fitted["weight"][output, 0]) == pytest.approx(line.slope, abs=5e-3)
        assert float(fitted["bias"][output]) == pytest.approx(line.intercept, abs=5e-3)


def test_layers_behind_smaller_ones_are_fitted_to_what_arrives_there(trained_digits):
    model, pictures = trained_digits
    compressor = Compressor(model, pictures)
    choices = {**dict.fromkeys(compressor.layers), "conv1": Choice("spatial", (2,)), "conv2": Choice("channels", (2,)), "fc1": Choice("linear", (4,))}
    bare = copy.deepcopy(compressor.model)
    for name in ("conv1", "conv2", "fc1"):
        setattr(bare, name, compressor._filled(name, choices[name]))
    assert compressor.divergence(compressor.compressed(choices)) < 0.85 * compressor.divergence(bare)


@pytest.mark.parametrize(
    "network",
    [
        lambda: VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=5),
        lambda: SwinTransformer([4, 4], 16, depths=[1, 1], num_heads=[2, 2], window_size=[2, 2], num_classes=5),
    ],
)
def test_transformers_too_are_made_smaller(network):
    """Linear layers over tokens, of three and four dimensions; torch's attention uses the weights of a layer that it does not call."""
    torch.manual_seed(0)
    model, pictures = network().eval(), torch.randn(24, 3, 32, 32)
    torch.nn.init.normal_((model.heads if hasattr(model, "heads") else model.head).parameters().__next__(), std=0.5)
    compressor = Compressor(copy.deepcopy(model), pictures)
    assert len(compressor.layers) > 4 and not any("out_proj" in name for name in compressor.layers)
    choices = compressor.choices(0.6, compressor.menus(measured=True))
    smaller = compressor.compressed(choices)
    assert compressor.divergence(smaller) < compressor.divergence(Compressor(model, pictures, "plain").compressed(choices))
    rebuilt = restructured(copy.deepcopy(model), to_json(choices))
    rebuilt.load_state_dict(smaller.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(rebuilt.eval()(pictures), smaller(pictures))


def test_what_is_due_takes_no_more_memory_than_it_may(monkeypatch):
    model, pictures = nn.Sequential(nn.Conv2d(3, 10, 3, padding=1)).eval(), torch.randn(20, 3, 30, 30)
    assert len(refitting.answers(model, {"0": model[0]}, pictures.split(10)).answers["0"][0]) == 10 * 64
    monkeypatch.setattr(refitting, "KEPT_BYTES", 4 * 20 * 10 * 11)
    due = refitting.answers(model, {"0": model[0]}, pictures.split(10))
    assert due.grid == 3 and len(due.answers["0"][0]) == 10 * 9


def test_a_layer_of_too_few_answers_and_one_that_is_used_twice_stay_as_they_were():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, inputs):
            return self.one(self.two(self.one(inputs)))

    model, pictures = Twice().eval(), torch.randn(3, 4)
    due = refitting.answers(model, {"one": model.one, "two": model.two}, [pictures])
    assert list(due.answers) == ["two"]
    smaller = copy.deepcopy(model)
    smaller.two = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Linear(1, 4))
    before = copy.deepcopy(smaller.state_dict())
    refitting.refit(smaller, ["two"], due, [pictures])
    assert all(torch.equal(before[name], value) for name, value in smaller.state_dict().items())


# --------------------------------------------------------------------------------------------------------------------------- budgets


def menu(rows, columns, harm, *, unit=4.0, decay=0.8, every=False):
    """Of a matrix whose singular values fall by ``decay``."""
    values = decay ** np.arange(min(rows, columns))
    losses = {rank: float(values[rank:].sum() / values.sum()) for rank in (range(1, min(rows, columns)) if every else steps(min(rows, columns)))}
    curve = Harm(((0.5, harm),))
    options = [Option(Choice("linear", (rank,)), unit * rank * (rows + columns), curve(lost), lost) for rank, lost in losses.items()]
    unchanged = Option(None, unit * rows * columns, 0.0, 0.0)
    return [unchanged, *(option for option in options if option.cost < unchanged.cost)]


def rank_of(choice, otherwise):
    return otherwise if choice is None else choice.ranks[0]


@pytest.mark.parametrize("budget", [0.8, 0.5, 0.25, 0.1])
def test_a_budget_is_kept_and_used(budget):
    menus = {"a": menu(64, 128, 1.0), "b": menu(64, 64, 0.01), "c": menu(10, 84, 5.0)}
    choices = allocate(menus, budget)
    assert 0.8 * budget <= spent(menus, choices) <= budget
    assert all(choice is None or choice.ranks[0] < 16 or choice.ranks[0] % 8 == 0 for choice in choices.values())


def test_the_greedy_walk_comes_near_the_best_of_all_choices():
    menus = {"a": menu(12, 20, 1.0, decay=0.5), "b": menu(16, 10, 0.02, decay=0.9), "c": menu(8, 30, 0.3, decay=0.7)}
    for budget in (0.6, 0.4, 0.25):
        allowed = budget * sum(each[0].cost for each in menus.values())
        affordable = (options for options in itertools.product(*menus.values()) if sum(option.cost for option in options) <= allowed)
        best = min(sum(option.harm for option in options) for options in affordable)
        choices = allocate(menus, budget)
        found = sum(option.harm for name, each in menus.items() for option in each if option.choice == choices[name])
        assert found <= 1.25 * best + 1e-9


def test_a_layer_that_matters_more_keeps_more():
    choices = allocate({"harmless": menu(64, 64, 0.001), "vital": menu(64, 64, 10.0)}, 0.4)
    assert rank_of(choices["vital"], 64) > rank_of(choices["harmless"], 64)


def test_of_two_forms_the_one_that_does_less_harm_at_a_cost_is_taken():
    dear = menu(64, 64, 1.0)
    cheap = [Option(Choice("spatial", option.choice.ranks), option.cost, option.harm / 10, option.lost) for option in dear[1:]]
    found = allocate({"a": [*dear, *cheap]}, 0.5)["a"]
    assert found.form == "spatial"


def test_a_budget_that_cannot_be_met_is_told():
    with pytest.raises(UsageError, match=r"a budget of 0\.01 cannot be met.*give at least 0\.125"):
        allocate({"a": menu(16, 16, 1.0)}, 0.01)


def test_the_same_share_for_every_layer():
    found = uniform({"a": menu(64, 128, 1.0, every=True), "b": menu(4, 4, 1.0), "c": [Option(None, 4.0, 0.0, 0.0)]}, 0.5)
    assert found == {"a": Choice("linear", (21,)), "b": Choice("linear", (1,)), "c": None}


def test_what_another_option_beats_in_cost_and_harm_is_left_out():
    options = [Option(None, cost, harm, 0.0) for cost, harm in [(3, 1), (2, 2), (2, 3), (1, 5), (4, 1)]]
    assert [(option.cost, option.harm) for option in worthwhile(options)] == [(3, 1), (2, 2), (1, 5)]


def test_harm_is_read_between_what_was_measured():
    harm = Harm.of([(0.5, 1.0), (0.1, 0.01), (0.3, 0.009)])
    assert harm(0.1) == pytest.approx(0.01) and harm(0.5) == pytest.approx(1.0)
    assert 0.01 <= harm(0.3) < harm(0.4) < 1.0 < harm(0.9)
    assert Harm.of([])(0.25) == pytest.approx(0.25)


# -------------------------------------------------------------------------------------------------------------------------------- runs


def test_the_recipe_halves_a_network_and_it_exports_and_comes_back(tmp_path):
    result = zoo.run("digits_svd", out=tmp_path / "run", console=Console(quiet=True))
    record = result.record
    layers = record.structure["layers"]
    weights = sum(layer.weight.numel() for layer in candidates(load_shipped(registry(), "digits_pretrain").model).values())
    model = zoo.load(result.path)
    after = sum(each.weight.numel() for each in model.modules() if isinstance(each, (nn.Linear, nn.Conv2d)))
    assert after <= 0.5 * weights and record.parameters == count_parameters(model)[0]
    assert result.metrics["accuracy"] > 0.97
    with (result.path / "layers.csv").open(newline="") as stream:
        rows = {row["layer"]: row for row in csv.DictReader(stream)}
    told = {name: str(Choice(facts["form"], tuple(facts["ranks"]))) for name, facts in layers.items()}
    assert {name: row["becomes"] for name, row in rows.items() if row["becomes"] != "–"} == told and told
    assert all(float(row[when]) > 0 for row in rows.values() for when in ("ms before", "ms after"))
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
    assert float(told["accuracy"]["after, in 8 bits"]) > 0.97
    assert all(share <= budget + 1e-4 for share, budget in zip(shares["by responses"], (0.0625, 0.125, 0.25, 0.5), strict=True))
    bundle = zoo.export(str(result.path), out=tmp_path / "bundle")
    assert bundle.verification["real"]["top1_agree"] == 181
    assert [each.title for each in record.exhibits][:3] == ["Before and after", "Layers", "Budgets"]


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
def test_every_way_to_say_how_small(aim):
    ready = prepare(resolve(registry(), "digits_svd", overrides={"task": {"budget": None, **aim}}), Console(quiet=True))
    layers = {name: Choice(facts["form"], tuple(facts["ranks"])) for name, facts in ready.structure["layers"].items()}
    original, compressor = load_shipped(registry(), "digits_pretrain").model, ready.task._compressor
    if "energy" in aim:
        assert all(1 - compressor.decomposition(name, choice.form).lost(choice.ranks) >= 0.9 for name, choice in layers.items())
    elif aim.get("of") == "macs":
        whole, after = (sum(compressor.cost(name, choices.get(name)) for name in compressor.layers) for choices in ({}, layers))
        assert after <= 0.5 * whole and count_macs(original, ready.data.preprocessing.shape) - whole + after == count_macs(
            ready.model, ready.data.preprocessing.shape
        )
    elif "ranks" in aim:
        due = {"conv2": Choice("tucker", (2, 3))} if "forms" not in aim else {"fc1": Choice("linear", (7,)), "conv2": Choice("spatial", (3,))}
        assert layers == due
    elif "forms" in aim:
        assert {choice.form for choice in layers.values()} == {"channels", "linear"}
    assert count_parameters(ready.model)[0] < count_parameters(original)[0]


def test_of_milliseconds_the_form_that_is_faster_on_this_machine_is_taken(trained_digits):
    """Where k×1 and 1×k take a tenth of what the other forms do, though they are as large."""
    model, pictures = trained_digits
    seen = []

    def watch(module, shape):
        seen.append(shape)
        kernels = [tuple(each.kernel_size) for each in module.modules() if isinstance(each, nn.Conv2d)]
        size = sum(each.weight.numel() for each in module.modules() if isinstance(each, (nn.Linear, nn.Conv2d)))
        return size * (0.1 if (5, 1) in kernels else 1.0)

    compressor = Compressor(model, pictures, of="ms", stopwatch=watch)
    menus = compressor.menus(measured=True)
    choices = compressor.choices(0.5, menus)
    assert {choice.form for name, choice in choices.items() if choice and name.startswith("conv")} == {"spatial"}
    assert spent(menus, choices) <= 0.5 and (1, 28, 28) in seen


@pytest.mark.parametrize(("curve", "measured"), [([0.5], True), ([], False)])
def test_what_the_picture_of_budgets_shows_is_measured_however_small_was_said(curve, measured):
    ready = prepare(resolve(registry(), "digits_svd", overrides={"task": {"budget": None, "energy": 0.9, "curve": curve}}), Console(quiet=True))
    known = [option for each in ready.task._menus.values() for option in each[1:]]
    assert known and any(option.harm != pytest.approx(option.lost) for option in known) == measured


@pytest.mark.parametrize(
    ("task", "error", "words"),
    [
        ({"budget": 0.5, "energy": 0.9}, ConfigError, "budget, energy, max_drop and ranks each say how small: give one of them"),
        ({"budget": 0.001}, UsageError, "a budget of 0.001 cannot be met"),
        ({"budget": None, "ranks": {"fc9": 3}}, UsageError, "no layer 'fc9' that could be factorised.*for example: fc"),
        ({"budget": None, "ranks": {"fc1": 33}}, UsageError, "linear 33 would make 'fc1' no smaller: of 4,800 weights it makes 4,818"),
        ({"budget": None, "ranks": {"fc1": [3, 3]}}, UsageError, "'fc1' takes one rank"),
        ({"budget": None, "ranks": {"conv2": [9, 2]}}, UsageError, "'conv2' has no ranks above 6, 6"),
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
    choices = {"0": Choice("channels", (1,)), "5": None}
    found = compressor.compressed(choices)
    bare = copy.deepcopy(compressor.model)
    bare[0] = compressor._filled("0", choices["0"])
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


def test_a_run_that_was_made_smaller_is_no_start_and_what_is_one_is_told():
    zoo.run("digits_svd", overrides={"name": "small", "task": {"curve": []}}, console=Console(quiet=True))
    with pytest.raises(CheckpointError, match=r"do not fit.*svd_compress of that run changed the network; start from.*digits_0_to_4"):
        prepare(resolve(registry(), "svd_compress", overrides={"weights": "small"}), Console(quiet=True))


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
    found = compressor.compressed(
        {**dict.fromkeys(compressor.layers), "classifier.0": Choice("linear", (1024,)), "classifier.3": Choice("linear", (256,))}
    )
    after = count_parameters(found)[0]
    assert (round(after / 1e6, 1), round(before / after, 2)) == (50.8, 2.72)
    build().emit(found, torch.zeros(2, 3, 224, 224), tmp_path / "after.onnx", EmitRequest(None, None, {}))
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("before", "after")]
    assert sizes[0] / sizes[1] == pytest.approx(2.72, abs=0.01)
    pictures = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        due = found(pictures).numpy()
    np.testing.assert_allclose(build().runner(tmp_path / "after.onnx", "cpu")(pictures.numpy()), due, atol=1e-4 * np.abs(due).max())
