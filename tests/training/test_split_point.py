"""Where a partly frozen network is cut: as late as nothing learns, nothing is left to chance, and one image does not
hear of another."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from zoo.training.split_point import find_split_point


def frozen_but(model: nn.Module, *learning: str) -> nn.Module:
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for name in learning:
        for parameter in model.get_submodule(name).parameters():
            parameter.requires_grad_(True)
    return model


def with_frozen_norms(model: nn.Module) -> None:
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def cut_of(model: nn.Module, *, head: str | None = None, mode=with_frozen_norms):
    torch.manual_seed(3)
    return find_split_point(model, torch.randn(3, 3, 8, 8), head, mode)


def sequence(*, dropout_first: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(144, 32),
        nn.ReLU(inplace=True),
    ]
    if dropout_first:
        layers.insert(0, nn.Dropout(0.5))
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(32, 16), nn.ReLU(inplace=True), nn.Linear(16, 2))


class Residual(nn.Module):
    """A sum around a layer: between its branches there is no single value to cut at."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.three, self.head = (
            nn.Conv2d(3, 3, 1),
            nn.Conv2d(3, 3, 1),
            nn.Conv2d(3, 3, 1),
            nn.Linear(192, 2),
        )

    def forward(self, x):
        x = self.one(x)
        return self.head((x + self.three(self.two(x))).flatten(1))


class Branching(nn.Module):
    """Its forward asks for a value, which no tracing follows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.parts = nn.Linear(192, 8), nn.ModuleDict({"head": nn.Linear(8, 2)})

    def forward(self, x):
        x = self.backbone(x.flatten(1))
        if x.sum() > 1e9:
            x = -x
        return self.parts["head"](x)


class Noisy(Branching):
    def forward(self, x):
        x = F.dropout(self.backbone(x.flatten(1)), 0.5, training=self.training)
        if x.sum() > 1e9:
            x = -x
        return self.parts["head"](x)


class WithHead(nn.Module):
    """An auxiliary classifier in training, whose dropout draws from the generator first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.drop = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Dropout(0.5)
        self.aux, self.fc = nn.Linear(256, 2), nn.Linear(256, 2)

    def forward(self, x):
        x = self.one(x)
        aux = self.aux(F.dropout(x.flatten(1), 0.7, self.training)) if self.training else None
        logits = self.fc(self.drop(self.two(x).flatten(1)))
        return logits if aux is None else {"output": logits, "aux": aux}


@pytest.mark.parametrize(
    ("model", "learning", "layer", "shape"),
    [
        (sequence(), ["9"], "5", (32,)),  # the dropout after it is another each time
        (sequence(), ["7", "9"], "5", (32,)),
        (sequence(), ["4", "7", "9"], "3", (144,)),
        (Residual(), ["head"], "flatten", (192,)),
        (Residual(), ["three", "head"], "one", (3, 8, 8)),
        (Residual(), ["two", "head"], "one", (3, 8, 8)),
    ],
)
def test_the_cut_is_the_last_value_that_is_the_same_each_time(model, learning, layer, shape) -> None:
    point = cut_of(frozen_but(copy.deepcopy(model), *learning))
    assert (point.layer, point.shape) == (layer, shape)


@pytest.mark.parametrize(
    ("model", "learning"),
    [
        (sequence(dropout_first=True), ["9"]),
        (sequence(), ["0", "9"]),
        (Noisy(), ["parts.head"]),
        (Branching(), ["backbone", "parts.head"]),
    ],
)
def test_a_network_without_such_a_value_has_no_cut(model, learning) -> None:
    assert cut_of(frozen_but(model, *learning), head="parts.head" if isinstance(model, Branching) else None) is None


def test_a_norm_that_learns_its_statistics_hears_of_the_whole_batch_so_it_is_not_cut_after() -> None:
    point = cut_of(frozen_but(sequence(), "9"), mode=nn.Module.train)
    assert point.layer == "0"


def test_a_forward_that_cannot_be_followed_is_cut_before_its_head() -> None:
    model = frozen_but(Branching(), "parts.head")
    point = cut_of(model, head="parts.head")
    assert (point.layer, point.shape) == ("the input of parts.head", (8,))
    assert isinstance(model.parts["head"], nn.Linear)
    assert point.head_of(model) is model.parts["head"]


def test_a_frozen_auxiliary_classifier_is_left_out_and_one_that_learns_is_not() -> None:
    silent = cut_of(frozen_but(WithHead(), "fc"))
    assert (silent.layer, silent.silent_heads) == ("flatten_1", True) or silent.layer.startswith("flatten")
    heard = cut_of(frozen_but(WithHead(), "fc", "aux"))
    assert heard is None or (heard.layer == "one" and not heard.silent_heads)


def test_backbone_and_head_are_the_network_and_gradients_reach_its_own_parameters() -> None:
    model = frozen_but(sequence(), "7", "9")
    point, images = cut_of(model), torch.randn(5, 3, 8, 8)
    trained = point.head_of(model)
    with_frozen_norms(model)
    trained.train()
    torch.manual_seed(1)
    due = model(images)
    due.square().sum().backward()
    gradients = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    features = point.backbone.eval()(images)
    with_frozen_norms(model)
    torch.manual_seed(1)
    found = trained(features)
    found.square().sum().backward()
    torch.testing.assert_close(found, due)
    assert set(gradients) == {"7.weight", "7.bias", "9.weight", "9.bias"}
    for name, each in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(each.grad, gradients[name])


def test_the_head_of_another_network_of_the_kind_has_its_weights() -> None:
    model = frozen_but(sequence(), "9")
    point, other = cut_of(model), copy.deepcopy(model)
    nn.init.zeros_(other[9].weight)
    nn.init.ones_(other[9].bias)
    assert point.head_of(other.eval()).eval()(torch.randn(2, 32)).tolist() == [[1, 1], [1, 1]]


def test_looking_for_a_cut_leaves_modes_buffers_and_chance_as_they_were() -> None:
    model = frozen_but(sequence(), "9")
    model[6].eval()
    modes, buffers = (
        [module.training for module in model.modules()],
        {name: each.clone() for name, each in model.named_buffers()},
    )
    images = torch.randn(3, 3, 8, 8)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    find_split_point(model, images, None, nn.Module.train)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(each, buffers[name]) for name, each in model.named_buffers())
