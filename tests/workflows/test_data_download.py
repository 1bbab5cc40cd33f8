"""Which files datasets need, where they lie, and bringing them; what a check of a dataset finds.

By a plugin whose data is made here.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from zoo.api import Mask, MultiLabel, SampleSource, Split, Target, Values
from zoo.data import data_folder as store_module
from zoo.data.downloads import UnreachableError
from zoo.errors import DataError, UnknownNameError
from zoo.registry.lookup import registry
from zoo.workflows import data_check, data_download
from zoo.workflows.data_check import check
from zoo.workflows.data_download import download, look

CONTENTS = {"toy/a.bin": b"a" * 40, "toy/b.bin": b"b" * 50, "other/c.bin": b"c" * 60}
PLUGIN = """
from zoo.api import DatasetSpec, FileSpec, hookimpl

FILES = {files!r}

def spec(name, paths):
    urls = {{path: "https://data.example/" + path for path in paths}}
    files = tuple(FileSpec(path=at, url=url, sha256=FILES[at][0], size=FILES[at][1]) for at, url in urls.items())
    known = dict(classes=("cat", "dog"), shape=(1, 2, 2), mean=(0.5,), std=(0.5,), licence="CC0")
    return DatasetSpec(name=name, summary="x", target=f"zoo_made.data:open_{{name}}", files=files, **known)

@hookimpl
def zoo_register_datasets():
    kinds = dict(targets=("values", "multi_label", "mask"), classes=(), shape=(1, 2, 2), mean=(0.5,), std=(0.5,))
    made = DatasetSpec(name="any", summary="x", target="zoo_made.data:open_any", licence="CC0", **kinds)
    return [spec("toy", ["toy/a.bin", "toy/b.bin"]), spec("other", ["other/c.bin"]), spec("album", []), made]
"""
MODULE = """
import numpy as np
import zoo_made
from zoo.api import Dataset
from zoo.errors import DataError

SPECS = {spec.name: spec for spec in zoo_made.zoo_register_datasets()}
SPLITS = {}

class Made(Dataset):
    parts = {"train": "train", "test": "test"}
    fingerprint = "0"
    def load(self, split):
        found = SPLITS[split]
        if isinstance(found, Exception):
            raise found
        return found

def open_toy(options, store):
    if not (store.root / "toy" / "unpacked").exists():
        store.files(SPECS["toy"])
    return Made()

def open_other(options, store):
    store.files(SPECS["other"])
    return Made()

def open_album(options, store):
    return Made()

TARGET = None

class Any(Made):
    @property
    def target(self):
        return TARGET

def open_any(options, store):
    return Any()
"""


@pytest.fixture
def root(tmp_path, install, monkeypatch):
    """The data folder, with the plugin installed; nothing is in it."""
    files = {path: (hashlib.sha256(content).hexdigest(), len(content)) for path, content in CONTENTS.items()}
    site = install("zoo-made", "made", PLUGIN.format(files=files)).parent
    (site / "zoo_made" / "data.py").write_text(MODULE, encoding="utf-8")
    registry.cache_clear()
    yield tmp_path / "data"
    registry.cache_clear()


@pytest.fixture
def splits(root):
    """What the datasets have, to be filled in by a test."""
    import sys

    sys.modules.pop("zoo_made.data", None)
    import zoo_made.data

    yield zoo_made.data.SPLITS
    del sys.modules["zoo_made.data"]


def lay(root, *paths, content=None):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(CONTENTS[path] if content is None else content)


@pytest.fixture
def server(monkeypatch):
    """Answers downloads from CONTENTS, but for the paths in the set it gives."""
    monkeypatch.delenv("ZOO_OFFLINE")
    down: set[str] = set()

    def fetch(url, to, sha256, size):
        path = url.removeprefix("https://data.example/")
        if path in down:
            raise UnreachableError(f"cannot download {to.name}: no route to host", where=url)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(CONTENTS[path])

    monkeypatch.setattr(store_module, "download", fetch)
    return down


# ---------------------------------------------------------------------------------------------------------------- files


def test_what_a_dataset_needs_is_what_it_asks_for(root) -> None:
    lay(root, "toy/a.bin")
    need = look("toy")
    assert [file.path for file in need.missing] == ["toy/b.bin"]
    assert [(row["path"], row["present"], row["needed"]) for row in need.files()] == [
        ("toy/a.bin", True, True),
        ("toy/b.bin", False, True),
    ]
    assert need.files()[1]["place"] == str(root / "toy/b.bin")
    (root / "toy" / "unpacked").mkdir()
    need = look("made/toy")
    assert (need.missing, [row["needed"] for row in need.files()]) == ((), [False, False])
    assert (look("album").files(), look("album").missing) == ([], ())
    with pytest.raises(UnknownNameError, match="did you mean toy"):
        look("tyo")


def test_download_brings_what_is_missing_and_says_so(root, server, capsys) -> None:
    lay(root, "toy/a.bin")
    found = download(["toy", "other", "toy", "album"])
    assert [need.item.spec.name for need in found] == ["toy", "other", "album"] and not any(
        need.missing for need in found
    )
    assert {path: (root / path).read_bytes() for path in CONTENTS} == CONTENTS
    told = capsys.readouterr().err
    assert "toy: downloading 1 file" in told and "other: downloading 1 file" in told and "licence: CC0" in told
    download(["toy", "other"])
    assert capsys.readouterr().err == ""


def test_without_a_network_one_error_names_all_that_is_missing(root) -> None:
    with pytest.raises(
        DataError, match="3 files of toy and other cannot be downloaded: ZOO_OFFLINE forbids downloads"
    ) as caught:
        download(["toy", "other"])
    for path in CONTENTS:
        assert f"https://data.example/{path}" in str(caught.value) and str(root / path) in str(caught.value)
    assert "--data" in caught.value.fix and "digits" in caught.value.fix
    lay(root, *CONTENTS)
    assert len(download(["toy", "other"])) == 2


def test_what_can_be_had_is_brought_before_the_error(root, server) -> None:
    server.update({"toy/b.bin", "other/c.bin"})
    with pytest.raises(
        DataError,
        match=(
            r"2 files of toy and other cannot be downloaded: cannot download b\.bin: no route to host; cannot download "
            r"c\.bin: "
        ),
    ) as caught:
        download(["toy", "other"])
    assert "toy/a.bin" not in str(caught.value) and (root / "toy/a.bin").exists()
    server.remove("other/c.bin")
    with pytest.raises(
        DataError, match=r"1 file of toy cannot be downloaded: cannot download b\.bin: no route to host"
    ):
        download(["toy", "other"])
    assert (root / "other/c.bin").exists()


def test_require_here_names_the_command(root) -> None:
    with pytest.raises(DataError, match=r"toy and other: files are missing .*; fix: zoo data download toy other"):
        data_download.require_here([look("toy"), look("other"), look("album")])


# ---------------------------------------------------------------------------------------------------------------- check


def arrays(*labels, start=0):
    """Split of 1×2×2 images, each of another content."""
    count = len(labels)
    images = (
        np.arange(start, start + count, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 1, 2, 2), np.uint8)
    ).astype(np.uint8)
    return Split(images, np.array(labels))


def test_a_check_counts_by_part_and_class(root, splits) -> None:
    lay(root, "toy/a.bin", "toy/b.bin")
    splits |= {"train": arrays(0, 0, 1), "test": arrays(0, 0, start=9)}
    report = check(look("toy"))
    assert report.problems == [] and report.as_dict()["ok"]
    train, test = report.parts
    assert (train.part, train.split, train.samples, train.classes, train.shapes) == (
        "train",
        "train",
        3,
        {"cat": 2, "dog": 1},
        {"1×2×2": 3},
    )
    assert (test.part, test.split, test.classes) == ("test", "test", {"cat": 2, "dog": 0})
    assert json.loads(json.dumps(report.as_dict()))["parts"][0]["samples"] == 3


def test_files_are_compared_with_the_official_ones(root, splits) -> None:
    lay(root, "toy/a.bin")
    lay(root, "toy/b.bin", content=b"x" * 50)
    splits |= {"train": arrays(0), "test": arrays(0, start=9)}
    report = check(look("toy"))
    assert [row["official"] for row in report.files] == [True, False] and report.problems == []


def test_equal_images_are_found_within_and_across_parts(root, splits) -> None:
    train, test = arrays(0, 1, 0, 1), arrays(1, 0, start=9)
    train.images[3] = train.images[0]
    test.images[0] = train.images[2]
    splits |= {"train": train, "test": test}
    found = check(look("album")).duplicates
    assert (found.within, found.across, found.contradicting) == ({"train": 1}, {"train, test": 1}, 2)
    assert found.examples == [["train/0", "train/3"], ["train/2", "test/0"]]


def test_a_part_that_cannot_be_opened_is_a_problem_and_the_others_are_counted(root, splits) -> None:
    splits |= {"train": DataError("it is damaged", where="here"), "test": arrays(0, 1)}
    report = check(look("album"))
    assert report.problems == ["it is damaged (here)"] and not report.as_dict()["ok"]
    assert [part.part for part in report.parts] == ["test"]
    splits["test"] = arrays(0, 5)
    assert check(look("album")).problems[1].startswith("split 'test' has the label 5, outside 0…1")


def test_unlabelled_parts_have_no_classes(root, splits) -> None:
    splits |= {"train": arrays(0, 1), "test": Split(arrays(0, start=9).images, None)}
    assert check(look("album")).parts[1].classes is None


def test_images_in_files_are_decoded_whole(root, splits, tmp_path) -> None:
    generator = np.random.default_rng(0)
    paths = []
    for index, size in enumerate([(8, 6), (8, 6), (5, 4)]):
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(generator.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(paths[-1])
    paths.append(tmp_path / "again.bmp")
    Image.open(paths[0]).save(paths[-1])
    paths.append(tmp_path / "cut.png")
    paths[-1].write_bytes(paths[0].read_bytes()[:60])
    names = [path.name for path in paths]
    splits |= {"train": Split(paths, np.zeros(5, int), names), "test": arrays(0)}
    report = check(look("album"))
    assert report.parts[0].shapes == {"3×6×8": 3, "3×4×5": 1} and report.parts[0].samples == 5
    assert report.duplicates.within == {"train": 1} and report.duplicates.examples == [
        ["train/0.png", "train/again.bmp"]
    ]
    (problem,) = report.problems
    assert problem.startswith(f"train: {tmp_path / 'cut.png'} cannot be read")


class Waves(SampleSource):
    """Images of 1×2×2, in pairs that are equal, which are asked for by their indices."""

    def __init__(self, count: int, label: int = 0) -> None:
        self.count, self.label, self.asked = count, label, list[int]()

    def __len__(self) -> int:
        return self.count

    def images(self, indices: np.ndarray) -> list[np.ndarray]:
        self.asked.append(len(indices))
        return [np.full((1, 2, 2 + index % 2), index // 4, np.uint8) for index in indices]

    def targets(self, indices: np.ndarray) -> np.ndarray:
        return np.where(indices == 2, self.label, 0)


def test_samples_that_are_made_on_demand_are_read_a_few_at_a_time(root, splits, monkeypatch) -> None:
    monkeypatch.setattr(data_check, "FETCHED", 3)
    train = Waves(8, label=1)
    splits |= {"train": Split(train), "test": arrays(0, start=9)}
    report = check(look("album"))
    assert report.problems == [] and train.asked == [3, 3, 2]
    part = report.parts[0]
    assert (part.samples, part.classes, part.shapes) == (8, {"cat": 7, "dog": 1}, {"1×2×2": 4, "1×2×3": 4})
    assert report.duplicates.within == {"train": 4} and report.duplicates.contradicting == 1
    splits["train"] = Split(Waves(4, label=5))
    assert check(look("album")).problems[0].startswith("split 'train' has the label 5, outside 0…1")


@pytest.mark.parametrize(
    ("target", "targets"),
    [
        (Values(names=("x", "y")), np.array([[0.5, 1], [0.5, 2], [0, 0]], np.float32)),
        (MultiLabel(names=("x", "y")), np.array([[0, 1], [1, 1], [0, 0]], np.uint8)),
        (Mask(names=("x", "y")), np.array([[[0, 1], [0, 0]], [[1, 1], [0, 0]], [[0, 0], [0, 0]]], np.uint8)),
    ],
    ids=["values", "labels", "masks"],
)
def test_other_targets_than_classes_are_not_counted_and_contradict_as_a_whole(
    root, splits, target: Target, targets: np.ndarray
) -> None:
    import zoo_made.data

    images = np.zeros((3, 1, 2, 2), np.uint8)
    images[2] = 9
    splits |= {"train": Split(images, targets), "test": Split(images[2:] + 1, targets[2:])}
    zoo_made.data.TARGET = target
    report = check(look("any"))
    assert report.problems == [] and report.parts[0].classes is None
    assert (report.duplicates.within, report.duplicates.contradicting) == ({"train": 1}, 1)


@pytest.mark.realdata
def test_mnist_is_what_its_authors_say() -> None:
    report = check(look("mnist"))
    assert report.problems == [] and [row["official"] for row in report.files] == [True] * 4
    assert [(part.samples, part.shapes) for part in report.parts] == [
        (60_000, {"1×28×28": 60_000}),
        (10_000, {"1×28×28": 10_000}),
    ]
    assert report.parts[0].classes["5"] == 5421 and report.parts[1].classes["1"] == 1135
    assert (report.duplicates.within, report.duplicates.across) == ({}, {})
