"""The data folder: what lies there is used, what is missing is named or brought, digests are remembered."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.api import DatasetSpec, FileSpec
from zoo.data import data_folder as store_module
from zoo.data.data_folder import MANIFEST, Digests, Store, megabytes
from zoo.data.downloads import UnreachableError
from zoo.errors import DataError

CONTENTS = {"Toy/raw/images.gz": b"some images", "Toy/raw/labels.gz": b"some labels, one each"}
SPEC = DatasetSpec(
    name="toy",
    summary="a toy",
    target="nowhere:open",
    classes=("a", "b"),
    shape=(1, 2, 2),
    mean=(0.5,),
    std=(0.5,),
    licence="CC0",
    files=tuple(
        FileSpec(
            path=path,
            url=f"https://data.example/toy/{Path(path).name}",
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
        )
        for path, content in CONTENTS.items()
    ),
)


def lay(root: Path, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Downloads allowed, and answered from CONTENTS; the addresses that were asked for."""
    addresses: list[str] = []

    def download(url: str, to: Path, sha256: str, size: int) -> None:
        addresses.append(url)
        lay(to.parent, {to.name: next(content for path, content in CONTENTS.items() if path.endswith(to.name))})
        assert (hashlib.sha256(to.read_bytes()).hexdigest(), to.stat().st_size) == (sha256, size)

    monkeypatch.setattr(store_module, "download", download)
    monkeypatch.delenv("ZOO_OFFLINE")
    return addresses


def test_the_folder_is_zoo_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "mine"))
    assert Store().root == tmp_path / "mine"


def test_official_files_are_used_in_silence(
    tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, CONTENTS)
    store = Store(tmp_path)
    assert store.files(SPEC) == {path: tmp_path / path for path in CONTENTS}
    assert (store.notes, asked, capsys.readouterr()) == ([], [], ("", ""))


@pytest.mark.parametrize("content", [b"another!!!!!!", b"longer than the official one"])
def test_another_content_is_used_and_said(tmp_path: Path, content: bytes) -> None:
    lay(tmp_path, {**CONTENTS, "Toy/raw/images.gz": content})
    store = Store(tmp_path)
    assert store.files(SPEC)["Toy/raw/images.gz"].read_bytes() == content
    (note,) = store.notes
    assert str(tmp_path / "Toy/raw/images.gz") in note
    assert "not the official file" in note


def test_missing_files_are_brought_after_one_line_that_says_what(
    tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    assert {path: file.read_bytes() for path, file in store.files(SPEC).items()} == CONTENTS
    assert asked == [file.url for file in SPEC.files]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for words in ("toy", "2 files", "0.0 kB", "https://data.example/toy/", str(tmp_path), "CC0"):
        assert words in err


def test_only_what_is_missing_is_brought(tmp_path: Path, asked: list[str]) -> None:
    lay(tmp_path, {"Toy/raw/labels.gz": b"mine"})
    assert Store(tmp_path).files(SPEC)["Toy/raw/labels.gz"].read_bytes() == b"mine"
    assert asked == ["https://data.example/toy/images.gz"]


def assert_names_all_that_is_missing(message: str, root: Path) -> None:
    for file in SPEC.files:
        assert file.url in message
        assert str(root / file.path) in message
    assert "--data digits" in message


def test_offline_one_error_names_all_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ZOO_OFFLINE") as caught:
        Store(tmp_path, alternatives=["digits"]).files(SPEC)
    assert_names_all_that_is_missing(str(caught.value), tmp_path)
    assert caught.value.exit_code == 3


def test_downloads_can_be_switched_off(tmp_path: Path, asked: list[str]) -> None:
    with pytest.raises(DataError, match="disabled"):
        Store(tmp_path, download=False).files(SPEC)
    assert asked == []


def test_without_a_network_one_error_names_all_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(url: str, to: Path, sha256: str, size: int) -> None:
        raise UnreachableError("no route to host", where=url)

    monkeypatch.setattr(store_module, "download", unreachable)
    monkeypatch.delenv("ZOO_OFFLINE")
    with pytest.raises(DataError, match="no route to host") as caught:
        Store(tmp_path, alternatives=["digits"]).files(SPEC)
    assert_names_all_that_is_missing(str(caught.value), tmp_path)


def test_files_are_hashed_once_until_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    real = store_module.sha256
    monkeypatch.setattr(store_module, "sha256", lambda path: hashed.append(path.name) or real(path))
    lay(tmp_path, CONTENTS)
    Store(tmp_path).files(SPEC)
    assert sorted(hashed) == ["images.gz", "labels.gz"]
    Store(tmp_path).files(SPEC)
    assert len(hashed) == 2
    changed = tmp_path / "Toy/raw/labels.gz"
    stamp = changed.stat().st_mtime_ns
    changed.write_bytes(CONTENTS["Toy/raw/labels.gz"].upper())  # the same length
    os.utime(changed, ns=(stamp + 1, stamp + 1))
    store = Store(tmp_path)
    store.files(SPEC)
    assert hashed[2:] == ["labels.gz"]
    assert len(store.notes) == 1


def in_place(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def renamed_over(file: Path, content: bytes) -> None:
    file.with_name("other").write_bytes(content)
    file.with_name("other").replace(file)


@pytest.mark.parametrize("put", [in_place, renamed_over])
def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path, put: Callable[[Path, bytes], None]) -> None:
    lay(tmp_path, CONTENTS)
    Store(tmp_path).files(SPEC)
    changed = tmp_path / "Toy/raw/labels.gz"
    before = changed.stat()
    time.sleep(0.02)  # the system's clock for files ticks every few milliseconds
    put(changed, CONTENTS["Toy/raw/labels.gz"].upper())
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (changed.stat().st_size, changed.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    store = Store(tmp_path)
    store.files(SPEC)
    assert "labels.gz is not the official file" in " ".join(store.notes)


def test_a_file_that_changes_while_it_is_hashed_has_no_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(tmp_path, CONTENTS)
    real, file = store_module.sha256, tmp_path / "Toy/raw/labels.gz"

    def hash_and_change(path: Path) -> str:
        found = real(path)
        path.write_bytes(b"longer than it was when it was read")
        return found

    monkeypatch.setattr(store_module, "sha256", hash_and_change)
    with pytest.raises(OSError, match="changes while it is read"):
        Digests(tmp_path).of(file)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"Toy/raw/labels.gz": 3}'])
def test_a_damaged_manifest_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    lay(tmp_path, {**CONTENTS, MANIFEST: damage})
    store = Store(tmp_path)
    store.files(SPEC)
    assert store.notes == []
    assert Digests(tmp_path).of(tmp_path / "Toy/raw/labels.gz") == SPEC.files[1].sha256
    assert (tmp_path / MANIFEST).read_bytes() != damage


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, CONTENTS)
    (tmp_path / MANIFEST).mkdir()  # nothing can be renamed over it
    store = Store(tmp_path)
    assert set(store.files(SPEC)) == set(CONTENTS)
    assert store.notes == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [MANIFEST, "Toy"]


@pytest.mark.parametrize(("size", "words"), [(9912422, "9.9 MB"), (28881, "28.9 kB"), (4542, "4.5 kB")])
def test_sizes_are_said_in_decimal_units(size: int, words: str) -> None:
    assert megabytes(size) == words
