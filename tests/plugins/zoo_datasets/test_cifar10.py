"""CIFAR-10: files of the official form written here, and the real ones where they are."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from zoo_datasets import CIFAR10
from zoo_datasets import cifar10 as module
from zoo_datasets.cifar10 import FILES, FOLDER, RECORD, open_cifar10

from zoo.api import Options
from zoo.data.data_folder import Store
from zoo.errors import DataError

NAMES = [name for names in FILES.values() for name in names]


@pytest.fixture(autouse=True)
def few_records(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """20 records a file in place of 10,000; `realdata` reads the real number."""
    if not request.node.get_closest_marker("realdata"):
        monkeypatch.setattr(module, "RECORDS", 20)


def contents(seed: int = 0) -> dict[str, bytes]:
    generator = np.random.default_rng(seed)
    files = {}
    for name in NAMES:
        records = generator.integers(0, 256, (20, RECORD), dtype=np.uint8)
        records[:, 0] %= 10
        files[name] = records.tobytes()
    return files


def lay_folder(root: Path, files: dict[str, bytes]) -> None:
    (root / FOLDER).mkdir(parents=True)
    for name, content in files.items():
        (root / FOLDER / name).write_bytes(content)


def lay_archive(root: Path, files: dict[str, bytes], prefix: str = f"{FOLDER}/") -> None:
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / CIFAR10.files[0].path, "w:gz") as archive:
        for name, content in {"readme.html": b"hello", **files}.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("lay", [lay_folder, lay_archive])
def test_records_are_a_label_and_three_planes(tmp_path: Path, lay) -> None:
    files = contents()
    lay(tmp_path, files)
    opened = open_cifar10(Options(), Store(tmp_path))
    for part, split in (("train", "train"), ("test", "test")):
        loaded = opened.load(opened.parts[part])
        raw = b"".join(files[name] for name in FILES[split])
        assert loaded.images.shape == (20 * len(FILES[split]), 3, 32, 32)
        for index in (0, len(loaded.images) - 1):
            record = raw[index * RECORD : (index + 1) * RECORD]
            assert loaded.targets[index] == record[0]
            assert loaded.images[index].tobytes() == record[1:]


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    lay_folder(tmp_path / "folder", contents())
    lay_archive(tmp_path / "archive", contents())
    lay_folder(tmp_path / "other", contents(seed=1))
    prints = [open_cifar10(Options(), Store(tmp_path / name)).fingerprint for name in ("folder", "archive", "other")]
    assert prints[0] == prints[1] != prints[2]


def test_the_folder_goes_before_the_archive_and_nothing_is_downloaded(tmp_path: Path) -> None:
    lay_folder(tmp_path, contents())
    assert len(open_cifar10(Options(), Store(tmp_path, download=False)).load("test").images) == 20


FAULTS = {
    "a file short": (
        lambda files: files | {"data_batch_3.bin": files["data_batch_3.bin"][:-1]},
        r"data_batch_3.bin must have 61,460 bytes, but has 61,459",
    ),
    "a file long": (
        lambda files: files | {"test_batch.bin": files["test_batch.bin"] + b"x"},
        r"test_batch.bin must have 61,460 bytes, but has more",
    ),
    "a label out of range": (
        lambda files: files | {"test_batch.bin": b"\x0a" + files["test_batch.bin"][1:]},
        "label 10, outside 0…9",
    ),
}


@pytest.mark.parametrize("lay", [lay_folder, lay_archive])
@pytest.mark.parametrize("fault", FAULTS)
def test_files_of_another_form_are_refused(tmp_path: Path, lay, fault: str) -> None:
    change, words = FAULTS[fault]
    lay(tmp_path, change(contents()))
    with pytest.raises(DataError, match=words):
        open_cifar10(Options(), Store(tmp_path)).load("train")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    lay_folder(
        tmp_path / "folder", {name: content for name, content in contents().items() if name != "data_batch_2.bin"}
    )
    with pytest.raises(DataError, match=r"cannot be read: No such file .*data_batch_2.bin"):
        open_cifar10(Options(), Store(tmp_path / "folder")).load("train")
    lay_archive(tmp_path / "archive", contents(), prefix="elsewhere/")
    with pytest.raises(DataError, match=r"the archive lacks data_batch_1\.bin"):
        open_cifar10(Options(), Store(tmp_path / "archive")).load("train")
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz"):
        open_cifar10(Options(), Store(tmp_path / "nothing", download=False))


def test_an_archive_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / CIFAR10.files[0].path).write_bytes(b"<html>not here</html>")
    with pytest.raises(DataError, match="the archive cannot be read"):
        open_cifar10(Options(), Store(tmp_path)).load("train")


def test_a_link_in_the_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\x00" * 61_460)
    with tarfile.open(tmp_path / CIFAR10.files[0].path, "w:gz") as archive:
        for name in NAMES:
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
            archive.addfile(member)
    with pytest.raises(DataError, match="the archive lacks"):
        open_cifar10(Options(), Store(tmp_path)).load("train")


@pytest.mark.realdata
def test_the_real_images_have_the_mean_and_spread_of_the_spec() -> None:
    loaded = open_cifar10(Options(), Store()).load("train")
    values = loaded.images[::5].astype(np.float64) / 255
    np.testing.assert_allclose(values.mean((0, 2, 3)), CIFAR10.mean, atol=2e-3)
    np.testing.assert_allclose(values.std((0, 2, 3)), CIFAR10.std, atol=2e-3)
    assert np.bincount(loaded.targets).tolist() == [5000] * 10
