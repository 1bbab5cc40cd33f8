"""Weights by their address, against servers on the loopback interface and a cache of the Hub that the test writes."""

from __future__ import annotations

import builtins
import hashlib
import pickle
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from zoo.errors import CheckpointError, SetupError
from zoo.models.tensor_files import read_tensors
from zoo.models.weights_address import HubAddress, UrlAddress
from zoo.models.weights_download import Fetched, fetch, fetched_or_none, is_here
from zoo.support.paths import data_root

CONTENT = save({"weight": torch.arange(6.0).reshape(2, 3)})
OTHER = save({"weight": torch.zeros(2, 3)})
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CARD = b"---\nlanguage: en\nlicense: apache-2.0\n---\n# A network\n\nlicense: mit\n"


class Loads:
    """Unpickling it fails the test."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was loaded",)


PICKLE = pickle.dumps(Loads())
FILES = {
    "/net.safetensors": CONTENT,
    "/changed.safetensors": OTHER,
    "/really-a-pickle": PICKLE,
    "/page.safetensors": b"<!DOCTYPE html><html></html>",
    **{
        f"/org/net/resolve/{COMMIT}/{name}": content
        for name, content in (
            ("model.safetensors", CONTENT),
            ("README.md", CARD),
            ("pickle.safetensors", PICKLE),
        )
    },
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `FILES`, those of the Hub with its headers; the server records the requests."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        self.server.asked.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        content = FILES.get(self.path)
        self.send_response(200 if content is not None else 404)
        if "/resolve/" in self.path:
            self.send_header("X-Repo-Commit", self.server.commit)  # type: ignore[attr-defined]
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            else:
                self.send_header("ETag", f'"{sha256(content)}"')
        content = content or b""
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server(
    serve: Callable[[type[BaseHTTPRequestHandler]], ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> ThreadingHTTPServer:
    monkeypatch.delenv("ZOO_OFFLINE")
    running = serve(Handler)
    running.asked, running.commit = [], COMMIT  # type: ignore[attr-defined]
    return running


def at(server: Any, path: str, content: bytes = CONTENT) -> UrlAddress:
    """An address of the loopback server, which is no https: only the parser insists on that, and `download`."""
    return UrlAddress(server.address + path, sha256(content))


def place(content: bytes = CONTENT) -> Path:
    return data_root() / "weights" / "sha256" / f"{sha256(content)}.safetensors"


def test_a_url_is_downloaded_once_and_kept_under_its_sha256(
    server: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = at(server, "/net.safetensors")
    assert not is_here(address)
    assert fetch(address) == Fetched(place(), sha256(CONTENT), "not stated")
    assert place().read_bytes() == CONTENT
    assert [file.name for file in place().parent.iterdir()] == [place().name]
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "downloading the weights net.safetensors, from " in told
    assert "licence: not stated" in told
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    assert is_here(address) and fetch(address).path == place()
    assert server.asked == ["GET /net.safetensors"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("/changed.safetensors", CONTENT, f"its sha256 is {sha256(OTHER)}, not {sha256(CONTENT)}"),
        ("/page.safetensors", CONTENT, "the server sent a web page"),
        ("/absent.safetensors", CONTENT, "the server responds with status 404"),
        ("/really-a-pickle", PICKLE, "this file is not in the format safetensors, and is not loaded"),
    ],
)
def test_what_is_not_the_file_is_refused(server: Any, path: str, content: bytes, words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        fetch(at(server, path, content))
    assert words in str(caught.value) and "fix: " in str(caught.value) and len(caught.value.lines) == 1
    assert not place().exists()


def test_offline_the_error_says_where_to_put_the_file(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="ZOO_OFFLINE forbids downloads") as caught:
        fetch(at(server, "/net.safetensors"))
    assert str(caught.value).endswith(f"or save the file as {place()}")
    assert server.asked == []
    place().parent.mkdir(parents=True)
    place().write_bytes(CONTENT)
    assert fetch(at(server, "/net.safetensors")).path == place()


def test_a_kept_file_that_changed_is_refused(server: Any) -> None:
    address = at(server, "/net.safetensors")
    fetch(address).path.write_bytes(OTHER)
    with pytest.raises(CheckpointError, match=r"these weights were changed: their sha256 is .*; fix: remove the file"):
        fetch(address)
    assert fetched_or_none(address) is None


def test_an_unencrypted_url_is_not_downloaded(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.data.downloads.ALLOWED", ("https://",))
    with pytest.raises(CheckpointError, match="downloads need https"):
        fetch(at(server, "/net.safetensors"))
    assert server.asked == []


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the Hub's cache; nothing else of the user's settings is used."""
    constants = pytest.importorskip("huggingface_hub.constants")
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture
def hub(server: Any, hub_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The loopback server as the Hub."""
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(file_download, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)  # of versions before 1.0
    yield server
    close = getattr(__import__("huggingface_hub"), "close_session", None)
    if close is not None:
        close()


def put(cache: Path, content: bytes, name: str = "model.safetensors", blob: str | None = None) -> Path:
    """Puts a file into the cache as huggingface_hub does: a link to a file called by its digest."""
    folder = cache / "models--org--net"
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "snapshots" / COMMIT).mkdir(parents=True, exist_ok=True)
    kept = folder / "blobs" / (blob or sha256(content))
    kept.write_bytes(content)
    link = folder / "snapshots" / COMMIT / name
    link.symlink_to(kept)
    return link


def test_a_file_of_the_hub_is_taken_from_its_cache_without_network(hub_cache: Path) -> None:
    link = put(hub_cache, CONTENT)
    git = hashlib.sha1(b"blob %d\0" % len(CARD) + CARD, usedforsecurity=False).hexdigest()
    put(hub_cache, CARD, "README.md", git)
    address = HubAddress("org/net", COMMIT, "model.safetensors")
    assert is_here(address)
    assert fetch(address) == Fetched(link, sha256(CONTENT), "apache-2.0")
    assert torch.equal(read_tensors(link)["weight"], torch.arange(6.0).reshape(2, 3))
    assert not is_here(HubAddress("org/net", COMMIT[::-1], "model.safetensors"))


def test_a_file_that_is_not_in_the_cache_is_an_error_offline(hub_cache: Path) -> None:
    with pytest.raises(CheckpointError, match="ZOO_OFFLINE forbids downloads") as caught:
        fetch(HubAddress("org/net", COMMIT, "model.safetensors"))
    assert f"hf download org/net model.safetensors --revision {COMMIT}" in str(caught.value)


@pytest.mark.parametrize("blob", [sha256(CONTENT), hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest()])
def test_a_file_of_the_cache_that_is_not_what_its_name_says_is_refused(hub_cache: Path, blob: str) -> None:
    put(hub_cache, OTHER, blob=blob)
    with pytest.raises(CheckpointError, match="these weights were changed: their digest is"):
        fetch(HubAddress("org/net", COMMIT, "model.safetensors"))


def test_a_pickle_in_the_cache_is_not_loaded(hub_cache: Path) -> None:
    put(hub_cache, PICKLE)
    with pytest.raises(CheckpointError, match="this file is not in the format safetensors, and is not loaded"):
        fetch(HubAddress("org/net", COMMIT, "model.safetensors"))


@pytest.mark.parametrize(
    ("header", "licence"),
    [
        (b"---\nlicense: bsd-3-clause\n---\n", "bsd-3-clause"),
        (b"---\nlicense: 'mit'\n---\n", "mit"),
        (b"license: mit\n", "not stated"),
        (b"---\nlicense: [x](javascript:y)\n---\n", "not stated"),
        (b"---\nlicense: !!python/object/apply:os.system ['true']\n---\n", "not stated"),
        (b"\xff\xfe", "not stated"),
    ],
)
def test_the_licence_is_that_of_the_repositorys_card(hub_cache: Path, header: bytes, licence: str) -> None:
    put(hub_cache, CONTENT)
    put(hub_cache, header, "README.md", "card")
    assert fetch(HubAddress("org/net", COMMIT, "model.safetensors")).licence == licence


def test_a_file_of_the_hub_is_downloaded_once(
    hub: Any, hub_cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = HubAddress("org/net", COMMIT, "model.safetensors")
    found = fetch(address)
    assert found.path.is_relative_to(hub_cache) and found.path.read_bytes() == CONTENT
    assert (found.sha256, found.licence) == (sha256(CONTENT), "apache-2.0")
    told = capsys.readouterr().err
    assert f"at commit {COMMIT} to {hub_cache}; licence: apache-2.0" in told
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    count = len(hub.asked)
    assert fetch(address) == found
    assert len(hub.asked) == count


def test_a_file_that_the_repository_lacks_is_named(hub: Any) -> None:
    with pytest.raises(CheckpointError, match="the commit has no such file") as caught:
        fetch(HubAddress("org/net", COMMIT, "absent.safetensors"))
    assert "fix: see https://huggingface.co/org/net/tree/" in str(caught.value) and len(caught.value.lines) == 1


def test_another_commit_than_the_requested_one_is_refused(hub: Any) -> None:
    hub.commit = COMMIT[::-1]
    with pytest.raises(CheckpointError, match="the server sent another commit than the requested one"):
        fetch(HubAddress("org/net", COMMIT, "model.safetensors"))


def test_a_downloaded_pickle_is_not_loaded(hub: Any) -> None:
    with pytest.raises(CheckpointError, match="this file is not in the format safetensors, and is not loaded"):
        fetch(HubAddress("org/net", COMMIT, "pickle.safetensors"))


def test_without_huggingface_hub_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> Any:
        if name.partition(".")[0] == "huggingface_hub":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SetupError, match=r"pip install 'torch-zoo\[hub\]'"):
        fetch(HubAddress("org/net", COMMIT, "model.safetensors"))
    assert not is_here(HubAddress("org/net", COMMIT, "model.safetensors"))
