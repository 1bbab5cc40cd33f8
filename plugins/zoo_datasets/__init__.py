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


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    return [DIGITS, MNIST]
