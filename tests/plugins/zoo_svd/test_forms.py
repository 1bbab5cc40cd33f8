"""The forms of layers: their algebra against numpy, their costs against torch, what is seen of layers."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zoo_svd.compression import Compressor
from zoo_svd.decompositions import decompose
from zoo_svd.forms import Choice, candidates, empty, filled, forms_of, macs_of, pays, restructured, to_json, weights_of
from zoo_svd.options import CONVOLUTIONS
from zoo_svd.places import channels_of, patches, rows_of
from zoo_svd.seen import Moments, look

from zoo.models.building import count_macs

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
def test_all_components_together_are_the_layer(layer, shape, form, method) -> None:
    inputs = inputs_of(shape)
    found = decomposition(layer, form, method, inputs)
    ranks = tuple(len(spectrum) for spectrum in found.spectra)
    with torch.no_grad():
        torch.testing.assert_close(chain(layer, form, found, ranks)(inputs), layer(inputs), rtol=1e-3, atol=2e-3)
    assert found.lost(ranks) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("layer", "shape", "form"), FORMS)
def test_what_a_form_costs_is_what_torch_counts(layer, shape, form) -> None:
    ranks = (3, 4) if form == "tucker" else (4,)
    smaller = empty(layer, Choice(form, ranks))
    assert weights_of(layer, Choice(form, ranks)) == sum(each.weight.numel() for each in smaller)
    if len(shape) == 3:
        assert macs_of(layer, Choice(form, ranks), shape) == count_macs(smaller, shape)
    with torch.no_grad():
        assert smaller(inputs_of(shape)).shape == layer(inputs_of(shape)).shape


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_by_responses_a_rank_errs_by_just_the_energy_it_leaves_out_and_less_than_plain(layer, shape) -> None:
    """The mean squared error over images and places is the sum of the eigenvalues left out, where there is a bias to
    correct."""
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
        assert errors["responses"] == pytest.approx(
            float(np.linalg.eigvalsh(covariance)[:-rank].sum()), rel=2e-2, abs=1e-4
        )


@pytest.mark.parametrize(("form", "ranks"), [("spatial", (4,)), ("tucker", (3, 6))])
def test_the_other_forms_err_less_by_what_they_saw_than_by_weights_alone(form, ranks) -> None:
    torch.manual_seed(1)
    layer, inputs = nn.Conv2d(6, 20, 3, padding=1), inputs_of((6, 9, 9))
    with torch.no_grad():
        due = layer(inputs)
        errors = [
            float((chain(layer, form, decomposition(layer, form, method, inputs), ranks)(inputs) - due).square().mean())
            for method in ("responses", "plain")
        ]
    assert errors[0] < 0.85 * errors[1]


def test_a_spatial_form_of_weights_alone_is_the_truncated_svd_of_its_columns() -> None:
    """Against numpy: C. Tai et al.: Convolutional neural networks with low-rank regularization (2016), theorem 1."""
    layer = nn.Conv2d(4, 7, (3, 5), bias=False)
    first, second = decompose(layer, "spatial", None).weights((3,))[0]
    found = torch.einsum("rci,orj->ocij", first.reshape(3, 4, 3), second)
    matrix = layer.weight.detach().numpy().transpose(1, 2, 0, 3).reshape(12, 35)
    u, s, vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(
        found.numpy().transpose(1, 2, 0, 3).reshape(12, 35), (u[:, :3] * s[:3]) @ vt[:3], atol=1e-6
    )


def test_a_tucker_form_of_weights_alone_is_the_truncated_higher_order_svd() -> None:
    """Against numpy: the weights projected onto the leading singular vectors of both unfoldings (Kim et al. 2016,
    section 3.1)."""
    layer = nn.Conv2d(6, 8, 3, bias=False)
    first, middle, last = decompose(layer, "tucker", None).weights((3, 5))[0]
    found = torch.einsum("mr,rsij,sc->mcij", last, middle, first).numpy()
    kernel = layer.weight.detach().numpy().astype(np.float64)
    out = np.linalg.svd(kernel.reshape(8, -1))[0][:, :5]
    into = np.linalg.svd(kernel.transpose(1, 0, 2, 3).reshape(6, -1))[0][:, :3]
    due = np.einsum("ma,na,ncij,cb,db->mdij", out, out, kernel, into, into)
    np.testing.assert_allclose(found, due, atol=1e-6)


def test_what_a_layer_sees_are_means_and_covariances_over_images_and_places() -> None:
    layer, inputs = nn.Conv2d(3, 5, 3, padding=1, stride=2), torch.randn(12, 3, 8, 9)
    seen = look(layer, {"": layer}, inputs.split(5))[""]
    columns = F.unfold(inputs, (3, 1), padding=(1, 0), stride=(2, 1)).transpose(1, 2).reshape(-1, 9)
    for moments, rows in (
        (seen.answers, rows_of(layer, layer(inputs).detach())),
        (seen.channels, channels_of(inputs)),
        (seen.columns, columns),
    ):
        due = rows.numpy().astype(np.float64)
        np.testing.assert_allclose(moments.mean, due.mean(0), atol=1e-6)
        np.testing.assert_allclose(moments.covariance, np.cov(due.T, bias=True), atol=1e-6)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layer, shape)
        for layer, shape in LAYERS
        if getattr(layer, "padding_mode", "zeros") == "zeros" and layer is not LAYERS[6][0]
    ],
)
def test_patches_times_weights_are_the_answers_at_the_same_places(layer, shape) -> None:
    inputs = torch.randn(5, *shape)
    with torch.no_grad():
        due = rows_of(layer, layer(inputs), 4)
        found = patches(layer, inputs, 4) @ layer.weight.flatten(1).T + (0 if layer.bias is None else layer.bias)
    torch.testing.assert_close(found, due, rtol=1e-4, atol=1e-5)
    assert len(due) == 5 * (16 if len(shape) == 3 else 1)


def test_moments_do_not_mind_how_rows_are_shared_out() -> None:
    rows, one, other = torch.randn(100, 4), Moments(), Moments()
    one.add(rows)
    for few in rows.split(7):
        other.add(few)
    torch.testing.assert_close(one.covariance, other.covariance)


def test_what_cannot_become_smaller_is_no_candidate() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(1, 1, 1), nn.Linear(1, 5), nn.Linear(9, 7), nn.BatchNorm2d(3)
    )
    assert list(candidates(model)) == ["3"]
    linear = nn.Linear(7, 9)
    assert pays(linear, Choice("linear", (3,))) and not pays(linear, Choice("linear", (4,)))


def test_forms_that_a_layer_cannot_take_are_not_offered() -> None:
    assert forms_of(nn.Linear(3, 4)) == ("linear",)
    assert forms_of(nn.Conv2d(3, 4, 1)) == forms_of(nn.Conv2d(3, 4, (3, 1))) == ("channels",)
    assert forms_of(nn.Conv2d(3, 4, 3)) == CONVOLUTIONS
    assert forms_of(nn.Conv2d(3, 4, 3, padding="same")) == ("channels", "tucker")
    assert forms_of(nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), ["spatial"]) == ("channels",)


def test_the_structure_alone_gives_the_same_shapes() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 8, 3), nn.Flatten(), nn.Linear(72, 10)
    )
    choices = {
        "0": Choice("channels", (2,)),
        "1": Choice("spatial", (3,)),
        "2": Choice("tucker", (2, 3)),
        "4": Choice("linear", (4,)),
    }
    rebuilt = restructured(copy.deepcopy(model), to_json(choices))
    due = Compressor(model, torch.randn(8, 3, 15, 15)).compressed(choices)
    assert {name: each.shape for name, each in rebuilt.state_dict().items()} == {
        name: each.shape for name, each in due.state_dict().items()
    }


def test_the_structure_of_a_run_from_before_there_were_forms_is_understood() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(72, 10))
    found = restructured(model, {"ranks": {"0": 2, "2": 4}})
    assert [tuple(each.weight.shape) for each in (*found[0], *found[2])] == [
        (2, 3, 3, 3),
        (8, 2, 1, 1),
        (4, 72),
        (10, 4),
    ]
