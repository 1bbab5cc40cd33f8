"""What each position sees, against the gradient: pixels that an output depends on have one, where every weight is
positive."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from zoo.analysis.layer_table import anatomy
from zoo.analysis.window_arithmetic import Axis

SIDE = 64


def seen(model: nn.Module, side: int, row: int, column: int) -> tuple[range, range]:
    """The rows and columns of the image that an output position depends on, by its gradient."""
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    model(image)[0, :, row, column].sum().backward()
    touched = image.grad[0, 0] != 0
    rows, columns = touched.any(1).nonzero().flatten(), touched.any(0).nonzero().flatten()
    return range(int(rows[0]), int(rows[-1]) + 1), range(int(columns[0]), int(columns[-1]) + 1)


def positive(model: nn.Module) -> nn.Module:
    """Weights above zero and means for maxima, so that no path is cut off and none cancels another."""
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            model.get_submodule(name.rpartition(".")[0]).register_module(
                name.rpartition(".")[2],
                nn.AvgPool2d(module.kernel_size, module.stride, module.padding, module.ceil_mode),
            )
    return model.double().eval()


def check(axis: Axis, place: int, found: range) -> bool:
    """Compare with what the axis tells of a position; whether all it tells of lies in the image, where both must
    agree to the pixel.

    At an edge, what a window would see through an inner layer's padding is not there.
    """
    first = place * axis.stride - axis.padding
    told = range(first, first + axis.field)
    assert told.start <= found.start and found.stop <= told.stop
    inside = told.start >= 0 and told.stop <= SIDE
    assert found == told or not inside
    return inside


def random_net(seed: int) -> nn.Sequential:
    chance = random.Random(seed)
    layers: list[nn.Module] = []
    channels = 1
    for _ in range(chance.randint(2, 5)):
        kernel = chance.choice([1, 2, 3, 5]), chance.choice([1, 2, 3, 5])
        padding = kernel[0] // 2, kernel[1] // 2
        stride = chance.choice([1, 1, 2]), chance.choice([1, 1, 2])
        if chance.random() < 0.35:
            layers.append(nn.MaxPool2d(kernel, stride, padding, ceil_mode=chance.random() < 0.5))
        else:
            out = chance.choice([2, 4])
            dilation = chance.choice([1, 1, 2])
            layers += [nn.Conv2d(channels, out, kernel, stride, padding, dilation), nn.ReLU()]
            channels = out
    return nn.Sequential(*layers)


@pytest.mark.parametrize("seed", range(24))
def test_a_stack_of_windows_sees_what_its_gradient_says(seed) -> None:
    torch.manual_seed(seed)
    model = random_net(seed)
    axes = anatomy(model, (1, SIDE, SIDE)).layers[-1].axes
    positive(model)
    with torch.no_grad():
        height, width = model(torch.zeros(1, 1, SIDE, SIDE, dtype=torch.float64)).shape[2:]
    assert (axes["h"].side, axes["w"].side) == (height, width)
    agreed = []
    for row, column in [(height // 2, width // 2), (0, 0), (height - 1, width // 3)]:
        rows, columns = seen(model, SIDE, row, column)
        agreed += [check(axes["h"], row, rows), check(axes["w"], column, columns)]
    assert any(agreed)


class Branches(nn.Module):
    """Inception's form: branches that see 1, 3 and 5 pixels, side by side, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.narrow, self.middle = nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 3, padding=1)
        self.wide = nn.Sequential(nn.Conv2d(6, 2, (1, 5), padding=(0, 2)), nn.Conv2d(2, 2, (5, 1), padding=(2, 0)))
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + torch.cat([self.narrow(x), self.middle(x), self.wide(x)], 1)
        return self.last(functional.avg_pool2d(x, 2))  # type: ignore[no-any-return]


class ChannelsLast(nn.Module):
    """ConvNeXt's form: a linear layer over the channels of a permuted image; one window that moves by unequal
    padding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.point = nn.Conv2d(1, 4, 4, stride=4), nn.LayerNorm(4), nn.Linear(4, 4)
        self.depth = nn.Conv2d(4, 4, 3, groups=4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).permute(0, 2, 3, 1)
        x = self.point(self.norm(x)).permute(0, 3, 1, 2)
        return self.depth(functional.pad(x, (0, 2, 2, 0)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [Branches, ChannelsLast])
def test_branches_and_turned_images_see_what_their_gradient_says(kind) -> None:
    torch.manual_seed(0)
    model = kind()
    axes = anatomy(model, (1, SIDE, SIDE)).layers[-1].axes
    positive(model)
    for row, column in [(7, 8), (0, 0), (11, 12)]:
        rows, columns = seen(model, SIDE, row, column)
        inside = check(axes["h"], row, rows), check(axes["w"], column, columns)
        assert all(inside) == (row > 0)


class Gate(nn.Module):
    """Squeeze-and-excitation after a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.after = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.after(x * self.squeeze(x.mean((2, 3), keepdim=True)))  # type: ignore[no-any-return]


class Attending(nn.Module):
    """A small vision transformer: patches, a class token, attention by torch's own module."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(1, 8, 8, stride=8), nn.Parameter(torch.zeros(1, 1, 8))
        self.norm, self.attention, self.mlp = (
            nn.LayerNorm(8),
            nn.MultiheadAttention(8, 2, batch_first=True),
            nn.Linear(8, 8),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return self.mlp(x[:, 0])  # type: ignore[no-any-return]


class Rolled(nn.Module):
    """Moves the image in a way that no rule follows."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.fft.fft2(self.first(x)).real)  # type: ignore[no-any-return]


def test_a_gate_hears_of_the_whole_image_and_keeps_its_windows() -> None:
    layers = {layer.name: layer for layer in anatomy(Gate(), (1, SIDE, SIDE)).layers}
    assert not layers["conv"].whole
    assert layers["after"].whole
    assert {axis.field for axis in layers["after"].axes.values()} == {5}
    torch.manual_seed(0)
    assert seen(positive(Gate()), SIDE, 5, 5) == (range(SIDE), range(SIDE))


def test_attention_hears_of_the_whole_image() -> None:
    layers = {layer.name: layer for layer in anatomy(Attending(), (1, SIDE, SIDE)).layers}
    assert {axis.field for axis in layers["patches"].axes.values()} == {8}
    assert not layers["norm"].whole
    assert layers["mlp"].whole


def test_what_is_not_followed_is_said_to_be_unknown() -> None:
    layers = {layer.name: layer for layer in anatomy(Rolled(), (1, SIDE, SIDE)).layers}
    assert layers["first"].axes
    assert layers["second"].axes == {}
