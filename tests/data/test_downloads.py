"""Downloads, against a server on the loopback interface that misbehaves on request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from zoo.data import downloads
from zoo.data.downloads import UnreachableError, download
from zoo.errors import DataError, StorageError

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Handler(BaseHTTPRequestHandler):
    """Each path is a way to answer; the server counts requests by path."""

    def do_GET(self) -> None:
        count = self.server.counts[self.path] = self.server.counts.get(self.path, 0) + 1  # type: ignore[attr-defined]
        match self.path:
            case "/good" | "/gzipped":
                self._send(CONTENT)
            case "/hub":  # as a hub of models: the answer that sends on tells the digest of the file
                self._redirect("/good", {"X-Linked-ETag": f'"{SHA256}"', "X-Linked-Size": str(len(CONTENT))})
            case "/hub-wrong":
                self._redirect("/wrong", {"X-Linked-ETag": f'"{SHA256}"'})
            case "/hub-git":  # a small file that git keeps itself: its tag is no sha256
                self._redirect("/good", {"X-Linked-ETag": '"0123456789abcdef0123456789abcdef01234567"'})
            case "/wrong":
                self._send(CONTENT[::-1])
            case "/long":
                self._send(CONTENT * 3)
            case "/short":  # a body shorter than its own Content-Length: the connection was cut
                self._send(CONTENT[:1000], length=len(CONTENT))
            case "/short-without-length":
                self._send(CONTENT[:1000], length=None)
            case "/second-time":
                self._send(CONTENT if count > 1 else CONTENT[:1000], length=len(CONTENT))
            case "/continued" | "/changed" | "/shrunk":
                self._send_range(count)
            case "/page":
                self._send(PAGE)
            case "/to-good":
                self._redirect("/good")
            case "/to-http":
                self._redirect(f"http://localhost:{self.server.server_address[1]}/good")
            case "/busy":
                self._send(b"", status=503)
            case _:
                self._send(b"", status=404)

    def _send(self, body: bytes, *, length: int | None = -1, status: int = 200) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        if self.path == "/gzipped" and "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(body)

    def _send_range(self, count: int) -> None:
        """The first answer breaks off within its second chunk, and the second one continues it."""
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)  # type: ignore[attr-defined]
        if asked is None:
            self._send(CONTENT if count > 1 else CONTENT[: downloads.CHUNK + 1000], length=len(CONTENT))
            return
        if self.path == "/shrunk":
            self._send(b"", status=416)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        rest = CONTENT[start:] if self.path == "/continued" else CONTENT[start:][::-1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    def _redirect(self, to: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(302)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server(serve: Callable[[type[BaseHTTPRequestHandler]], ThreadingHTTPServer]) -> ThreadingHTTPServer:
    running = serve(Handler)
    running.counts, running.ranges = {}, []  # type: ignore[attr-defined]
    return running


def bring(server: ThreadingHTTPServer, path: str, to: Path) -> None:
    download(server.address + path, to, SHA256, len(CONTENT))  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", ["/good", "/to-good", "/gzipped"])
def test_a_file_arrives_under_its_name_alone(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "new" / "folder" / "file.bin"
    bring(server, path, to)
    assert to.read_bytes() == CONTENT
    assert [entry.name for entry in to.parent.iterdir()] == ["file.bin"]
    assert to.stat().st_mode & 0o444 == 0o444
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("path", "sha256", "size"),
    [
        ("/good", SHA256, None),
        ("/good", SHA256[:8], None),
        ("/good", SHA256[:10], len(CONTENT)),
        ("/hub", None, None),
        ("/hub", SHA256, None),
    ],
)
def test_what_is_known_of_a_file_in_part_is_checked(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, sha256: str | None, size: int | None
) -> None:
    found = download(server.address + path, tmp_path / "file.bin", sha256, size)  # type: ignore[attr-defined]
    assert found == SHA256
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "sha256", "said"),
    [
        ("/wrong", SHA256[:8], f"not {SHA256[:8]}…"),
        ("/hub-wrong", None, SHA256),
        ("/good", None, "the server provides no sha256 for file.bin"),
        ("/hub-git", None, "the server provides no sha256 for file.bin"),
        ("/short", SHA256[:8], "received fewer than its 512,000 bytes"),
        ("/page", None, "the server sent a web page instead of file.bin"),
    ],
)
def test_what_cannot_be_trusted_is_not_kept(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, sha256: str | None, said: str
) -> None:
    with pytest.raises(DataError) as caught:
        download(server.address + path, tmp_path / "data" / "file.bin", sha256, None)  # type: ignore[attr-defined]
    assert said in str(caught.value)
    assert list((tmp_path / "data").iterdir()) == []


FAULTS = {
    "a web page": ("/page", ["the server sent a web page instead of file.bin"]),
    "another content": ("/wrong", [SHA256, hashlib.sha256(CONTENT[::-1]).hexdigest()]),
    "too long": ("/long", ["received more than its 512,000 bytes"]),
    "a short body": ("/short", ["received fewer than its 512,000 bytes"]),
    "a short body, no length": ("/short-without-length", ["received fewer than its 512,000 bytes"]),
    "a redirect to http": ("/to-http", ["redirects to a URL without https", "http://localhost:"]),
    "not found": ("/nothing", ["the server responds with status 404"]),
    "busy": ("/busy", ["503"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_fails_says_why_and_leaves_nothing(server: ThreadingHTTPServer, tmp_path: Path, fault: str) -> None:
    path, said = FAULTS[fault]
    to = tmp_path / "data" / "file.bin"
    with pytest.raises(DataError) as caught:
        bring(server, path, to)
    message = str(caught.value)
    assert all(words in message for words in said), message
    assert str(to) in message
    assert "\n" not in message
    assert list(to.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "attempts"),
    [("/short", 3), ("/busy", 3), ("/second-time", 2), ("/wrong", 1), ("/page", 1), ("/nothing", 1)],
)
def test_only_what_may_pass_is_tried_again(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, attempts: int
) -> None:
    to = tmp_path / "file.bin"
    if path == "/second-time":
        bring(server, path, to)
        assert to.read_bytes() == CONTENT
    else:
        with pytest.raises(DataError):
            bring(server, path, to)
    assert server.counts[path] == attempts  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "ranges"),
    [
        ("/continued", [None, f"bytes={downloads.CHUNK}-"]),
        ("/changed", [None, f"bytes={downloads.CHUNK}-", None]),
        ("/shrunk", [None, f"bytes={downloads.CHUNK}-", None]),
    ],
)
@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_download_that_broke_off_continues_and_begins_again_where_the_file_changed(
    server: ThreadingHTTPServer, tmp_path: Path, path: str, ranges: list[str | None], size: int | None
) -> None:
    to = tmp_path / "file.bin"
    assert download(server.address + path, to, SHA256, size) == SHA256  # type: ignore[attr-defined]
    assert to.read_bytes() == CONTENT
    assert server.ranges == ranges  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == [to]


def test_an_earlier_file_stays_where_its_replacement_fails(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    to = tmp_path / "file.bin"
    to.write_bytes(b"earlier")
    with pytest.raises(DataError):
        bring(server, "/wrong", to)
    assert to.read_bytes() == b"earlier"


@pytest.mark.parametrize("url", ["http://example.com/file.bin", "ftp://example.com/file.bin", "file:///etc/passwd"])
def test_no_address_but_https_is_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match="need https"):
        download(url, tmp_path / "file.bin", SHA256, 1)


def test_no_network_is_one_line_with_address_and_place(
    server: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = "http://127.0.0.1:9/"  # discard: nobody listens
    monkeypatch.setattr(downloads, "ALLOWED", (closed,))
    to = tmp_path / "file.bin"
    with pytest.raises(UnreachableError) as caught:
        download(closed + "file.bin", to, SHA256, 1)
    message = str(caught.value)
    assert closed in message
    assert str(to) in message
    assert "refused" in message
    assert "\n" not in message


def test_a_place_that_cannot_be_written_is_a_storage_error(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StorageError, match="cannot write"):
        bring(server, "/good", tmp_path / "taken" / "file.bin")
