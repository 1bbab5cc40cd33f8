"""Smaller layers fitted to what arrives, batch norms taken anew, and the form that is faster."""

from __future__ import annotations

import copy

import pytest
import torch
from scipy import stats
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer
from zoo_svd import refitting
from zoo_svd.allocation import spent
from zoo_svd.compression import Compressor
from zoo_svd.forms import Choice, restructured, to_json


def test_a_fit_is_the_least_squares_of_scipy_and_lessens_what_was_lacking() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 1)).eval()
    images = torch.randn(400, 6)
    smaller = copy.deepcopy(model)
    smaller[0] = nn.Sequential(nn.Linear(6, 1, bias=False), nn.Linear(1, 6))
    smaller[0][0].weight.data.copy_(model[0].weight[:1])
    due = refitting.answers(model, {"0": model[0]}, images.split(16))
    with torch.no_grad():
        given, wanted = smaller[0][0](images)[:, 0].numpy(), model[0](images).numpy()
    refitting.refit(smaller, ["0"], due, images.split(16))
    fitted = smaller[0][1].state_dict()
    for output in range(6):
        line = stats.linregress(given, wanted[:, output])
        assert float(fitted["weight"][output, 0]) == pytest.approx(line.slope, abs=5e-3)
        assert float(fitted["bias"][output]) == pytest.approx(line.intercept, abs=5e-3)


def test_layers_behind_smaller_ones_are_fitted_to_what_arrives_there(trained_digits) -> None:
    model, images = trained_digits
    compressor = Compressor(model, images)
    choices = {
        **dict.fromkeys(compressor.layers),
        "conv1": Choice("spatial", (2,)),
        "conv2": Choice("channels", (2,)),
        "fc1": Choice("linear", (4,)),
    }
    bare = copy.deepcopy(compressor.model)
    for name in ("conv1", "conv2", "fc1"):
        setattr(bare, name, compressor.replacement(name, choices[name]))
    assert compressor.divergence(compressor.compressed(choices)) < 0.85 * compressor.divergence(bare)


@pytest.mark.parametrize(
    "network",
    [
        lambda: VisionTransformer(32, 8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64, num_classes=5),
        lambda: SwinTransformer([4, 4], 16, depths=[1, 1], num_heads=[2, 2], window_size=[2, 2], num_classes=5),
    ],
)
def test_transformers_too_are_made_smaller(network) -> None:
    """Linear layers over tokens, of three and four dimensions; torch's attention uses the weights of a layer that it
    does not call."""
    torch.manual_seed(0)
    model, images = network().eval(), torch.randn(24, 3, 32, 32)
    torch.nn.init.normal_((model.heads if hasattr(model, "heads") else model.head).parameters().__next__(), std=0.5)
    compressor = Compressor(copy.deepcopy(model), images)
    assert len(compressor.layers) > 4 and not any("out_proj" in name for name in compressor.layers)
    choices = compressor.choices(0.6, compressor.menus(measured=True))
    smaller = compressor.compressed(choices)
    assert compressor.divergence(smaller) < compressor.divergence(
        Compressor(model, images, "plain").compressed(choices)
    )
    rebuilt = restructured(copy.deepcopy(model), to_json(choices))
    rebuilt.load_state_dict(smaller.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(rebuilt.eval()(images), smaller(images))


def test_what_is_due_takes_no_more_memory_than_it_may(monkeypatch) -> None:
    model, images = nn.Sequential(nn.Conv2d(3, 10, 3, padding=1)).eval(), torch.randn(20, 3, 30, 30)
    assert len(refitting.answers(model, {"0": model[0]}, images.split(10)).answers["0"][0]) == 10 * 64
    monkeypatch.setattr(refitting, "KEPT_BYTES", 4 * 20 * 10 * 11)
    due = refitting.answers(model, {"0": model[0]}, images.split(10))
    assert due.grid == 3 and len(due.answers["0"][0]) == 10 * 9


def test_a_layer_of_too_few_answers_and_one_that_is_used_twice_stay_as_they_were() -> None:
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, inputs):
            return self.one(self.two(self.one(inputs)))

    model, images = Twice().eval(), torch.randn(3, 4)
    due = refitting.answers(model, {"one": model.one, "two": model.two}, [images])
    assert list(due.answers) == ["two"]
    smaller = copy.deepcopy(model)
    smaller.two = nn.Sequential(nn.Linear(4, 1, bias=False), nn.Linear(1, 4))
    before = copy.deepcopy(smaller.state_dict())
    refitting.refit(smaller, ["two"], due, [images])
    assert all(torch.equal(before[name], value) for name, value in smaller.state_dict().items())


def test_batch_norms_see_the_calibration_images_again_only_where_that_helps() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)
    )
    images = torch.randn(64, 3, 9, 9) * 3 + 1
    model.train()
    for _ in range(50):
        model(images)
    compressor = Compressor(model, images)
    choices = {"0": Choice("channels", (1,)), "5": None}
    found = compressor.compressed(choices)
    bare = copy.deepcopy(compressor.model)
    bare[0] = compressor.replacement("0", choices["0"])
    assert compressor.divergence(found) <= compressor.divergence(bare.eval())
    assert found[1].momentum == 0.1 and not found.training


def test_of_milliseconds_the_form_that_is_faster_on_this_machine_is_taken(trained_digits) -> None:
    """Where k×1 and 1×k take a tenth of what the other forms do, though they are as large."""
    model, images = trained_digits
    seen = []

    def watch(module, shape, batches):
        seen.append(shape)
        kernels = [tuple(each.kernel_size) for each in module.modules() if isinstance(each, nn.Conv2d)]
        size = sum(each.weight.numel() for each in module.modules() if isinstance(each, (nn.Linear, nn.Conv2d)))
        return [size * (0.1 if (5, 1) in kernels else 1.0) for _ in batches]

    compressor = Compressor(model, images, of="ms", stopwatch=watch)
    menus = compressor.menus(measured=True)
    choices = compressor.choices(0.5, menus)
    assert {choice.form for name, choice in choices.items() if choice and name.startswith("conv")} == {"spatial"}
    assert spent(menus, choices) <= 0.5 and (1, 28, 28) in seen
