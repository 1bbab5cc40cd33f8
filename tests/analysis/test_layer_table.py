"""A network's sums against what its authors published, and against torchvision's records of cost."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from zoo.analysis.layer_table import anatomy, blocks, hints
from zoo.cli.info_network import facts
from zoo.config.run_config import Section
from zoo.models.building import build_model, count_parameters
from zoo.registry.lookup import options_model, registry

LIGHT = ("alexnet", "squeezenet1_1", "mobilenet_v2", "resnet18", "shufflenet_v2_x1_0", "mnasnet1_0")
HEAVY = (
    "vgg11_bn", "vgg16", "googlenet", "inception_v3", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121",
    "mobilenet_v3_large",
    "efficientnet_b0", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t", "maxvit_t",
)  # fmt: skip
PUBLISHED = [*LIGHT, *(pytest.param(name, marks=pytest.mark.slow) for name in HEAVY)]
FIELDS = {"vgg16": 212, "alexnet": 195, "inception_v3": 1311}
"""Receptive fields as Araujo, Norris and Sim (2019) give them."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_sums_are_those_that_torchvision_publishes(name) -> None:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    own = {"googlenet": {"init_weights": False, "aux_logits": False}, "inception_v3": {"init_weights": False}}
    model = torchvision.models.get_model(name, weights=None, **own.get(name, {}))
    (side,) = weights.transforms().crop_size
    found = anatomy(model, (3, side, side))
    assert found.parameters == weights.meta["num_params"]
    assert found.macs / 1e9 == pytest.approx(weights.meta["_ops"], rel=0.01)
    assert sum(layer.parameters for layer in found.layers) == found.parameters == found.trainable
    assert sum(layer.macs for layer in found.layers) == found.macs
    assert sum(size for _, size in blocks(found.layers)) == found.parameters == sum(found.by_kind.values())
    assert found.output == (1000,)
    if name in FIELDS:
        assert dict(facts(found, 1000))["receptive field"].startswith(f"{FIELDS[name]} pixels after ")


SMALL = ("fnn", "cnn", "lenet", "vgg_cifar")


EVERY = [
    pytest.param(item, marks=() if item.spec.name in SMALL else pytest.mark.slow, id=item.canonical)
    for item in registry().items("architecture")
]


@pytest.mark.parametrize("item", EVERY)
def test_every_architecture_can_be_examined(item) -> None:
    channels, *size = item.spec.input
    section = Section(name=item.canonical, **options_model(item)().model_dump())
    model = build_model(
        registry(), section, in_channels=channels, num_outputs=item.spec.num_outputs, image_size=tuple(size)
    )
    found = anatomy(model, item.spec.input)
    assert (found.parameters, found.trainable) == count_parameters(model)
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    assert sum(layer.macs for layer in found.layers) == found.macs
    assert found.output == (item.spec.num_outputs,)
    assert all(layer.axes for layer in found.layers if layer.output is not None), "every layer of a classic is followed"


class Shared(nn.Module):
    """One layer called twice, one whose weights another call uses, one not used at all, and one frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Linear(16, 16)
        self.frozen = nn.Linear(16, 4).requires_grad_(False)
        self.idle = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.borrowed = nn.Linear(4, 4, bias=False)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(torch.relu(self.twice(x.flatten(1))))
        return self.scale * nn.functional.linear(self.frozen(x), self.borrowed.weight)


def test_weights_count_once_and_calls_each_time() -> None:
    model = Shared().train()
    found = anatomy(model, (1, 4, 4))
    assert model.training
    rows = {}
    for layer in found.layers:
        rows.setdefault(layer.name, []).append((layer.parameters, layer.macs, layer.output))
    assert rows["twice"] == [(272, 256, (16,)), (0, 256, (16,))]
    assert rows["borrowed"] == [(16, 0, None)]
    assert rows[""] == [(4, 16, (4,))]
    assert found.macs == 2 * 256 + 64 + 16
    assert found.parameters - found.trainable == 68
    assert found.unused == {"idle": 144}
    assert "idle (144 parameters) is not used in evaluation" in hints(found)


def test_activations_written_in_place_count_once() -> None:
    def bytes_of(*layers: nn.Module) -> int:
        return anatomy(nn.Sequential(*layers), (1, 8, 8)).activation_bytes

    alone = bytes_of(nn.Conv2d(1, 2, 3))
    assert alone == 2 * 6 * 6 * 4
    assert bytes_of(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)) == alone
    assert bytes_of(nn.Conv2d(1, 2, 3), nn.ReLU()) == 2 * alone


def test_attention_is_counted_by_whichever_way_torch_computes_it() -> None:
    """Four projections and the two products: 4·L·E² + 2·L²·E."""

    class Self(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x.flatten(1, 2)
            return self.attention(x, x, x)[0]  # type: ignore[no-any-return]

    length, width = 12, 8
    assert anatomy(Self(), (3, 4, 8)).macs == 4 * length * width**2 + 2 * length**2 * width


def test_hints_tell_what_is_worth_a_thought() -> None:
    found = anatomy(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 10)), (1, 8, 8))
    assert "97% of the parameters are in one Linear, 2" in hints(found)
    deep = nn.Sequential(
        *[nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.MaxPool2d(2)) for _ in range(3)],
        nn.Conv2d(1, 1, 3, padding=1),
    )
    said = "\n".join(hints(anatomy(deep, (1, 8, 8))))
    assert "from 1.1 on, a position sees 10 pixels: more than the image's 8" in said
    assert "at 3 the image is down to 1×1 already" in said


def test_the_largest_block_is_opened_while_there_is_room() -> None:
    model = nn.Sequential(nn.Linear(16, 2), nn.Sequential(nn.Linear(2, 50), nn.Linear(50, 2)))
    layers = anatomy(nn.Sequential(nn.Flatten(), model), (1, 4, 4)).layers
    assert blocks(layers, limit=1) == [("1", 286)]
    assert blocks(layers, limit=2) == [("1.0", 34), ("1.1", 252)]
    assert blocks(layers) == [("1.0", 34), ("1.1.0", 150), ("1.1.1", 102)]


class Branches(nn.Module):
    """Two branches brought together, and one norm that stands in two places."""

    def __init__(self) -> None:
        super().__init__()
        norm = nn.LocalResponseNorm(3)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm, nn.Conv2d(4, 4, 3, padding=1), norm)
        self.narrow, self.wide = nn.Conv2d(4, 5, 1), nn.Conv2d(4, 6, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return torch.cat([self.wide(x), self.narrow(x)], 1).mean((2, 3))


def test_a_module_that_stands_in_two_places_is_called_by_the_name_of_each() -> None:
    names = [layer.name for layer in anatomy(Branches(), (3, 12, 12)).layers]
    assert [name for name in names if name.startswith("stem")] == ["stem.0", "stem.1", "stem.2", "stem.3"]


def test_a_shared_block_names_what_is_inside_by_the_place_it_is_called_in() -> None:
    block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    names = [layer.name for layer in anatomy(nn.Sequential(block, nn.Tanh(), block), (3, 4, 4)).layers]
    assert names == ["0.0", "0.1", "1", "2.0", "2.1"]


def test_a_concatenation_is_a_row_and_its_memory_counts() -> None:
    found = anatomy(Branches(), (3, 12, 12))
    (joined,) = [layer for layer in found.layers if layer.name == "concatenation"]
    assert (joined.kind, joined.output, joined.axes["h"].field) == ("function", (11, 12, 12), 9)
    each = 12 * 12 * 4
    assert found.activation_bytes == (4 * 4 + 5 + 6 + 11) * each


def test_the_receptive_field_is_told_of_the_layer_that_has_it() -> None:
    """The last layer that looks at several positions is the narrow branch's; the widest view is the other's."""
    assert (
        dict(facts(anatomy(Branches(), (3, 12, 12)), 11))["receptive field"]
        == "9 pixels after wide, one every 1 pixels"
    )


@pytest.mark.parametrize(
    "activation", ["Hardswish", "Mish", "PReLU", "LogSigmoid", "GELU", "SELU", "Softsign", "Hardsigmoid", "GLU"]
)
@pytest.mark.parametrize("in_place", [False, True])
def test_activations_are_followed(activation: str, in_place: bool) -> None:
    module = nn.GLU(1) if activation == "GLU" else getattr(nn, activation)()
    if in_place:
        module.inplace = True
    width = 4 if activation == "GLU" else 8
    found = anatomy(nn.Sequential(nn.Conv2d(3, 8, 3), module, nn.Conv2d(width, 8, 3)), (3, 16, 16))
    assert [layer.axes["w"].field for layer in found.layers] == [3, 3, 5]


def test_what_is_stacked_is_followed() -> None:
    class Stacked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = (
                nn.Conv2d(3, 4, 3, padding=1),
                nn.Conv2d(3, 4, 5, padding=2),
                nn.Conv2d(4, 2, 3),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.stack([self.first(x), self.second(x)], dim=1).sum(1)).mean((2, 3))  # type: ignore[no-any-return]

    assert anatomy(Stacked(), (3, 16, 16)).layers[-1].axes["h"].field == 7
