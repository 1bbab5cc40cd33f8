"""The first-party datasets: ``digits`` comes with scikit-learn and needs no network; ``mnist`` is downloaded once."""

from __future__ import annotations

from zoo.api import DatasetSpec, FileSpec, hookimpl

TEN_DIGITS = tuple("0123456789")

DIGITS = DatasetSpec(
    name="digits",
    summary="1,797 handwritten digits of 8×8 grey pixels, embedded: no download",
    source="E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (1998), the test part, as scikit-learn ships it",
    target="zoo_datasets.digits:open_digits",
    classes=TEN_DIGITS,
    shape=(1, 8, 8),
    mean=(0.3054,),
    std=(0.3758,),
    licence="CC BY 4.0",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
)


def _mnist_file(name: str, size: int, sha256: str) -> FileSpec:
    return FileSpec(path=f"MNIST/raw/{name}", url=f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", size=size, sha256=sha256)


MNIST = DatasetSpec(
    name="mnist",
    summary="70,000 handwritten digits of 28×28 grey pixels",
    source="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition (1998)",
    target="zoo_datasets.mnist:open_mnist",
    classes=TEN_DIGITS,
    shape=(1, 28, 28),
    mean=(0.1307,),
    std=(0.3081,),
    licence="CC BY-SA 3.0",
    homepage="http://yann.lecun.com/exdb/mnist/",
    files=(
        _mnist_file("train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        _mnist_file("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        _mnist_file("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        _mnist_file("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
)

CIFAR10 = DatasetSpec(
    name="cifar10",
    summary="60,000 photographs of 32×32 colour pixels in ten classes",
    source="A. Krizhevsky: Learning multiple layers of features from tiny images (2009)",
    target="zoo_datasets.cifar10:open_cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(3, 32, 32),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    licence="none stated; its authors ask to be cited",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    files=(
        FileSpec(
            path="cifar-10-binary.tar.gz",
            url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            size=170052171,
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
)


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return [DIGITS, MNIST, CIFAR10]
