"""The specs of these networks; what they build is in the files beside, one each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.api import ArchitectureSpec, Output, WeightsSpec

IMAGENET: dict[str, Any] = {"input": (3, 224, 224), "num_outputs": 1000, "smallest": 32}
"""What most of the networks for ImageNet have in common."""
AUXILIARY_WEIGHT = 0.3
"""Of the loss of an auxiliary classifier: C. Szegedy et al., Going deeper with convolutions (2014), section 5;
Inception v3 states none."""
VGG = "K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition"


def shipped(name: str) -> WeightsSpec:
    """Weights in this package, as the file beside them describes them."""
    return WeightsSpec.model_validate_json((Path(__file__).parent / "weights" / f"{name}.json").read_bytes())


def vgg(depth: int, convolutions: int) -> ArchitectureSpec:
    return ArchitectureSpec(
        name=f"vgg{depth}",
        summary=f"VGG-{depth}: {convolutions} convolutions of 3×3 and three linear layers, with or without batch norm",
        source=VGG,
        paper="https://arxiv.org/abs/1409.1556",
        year=2014,
        deviations=(
            "batch_norm=true adds batch norm after every convolution; inputs of other sizes are averaged to 7×7 before "
            "the linear layers"
        ),
        target="zoo_classics.vgg:build",
        builder_options={"depth": depth},
        options="zoo_classics.options:VGGOptions",
        head="classifier.6",
        **IMAGENET,
    )


def resnet(depth: int) -> ArchitectureSpec:
    return ArchitectureSpec(
        name=f"resnet{depth}",
        summary=(
            f"ResNet-{depth}: residual {'blocks of two 3×3 convolutions' if depth < 50 else 'bottlenecks'}; optionally "
            "without residual connections"
        ),
        source="K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition",
        paper="https://arxiv.org/abs/1512.03385",
        year=2015,
        deviations="the stride of a bottleneck is in its 3×3 convolution (variant=paper: in the 1×1 before it)"
        if depth >= 50
        else None,
        target="zoo_classics.resnet:build",
        builder_options={"depth": depth},
        options="zoo_classics.options:ResNetOptions",
        head="fc",
        **IMAGENET,
    )


ARCHITECTURES = [
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
        weights={"mnist": shipped("cnn_mnist"), "digits_0_to_4": shipped("cnn_digits_0_to_4")},
    ),
    ArchitectureSpec(
        name="cnn_bn",
        summary="Three convolutions with batch norm and one linear layer: 99% on MNIST in one epoch",
        target="zoo_classics.cnn_bn:build",
        options="zoo_classics.options:CNNBatchNormOptions",
        input=(1, 28, 28),
        smallest=20,
        head="classifier",
    ),
    ArchitectureSpec(
        name="lenet",
        summary="LeNet for colour images: two 5×5 convolutions with pooling, three linear layers",
        source="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition",
        paper="https://doi.org/10.1109/5.726791",
        year=1998,
        deviations=(
            "ReLU in place of the scaled tanh, max-pooling in place of trained subsampling, a full second convolution, "
            "a linear output layer"
        ),
        target="zoo_classics.lenet:build",
        input=(3, 32, 32),
        smallest=16,
        head="fc3",
    ),
    ArchitectureSpec(
        name="vgg_cifar",
        summary="VGG-11's convolutions with batch norm and one linear layer, for 32×32 images",
        source=VGG,
        paper="https://arxiv.org/abs/1409.1556",
        year=2014,
        deviations="batch norm after every convolution, and one linear layer in place of three",
        target="zoo_classics.vgg_cifar:build",
        input=(3, 32, 32),
        smallest=32,
        head="classifier",
    ),
    ArchitectureSpec(
        name="alexnet",
        summary="AlexNet: five convolutions with response normalisation, three linear layers; as a single network, "
        "not split over two GPUs",
        source=(
            "A. Krizhevsky, I. Sutskever, G. Hinton: ImageNet classification with deep convolutional neural networks"
        ),
        paper="https://doi.org/10.1145/3065386",
        year=2012,
        deviations=(
            "one tower in place of two (groups=2 has the paper's connections); a padding of 2 in the first convolution "
            "makes 224 pixels fit"
        ),
        target="zoo_classics.alexnet:build",
        options="zoo_classics.options:AlexNetOptions",
        head="classifier.6",
        **{**IMAGENET, "smallest": 63},
    ),
    ArchitectureSpec(
        name="zfnet",
        summary="ZFNet: AlexNet with a smaller first kernel and stride, and a wider variant",
        source="M. Zeiler, R. Fergus: Visualizing and understanding convolutional networks",
        paper="https://arxiv.org/abs/1311.2901",
        year=2013,
        deviations=(
            "AlexNet's local response normalisation in place of contrast normalisation; pools round up, which gives "
            "the sides of figure 3"
        ),
        target="zoo_classics.zfnet:build",
        options="zoo_classics.options:ZFNetOptions",
        head="classifier.6",
        **{**IMAGENET, "smallest": 47},
    ),
    vgg(11, 8),
    vgg(13, 10),
    vgg(16, 13),
    vgg(19, 16),
    ArchitectureSpec(
        name="googlenet",
        summary="GoogLeNet, Inception v1: nine inception modules, two auxiliary classifiers in training",
        source="C. Szegedy et al.: Going deeper with convolutions",
        paper="https://arxiv.org/abs/1409.4842",
        year=2014,
        deviations="none in the paper's variant; torchvision's has batch norm and 3×3 convolutions in place of 5×5",
        target="zoo_classics.googlenet:build",
        options="zoo_classics.options:GoogLeNetOptions",
        head="fc",
        outputs=(Output(), *(Output(name=each, auxiliary=AUXILIARY_WEIGHT) for each in ("aux1", "aux2"))),
        **IMAGENET,
    ),
    ArchitectureSpec(
        name="inception_v2",
        summary="Inception v2, BN-Inception: GoogLeNet with batch norm, and two 3×3 convolutions for each 5×5",
        source=(
            "S. Ioffe, C. Szegedy: Batch normalization: accelerating deep network training by reducing internal "
            "covariate shift"
        ),
        paper="https://arxiv.org/abs/1502.03167",
        year=2015,
        deviations=(
            "no auxiliary classifiers; 608 channels after 4c and 4d, the sum of the table's branches, where its column "
            "of sizes says 576"
        ),
        target="zoo_classics.inception_v2:build",
        head="fc",
        **IMAGENET,
    ),
    ArchitectureSpec(
        name="inception_v3",
        summary="Inception v3: factorised convolutions, one auxiliary classifier in training",
        source="C. Szegedy et al.: Rethinking the Inception architecture for computer vision",
        paper="https://arxiv.org/abs/1512.00567",
        year=2015,
        deviations="where the paper leaves a choice, torchvision's is taken",
        target="zoo_classics.inception_v3:build",
        options="zoo_classics.options:InceptionV3Options",
        outputs=(Output(), *(Output(name=each, auxiliary=AUXILIARY_WEIGHT) for each in ("aux",))),
        head="fc",
        **{**IMAGENET, "input": (3, 299, 299), "smallest": 75},
    ),
    ArchitectureSpec(
        name="unet",
        summary="U-Net: an encoder and a decoder of 3×3 convolutions, joined at each level; for segmentation",
        source=("O. Ronneberger, P. Fischer, T. Brox: U-Net: convolutional networks for biomedical image segmentation"),
        paper="https://arxiv.org/abs/1505.04597",
        year=2015,
        deviations="padded convolutions with batch norm; images of any size",
        target="zoo_classics.unet:build",
        options="zoo_classics.options:UNetOptions",
        input=(3, 224, 224),
        smallest=16,
        outputs=(Output(kind="map"),),
        num_outputs=2,
        head="head",
    ),
    *(resnet(depth) for depth in (18, 34, 50, 101, 152)),
]
