"""The classic networks, a file each, and recipes that train them."""

from __future__ import annotations

from pathlib import Path

from zoo.api import ArchitectureSpec, RecipeSpec, WeightsSpec, hookimpl
from zoo_classics.recipes import RECIPES


def shipped(name: str) -> WeightsSpec:
    """Weights in this package, as the file beside them describes them."""
    return WeightsSpec.model_validate_json((Path(__file__).parent / "weights" / f"{name}.json").read_bytes())


@hookimpl
def zoo_register_architectures() -> list[ArchitectureSpec]:
    return [
        ArchitectureSpec(
            name="fnn",
            summary="Fully-connected network with two small hidden layers",
            target="zoo_classics.fnn:build",
            options="zoo_classics.options:FNNOptions",
            input=(1, 28, 28),
            head="fc3",
            weights={"mnist": shipped("fnn_mnist")},
        ),
        ArchitectureSpec(
            name="cnn",
            summary="Two 5×5 convolutions with pooling, two linear layers",
            target="zoo_classics.cnn:build",
            options="zoo_classics.options:CNNOptions",
            input=(1, 28, 28),
            smallest=16,
            head="fc2",
            weights={"mnist": shipped("cnn_mnist")},
        ),
        ArchitectureSpec(
            name="lenet",
            summary="LeNet for colour pictures: two 5×5 convolutions with pooling, three linear layers",
            source="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition",
            paper="https://doi.org/10.1109/5.726791",
            year=1998,
            target="zoo_classics.lenet:build",
            input=(3, 32, 32),
            smallest=16,
            head="fc3",
        ),
        ArchitectureSpec(
            name="vgg_cifar",
            summary="VGG-11's convolutions with batch norm and one linear layer, for 32×32 pictures",
            source="K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition",
            paper="https://arxiv.org/abs/1409.1556",
            year=2014,
            target="zoo_classics.vgg_cifar:build",
            input=(3, 32, 32),
            smallest=32,
            head="classifier",
        ),
    ]


@hookimpl
def zoo_register_recipes() -> list[RecipeSpec]:
    return RECIPES
