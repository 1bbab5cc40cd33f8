"""MNIST: small files of the same form written here, and the official ones where they are."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from zoo_datasets import FASHION_MNIST, MNIST
from zoo_datasets.mnist import Mnist, open_fashion_mnist, open_mnist, read_idx

from zoo.api import Options
from zoo.data.data_folder import Store
from zoo.errors import DataError

COUNTS = {"train": 7, "t10k": 3}


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def toy_arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    arrays = {}
    for prefix, count in COUNTS.items():
        arrays[f"{prefix}-images-idx3-ubyte"] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = generator.integers(0, 10, count, dtype=np.uint8)
    return arrays


def lay(root: Path, arrays: dict[str, np.ndarray], *, plain: tuple[str, ...] = (), folder: str = "MNIST") -> None:
    (root / folder / "raw").mkdir(parents=True)
    for name, values in arrays.items():
        if name in plain:
            (root / folder / "raw" / name).write_bytes(idx(values))
        else:
            (root / folder / "raw" / f"{name}.gz").write_bytes(gzip.compress(idx(values)))


@pytest.mark.parametrize(
    "plain", [(), ("train-images-idx3-ubyte",), tuple(toy_arrays())], ids=["compressed", "mixed", "uncompressed"]
)
def test_files_are_read_compressed_or_not(tmp_path: Path, plain: tuple[str, ...]) -> None:
    arrays = toy_arrays()
    lay(tmp_path, arrays, plain=plain)
    store = Store(tmp_path)
    opened = open_mnist(Options(), store)
    for part, prefix in (("train", "train"), ("test", "t10k")):
        split = opened.load(opened.parts[part])
        assert np.array_equal(split.images[:, 0], arrays[f"{prefix}-images-idx3-ubyte"])
        assert np.array_equal(split.targets, arrays[f"{prefix}-labels-idx1-ubyte"])
        assert (split.images.dtype, split.images.shape[1:], split.targets.dtype) == (np.uint8, (1, 28, 28), np.int64)
    assert len(store.notes) == 4 - len(plain)


@pytest.mark.parametrize(("folder", "open_dataset"), [("MNIST", open_mnist), ("FashionMNIST", open_fashion_mnist)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_file_names_with_a_dot_are_read_as_those_with_a_dash(
    tmp_path: Path, folder: str, open_dataset: Callable[[Options, Store], Mnist], suffix: str
) -> None:
    arrays = toy_arrays()
    lay(tmp_path / "dashes", arrays, folder=folder)
    raw = tmp_path / "dots" / folder / "raw"
    raw.mkdir(parents=True)
    for name, values in arrays.items():
        (raw / f"{name.replace('-idx', '.idx')}{suffix}").write_bytes(
            gzip.compress(idx(values)) if suffix else idx(values)
        )
    assert (
        open_dataset(Options(), Store(tmp_path / "dots", download=False)).fingerprint
        == open_dataset(Options(), Store(tmp_path / "dashes")).fingerprint
    )


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    arrays = toy_arrays()
    lay(tmp_path / "compressed", arrays)
    lay(tmp_path / "plain", arrays, plain=tuple(arrays))
    arrays["t10k-labels-idx1-ubyte"][0] ^= 1
    lay(tmp_path / "changed", arrays)
    prints = [open_mnist(Options(), Store(tmp_path / name)).fingerprint for name in ("compressed", "plain", "changed")]
    assert prints[0] == prints[1] != prints[2]


def test_files_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    arrays = toy_arrays()
    lay(tmp_path, {"train-labels-idx1-ubyte": arrays["train-labels-idx1-ubyte"]}, plain=("train-labels-idx1-ubyte",))
    with pytest.raises(DataError) as caught:
        open_mnist(Options(), Store(tmp_path))
    for file in MNIST.files:
        assert (file.url in str(caught.value)) == ("train-labels" not in file.url)


GOOD = idx(np.zeros((2, 28, 28), np.uint8))
FAULTS = {
    "empty": (b"", "starts with"),
    "another magic": (b"\0\0\x08\x01" + GOOD[4:], "starts with 00000801"),
    "half a header": (GOOD[:10], "no IDX file"),
    "other sides": (idx(np.zeros((2, 32, 32), np.uint8)), "32×32, not 28×28"),
    "no samples": (idx(np.zeros((0, 28, 28), np.uint8)), "states 0 samples"),
    "absurd count": (GOOD[:4] + b"\xff" * 4 + GOOD[8:], "states 4,294,967,295 samples"),
    "too short": (GOOD[:-1], "states 1,568 bytes of values, but it has 1,567"),
    "too long": (GOOD + b"\0", "but it has more"),
}


@pytest.mark.parametrize("compressed", [True, False], ids=["gz", "plain"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_of_another_form_is_refused(tmp_path: Path, fault: str, compressed: bool) -> None:
    content, words = FAULTS[fault]
    path = tmp_path / ("images.gz" if compressed else "images")
    path.write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(DataError) as caught:
        read_idx(path, (28, 28))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [GOOD, gzip.compress(GOOD)[:-20], gzip.compress(GOOD)[:30], gzip.compress(GOOD)[:-8] + bytes(8)],
    ids=["no gzip", "cut off", "cut short", "bad checksum"],
)
def test_a_damaged_gz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(path, (28, 28))


@pytest.mark.realdata
def test_the_official_files_are_what_the_spec_says() -> None:
    store = Store()
    opened = open_mnist(Options(), store)
    train, report = opened.load("train"), opened.load("test")
    assert store.notes == []
    assert (len(train.images), len(report.images)) == (60_000, 10_000)
    assert np.bincount(report.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    pixels = train.images / np.float32(255)
    assert pixels.mean(dtype=np.float64) == pytest.approx(MNIST.mean[0], abs=5e-5)
    assert pixels.std(dtype=np.float64) == pytest.approx(MNIST.std[0], abs=5e-5)
    assert opened.fingerprint == "31ca189320ce511d314d85ee5cc02082b343a328bec028418f911405d558d666"


def test_fashion_mnist_is_read_from_its_own_folder_and_its_own_addresses(tmp_path: Path) -> None:
    arrays = toy_arrays()
    lay(tmp_path, arrays, folder="FashionMNIST")
    opened = open_fashion_mnist(Options(), Store(tmp_path))
    assert np.array_equal(opened.load("train").images[:, 0], arrays["train-images-idx3-ubyte"])
    assert not {file.sha256 for file in FASHION_MNIST.files} & {file.sha256 for file in MNIST.files}
    with pytest.raises(DataError, match=r"fashion-mnist\.s3\.eu-central-1\.amazonaws\.com/t10k-labels"):
        open_fashion_mnist(Options(), Store(tmp_path / "nothing", download=False))
    with pytest.raises(DataError, match="4 files of mnist"):
        open_mnist(Options(), Store(tmp_path, download=False))
