"""Reading takes regular files of a bounded size alone; appending follows no link; a folder that is a link is not
written into."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.errors import StorageError
from zoo.support import untrusted_files
from zoo.support.atomic_files import sha256, write_text
from zoo.support.untrusted_files import (
    UnsuitableFileError,
    check_own_folders,
    check_regular,
    open_log,
    open_regular,
    read_bytes,
    read_text,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes, devices and sockets have no names there")


@pytest.fixture(params=["a folder", "a named pipe", "a socket", "a device"])
def strange(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    """What it is, and a link that leads to it."""
    monkeypatch.chdir(tmp_path)  # the name of a socket may have some hundred characters
    place = tmp_path / "strange"
    listener = socket.socket(socket.AF_UNIX)
    match request.param:
        case "a folder":
            place.mkdir()
        case "a named pipe":
            os.mkfifo(place)
        case "a socket":
            listener.bind("strange")
        case _:
            place = Path("/dev/zero")
    (tmp_path / "link").symlink_to(place)
    yield request.param, tmp_path / "link"
    listener.close()


@pytest.mark.parametrize("read", [check_regular, open_regular, read_bytes, read_text, sha256])
def test_what_is_no_regular_file_is_refused_by_its_kind_and_at_once(strange: tuple[str, Path], read: object) -> None:
    kind, link = strange
    start = time.perf_counter()
    with pytest.raises(UnsuitableFileError) as caught:
        read(link)  # type: ignore[operator]
    assert str(caught.value) == f"is {kind}, not a regular file"
    assert caught.value.filename == str(link)
    assert time.perf_counter() - start < 1


def test_links_are_followed_in_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "file").write_text("é", encoding="utf-8")
    (tmp_path / "link").symlink_to(tmp_path / "hub" / "file")
    assert read_text(tmp_path / "link") == "é"


def test_a_file_beyond_the_limit_is_refused_whatever_its_size_says(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(UnsuitableFileError, match="has more than 4 bytes"):
        read_bytes(path, limit=4)
    os.truncate(path, 1 << 40)  # a hole of a terabyte
    with pytest.raises(UnsuitableFileError, match="more than 1,000 bytes"):
        read_bytes(path, limit=1000)


def test_a_digest_of_a_file_that_grows_without_end_stops(tmp_path: Path) -> None:
    path, stop = tmp_path / "log", threading.Event()
    path.write_bytes(bytes(1 << 22))

    def grow() -> None:
        with path.open("ab") as stream:
            while not stop.is_set() and stream.tell() < 1 << 29:
                stream.write(bytes(1 << 22))

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises(UnsuitableFileError, match="grows while it is read"):
            for _ in range(100):
                sha256(path)
    finally:
        stop.set()
        writer.join()


def test_a_system_without_the_flags_refuses_all_the_same(
    strange: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for flag in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC"):
        monkeypatch.delattr(untrusted_files.os, flag)
    with pytest.raises(UnsuitableFileError, match=strange[0]):
        read_bytes(strange[1])


# ------------------------------------------------------------------------------------------------------------ appending


@pytest.fixture(params=["O_NOFOLLOW", "no O_NOFOLLOW"])
def either_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "no O_NOFOLLOW":
        monkeypatch.delattr(untrusted_files.os, "O_NOFOLLOW")


@pytest.mark.usefixtures("either_system")
def test_a_log_is_made_appended_to_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for line in ("a\n", "é\n"):
        with open_log(path) as stream:
            stream.write(line)
    assert path.read_bytes() == "a\né\n".encode()
    with open_log(path, "r+") as stream:
        stream.truncate(2)
    assert path.read_bytes() == b"a\n"


@pytest.mark.usefixtures("either_system")
@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ("link", "is a symbolic link"),
        ("dangling link", "is a symbolic link"),
        ("hard link", "has a second name"),
        ("named pipe", "is a named pipe"),
        ("folder", "is a folder"),
    ],
)
@pytest.mark.parametrize("mode", ["a", "r+"])
def test_a_log_leads_to_no_other_file(tmp_path: Path, planted: str, said: str, mode: str) -> None:
    mine, log = tmp_path / "diary.txt", tmp_path / "log.txt"
    mine.write_text("dear diary", encoding="utf-8")
    match planted:
        case "link":
            log.symlink_to(mine)
        case "dangling link":
            log.symlink_to(tmp_path / "not yet there")
        case "hard link":
            log.hardlink_to(mine)
        case "named pipe":
            os.mkfifo(log)
        case _:
            log.mkdir()
    with pytest.raises(StorageError, match=said) as caught:
        open_log(log, mode)
    assert caught.value.exit_code == 7
    assert caught.value.fix
    assert mine.read_text(encoding="utf-8") == "dear diary"
    assert not (tmp_path / "not yet there").exists()


def test_a_link_put_there_after_the_look_is_not_written_to_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without O_NOFOLLOW, what was opened is compared with what lies there."""
    monkeypatch.delattr(untrusted_files.os, "O_NOFOLLOW")
    mine, log = tmp_path / "diary.txt", tmp_path / "log.txt"
    mine.write_text("dear diary", encoding="utf-8")
    log.symlink_to(mine)
    monkeypatch.setattr(untrusted_files.os.path, "lexists", lambda _path: False)
    with pytest.raises(StorageError, match="was replaced while it was opened"):
        open_log(log)
    assert mine.read_text(encoding="utf-8") == "dear diary"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(untrusted_files.os, "open", refuse)
    with pytest.raises(StorageError, match="Read-only file system"):
        open_log(tmp_path / "log.txt")


# ------------------------------------------------------------------------------------------------- folders, whole files


def test_a_folder_that_is_a_link_is_refused_and_files_that_are_links_are_not(tmp_path: Path) -> None:
    root, home = tmp_path / "run", tmp_path / "home"
    (root / "checkpoints" / "step-1").mkdir(parents=True)
    home.mkdir()
    (home / "file").touch()
    (root / "checkpoints" / "weights").symlink_to(home / "file")
    (tmp_path / "link").symlink_to(root)
    check_own_folders(tmp_path / "link")
    for target in (home, tmp_path / "not yet there"):
        planted = root / "checkpoints" / "step-1" / "plots"
        planted.symlink_to(target)
        with pytest.raises(StorageError, match="a link stands where a folder of this run belongs") as caught:
            check_own_folders(root)
        assert str(planted) in str(caught.value)
        planted.unlink()


def test_a_whole_file_replaces_a_link_and_leaves_alone_where_it_leads(tmp_path: Path) -> None:
    mine, path = tmp_path / "diary.txt", tmp_path / "run.json"
    mine.write_text("dear diary", encoding="utf-8")
    path.symlink_to(mine)
    write_text(path, "new")
    assert (path.is_symlink(), path.read_text(encoding="utf-8"), mine.read_text(encoding="utf-8")) == (
        False,
        "new",
        "dear diary",
    )
