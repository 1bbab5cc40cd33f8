"""The first-party datasets: ``digits`` comes with scikit-learn, ``folder`` is the user's own, the others are downloaded
once."""

from __future__ import annotations

from zoo.api import DatasetSpec, FileSpec, TargetKind, hookimpl

ZOO_API = "2.0"

TEN_DIGITS = tuple("0123456789")

DIGITS = DatasetSpec(
    name="digits",
    summary="1,797 handwritten digits of 8×8 gray pixels, included with scikit-learn: no download",
    source=(
        "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (1998), the test split, as scikit-learn "
        "ships it"
    ),
    target="zoo_datasets.digits:open_digits",
    classes=TEN_DIGITS,
    shape=(1, 8, 8),
    mean=(0.3054,),
    std=(0.3758,),
    licence="CC BY 4.0",
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
)


def _mnist_file(name: str, size: int, sha256: str) -> FileSpec:
    return FileSpec(
        path=f"MNIST/raw/{name}", url=f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}", size=size, sha256=sha256
    )


def _fashion_file(name: str, size: int, sha256: str) -> FileSpec:
    url = f"https://fashion-mnist.s3.eu-central-1.amazonaws.com/{name}"
    return FileSpec(path=f"FashionMNIST/raw/{name}", url=url, size=size, sha256=sha256)


MNIST = DatasetSpec(
    name="mnist",
    summary="70,000 handwritten digits of 28×28 gray pixels",
    source="Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition (1998)",
    target="zoo_datasets.mnist:open_mnist",
    classes=TEN_DIGITS,
    shape=(1, 28, 28),
    mean=(0.1307,),
    std=(0.3081,),
    licence="CC BY-SA 3.0",
    homepage="http://yann.lecun.com/exdb/mnist/",
    files=(
        _mnist_file(
            "train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        _mnist_file(
            "train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        _mnist_file(
            "t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        _mnist_file(
            "t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
)

FASHION_MNIST = DatasetSpec(
    name="fashion_mnist",
    summary="70,000 images of clothing, 28×28 gray pixels, in the format of MNIST",
    source=(
        "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine learning "
        "algorithms (2017)"
    ),
    target="zoo_datasets.mnist:open_fashion_mnist",
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    shape=(1, 28, 28),
    mean=(0.2860,),
    std=(0.3530,),
    licence="MIT",
    homepage="https://github.com/zalandoresearch/fashion-mnist",
    files=(
        _fashion_file(
            "train-images-idx3-ubyte.gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        _fashion_file(
            "train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        _fashion_file(
            "t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        _fashion_file(
            "t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    ),
)

PHOTOS = DatasetSpec(
    name="photos",
    summary=(
        "Two photographs of 427×640 pixels (height × width), a Chinese temple and a flower, without labels; included "
        "with "
        "scikit-learn: no download"
    ),
    source="scikit-learn's sample images: china.jpg by danielbuechele, flower.jpg by vultilion, both on flickr.com",
    target="zoo_datasets.photos:open_photos",
    options="zoo_datasets.options:PhotosOptions",
    targets=("none",),
    shape=(3, 427, 640),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    licence="CC BY 2.0",
    homepage="https://scikit-learn.org/stable/modules/generated/sklearn.datasets.load_sample_images.html",
)

DIGITS_ON_PHOTOS = DatasetSpec(
    name="digits_on_photos",
    summary=(
        "Masks: digits 0 to 3 laid over photographs, 32×32 colour pixels; both are included with scikit-learn: no "
        "download"
    ),
    source=f"made from digits ({DIGITS.source}) and photos ({PHOTOS.source})",
    target="zoo_datasets.on_photos:open_digits_on_photos",
    options="zoo_datasets.options:OnPhotosOptions",
    targets=("mask",),
    shape=(3, 32, 32),
    mean=(0.2551, 0.2527, 0.2256),
    std=(0.2097, 0.1806, 0.1921),
    licence="CC BY 4.0 (digits), CC BY 2.0 (photographs)",
)

MNIST_ON_PHOTOS = DatasetSpec(
    name="mnist_on_photos",
    summary="Masks: MNIST's digits 0 to 3 laid over scikit-learn's photographs, 48×48 colour pixels, generated on "
    "demand",
    source=f"made from mnist ({MNIST.source}) and photos ({PHOTOS.source})",
    target="zoo_datasets.on_photos:open_mnist_on_photos",
    options="zoo_datasets.options:OnPhotosOptions",
    targets=("mask",),
    shape=(3, 48, 48),
    mean=(0.2405, 0.2349, 0.2067),
    std=(0.2079, 0.1783, 0.1891),
    licence="CC BY-SA 3.0 (MNIST), CC BY 2.0 (photographs)",
    homepage=MNIST.homepage,
    files=MNIST.files,
)


def _made(
    name: str, summary: str, target: TargetKind, shape: tuple[int, int, int], mean: float, std: float, of: DatasetSpec
) -> DatasetSpec:
    """A dataset of `zoo_datasets.made_of_digits`."""
    return DatasetSpec(
        name=name,
        summary=summary,
        source=f"made from {of.name} ({of.source})",
        target=f"zoo_datasets.made_of_digits:open_{name}",
        targets=(target,),
        shape=shape,
        mean=(mean,),
        std=(std,),
        licence=of.licence,
        homepage=of.homepage,
        files=of.files,
    )


DIGIT_SETS = _made(
    "digit_sets",
    "Multi-label: canvases of 16×16 gray pixels with 1 to 3 digits, included with scikit-learn: no download",
    "multi_label",
    (1, 16, 16),
    0.1520,
    0.3059,
    DIGITS,
)
MNIST_SETS = _made(
    "mnist_sets",
    "Multi-label: canvases of 56×56 gray pixels with 1 to 3 of MNIST's digits, generated on demand",
    "multi_label",
    (1, 56, 56),
    0.0656,
    0.2279,
    MNIST,
)
DIGITS_ROTATED = _made(
    "digits_rotated",
    "Regression: digits rotated by -45° to 45°, 28×28 gray pixels, included with scikit-learn: no download",
    "values",
    (1, 28, 28),
    0.1449,
    0.2676,
    DIGITS,
)
MNIST_ROTATED = _made(
    "mnist_rotated",
    "Regression: MNIST's digits, 28×28 gray pixels, rotated by -45° to 45°, generated on demand",
    "values",
    (1, 28, 28),
    0.1192,
    0.2797,
    MNIST,
)

FOLDER = DatasetSpec(
    name="folder",
    summary=(
        "Your own images: a folder for each class or label, a CSV file of labels or numbers, or images and masks "
        "(folder:PATH)"
    ),
    target="zoo_datasets.folder:open_folder",
    held_out="zoo_datasets.folder:open_held_out",
    options="zoo_datasets.options:FolderOptions",
    path_option="path",
    targets=("classes", "multi_label", "values", "mask"),
    target_kind="zoo_datasets.folder_kind:target_kind",
    shape=(3, None, None),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    licence="your own",
)

IMAGES = DatasetSpec(
    name="images",
    summary="Your own images without labels: a file, a folder, or a glob pattern (images:PATH)",
    target="zoo_datasets.images:open_images",
    options="zoo_datasets.options:ImagesOptions",
    path_option="path",
    targets=("none",),
    shape=(3, None, None),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    licence="your own",
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


CATDOG = DatasetSpec(
    name="catdog",
    summary=(
        "Photographs of cats and dogs: from cat_dog in the data folder (a folder or an archive), otherwise Kaggle's "
        "25,000"
    ),
    source="J. Elson et al.: Asirra: a CAPTCHA that exploits interest-aligned manual image categorization (2007)",
    target="zoo_datasets.catdog:open_catdog",
    options="zoo_datasets.options:CatdogOptions",
    classes=("Cat", "Dog"),
    shape=(3, None, None),
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    licence="none stated with the archive; see its homepage",
    homepage="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
    files=(
        FileSpec(
            path="kagglecatsanddogs_5340.zip",
            url=(
                "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip"
            ),
            size=824887076,
            sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
        ),
    ),
)


@hookimpl
def zoo_register_datasets() -> list[DatasetSpec]:
    made = [DIGITS_ON_PHOTOS, MNIST_ON_PHOTOS, DIGIT_SETS, MNIST_SETS, DIGITS_ROTATED, MNIST_ROTATED]
    return [DIGITS, PHOTOS, MNIST, FASHION_MNIST, CIFAR10, CATDOG, *made, FOLDER, IMAGES]
