"""One file over https: to a temporary name in its folder, its size and sha256 checked, then renamed.

What fails leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import DataError
from zoo.support.atomic_files import storage_errors
from zoo.support.formatting import printable
from zoo.support.progress import bar

if TYPE_CHECKING:
    import requests
    from requests import Response

ALLOWED = ("https://",)
"""What an address, and every one it redirects to, must start with."""
RETRIES = 2
RETRY_SECONDS = 1.0
TIMEOUT = (10.0, 30.0)
"""Seconds to connect, and to wait for the next bytes."""
CHUNK = 1 << 18
SHA256_DIGITS = 64
SHA256 = re.compile(r"[0-9a-f]{64}")


class UnreachableError(DataError):
    """The server could not be reached, or broke off at every attempt."""


def download(url: str, to: Path, sha256: str | None, size: int | None, *, name: str | None = None) -> str:
    """Download the file that has this sha256 and this many bytes; returns its sha256.

    ``sha256`` may be the digits that it begins with, or None where the server is to tell it (as a hub of models does,
    in ``X-Linked-ETag``); ``size`` is None where only the server knows it. ``name`` is what messages call the file, by
    default that of ``to``. Raises DataError (UnreachableError: no network) or StorageError.
    """
    import pooch
    import requests

    _check_address(url, to)
    pooch.get_logger().setLevel("WARNING")  # what is downloaded has been said already, with its licence
    fetch = _Fetch(to, sha256, size, name or to.name)
    with storage_errors(to):
        to.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(RETRIES + 1):
            try:
                # what is known in part is checked by the fetch
                known = f"sha256:{sha256}" if len(sha256 or "") == SHA256_DIGITS else None
                pooch.retrieve(url, known_hash=known, fname=to.name, path=to.parent, downloader=fetch)
                return fetch.found
            except requests.RequestException as error:
                if attempt == RETRIES:
                    raise UnreachableError(
                        f"cannot download {fetch.name}: {_reason(error)}", where=url, fix=_by_hand(to)
                    ) from error
                time.sleep(RETRY_SECONDS)
    raise AssertionError("unreachable: the last attempt returns or raises")


class _Fetch:
    """The downloader that pooch calls with an address and a temporary file.

    Raises RequestException where another attempt may help.
    """

    def __init__(self, to: Path, sha256: str | None, size: int | None, name: str) -> None:
        self.to, self.sha256, self.size, self.name = to, sha256, size, name
        self.found = ""

    def __call__(self, url: str, output: str, _pooch: object) -> None:
        import requests

        # a server that calls .gz a coding of its content must not have it decoded on the way
        plain = {"Accept-Encoding": "identity"}
        with requests.get(
            url, headers=plain, stream=True, timeout=TIMEOUT, hooks={"response": self._check_redirect}
        ) as response:
            if 400 <= response.status_code < 500:
                raise DataError(
                    f"cannot download {self.name}: the server answers {response.status_code}",
                    where=url,
                    fix=_by_hand(self.to),
                )
            response.raise_for_status()
            for answer in (*response.history, response):
                self._listen(answer)
            self._store(response, Path(output))

    def _listen(self, response: Response) -> None:
        """What the server says of the file: of its digest where none is known, of its size where that is not."""
        told = response.headers.get("x-linked-etag", "").strip('"').lower()
        if self.sha256 is None and SHA256.fullmatch(told):
            self.sha256 = told
        length = response.headers.get("x-linked-size") or (
            response.headers.get("content-length") if not response.is_redirect else None
        )
        if self.size is None and length is not None and length.isdecimal():
            self.size = int(length)

    def _store(self, response: Response, output: Path) -> None:
        digest, received, first = hashlib.sha256(), 0, b""
        with output.open("wb") as stream, _progress(self.name, self.size) as advance:
            for chunk in _chunks(response):
                first = first or chunk[:512]
                stream.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                advance(len(chunk))
                if self.size is not None and received > self.size:
                    break
        self._check_content(response.url, first, received, digest.hexdigest())
        output.chmod(0o644)  # temporary files are private; data is for everyone whom the folder lets in

    def _check_content(self, url: str, first: bytes, received: int, digest: str) -> None:
        import requests

        if first.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise DataError(f"a web page came in place of {self.name}", where=url, fix=_by_hand(self.to))
        if self.size is not None and received < self.size:
            raise requests.ConnectionError(f"fewer than its {self.size:,} bytes arrived")
        if self.sha256 is None:
            raise DataError(
                f"the server tells no sha256 of {self.name}, so what came cannot be trusted",
                where=url,
                fix=_by_hand(self.to),
            )
        if not digest.startswith(self.sha256):
            size = (
                f"more than its {self.size:,} bytes arrived and "
                if self.size is not None and received > self.size
                else ""
            )
            due = self.sha256 if len(self.sha256) == SHA256_DIGITS else f"{self.sha256}…"
            raise DataError(
                f"{self.name} is not the file it should be: {size}its sha256 is {digest}, not {due}",
                where=url,
                fix=_by_hand(self.to),
            )
        self.found = digest

    def _check_redirect(self, response: Response, *_args: object, **_options: object) -> None:
        if response.is_redirect:
            from urllib.parse import urljoin

            try:
                _check_address(
                    urljoin(response.url, response.headers["location"]), self.to, redirected_from=response.url
                )
            except DataError:
                response.close()  # requests has not handed it out yet
                raise


def _check_address(url: str, to: Path, redirected_from: str | None = None) -> None:
    if not url.startswith(ALLOWED):
        how = (
            "downloads are https only, and this address is not"
            if redirected_from is None
            else f"{redirected_from} redirects to an address without https"
        )
        raise DataError(f"{to.name}: {how}", where=url, fix=_by_hand(to))


def _chunks(response: Response) -> Iterator[bytes]:
    """The body as it comes; one that is cut off just ends, since its length is checked anyway."""
    import requests

    try:
        yield from response.iter_content(CHUNK)
    except requests.exceptions.ChunkedEncodingError:
        return


@contextmanager
def _progress(name: str, size: int | None) -> Iterator[Any]:
    """A function to call with every count of new bytes; it draws a bar where stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    with bar(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as progress:
        task = progress.add_task(printable(name), total=size)
        yield lambda count: progress.advance(task, count)


def _reason(error: requests.RequestException) -> str:
    """What went wrong, in plain words: the libraries' own text has the names of their classes."""
    from requests import exceptions

    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    if "NameResolutionError" in repr(error):
        return "the name of the server cannot be resolved"
    kinds = {
        exceptions.SSLError: "the certificate of the server is not accepted",
        exceptions.ProxyError: "the proxy cannot be reached",
        exceptions.Timeout: "the server does not answer in time",
        exceptions.TooManyRedirects: "the server redirects without end",
    }
    known = next((text for kind, text in kinds.items() if isinstance(error, kind)), None)
    ours = len(error.args) == 1 and isinstance(error.args[0], str)  # raised here, by `_check_content`
    return known or (str(error) if ours else _system_reason(error) or "the server cannot be reached")


def _system_reason(error: BaseException) -> str | None:
    """What the operating system says beneath the libraries' errors, such as "Connection refused"."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror and below.errno:
            return below.strerror
        below = below.__cause__ or below.__context__
    return None


def _by_hand(to: Path) -> str:
    return f"try again later, or put the file there by hand: {to}"
