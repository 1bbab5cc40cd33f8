"""Download a file over https to a temporary name, check size and sha256, and rename it. Failures leave no file."""

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
from zoo.support.temporary_folders import temporary_folder

if TYPE_CHECKING:
    import requests
    from requests import Response

ALLOWED = ("https://",)
"""The required prefix of a URL and of all its redirects."""
RETRIES = 2
RETRY_SECONDS = 1.0
TIMEOUT = (10.0, 30.0)
"""The timeouts in seconds for the connection and for the next bytes."""
CHUNK = 1 << 18
OK, PARTIAL, UNSATISFIABLE = 200, 206, 416
"""Status codes of HTTP."""
SHA256_DIGITS = 64
SHA256 = re.compile(r"[0-9a-f]{64}")


class UnreachableError(DataError):
    """The server could not be reached, or every attempt was interrupted."""


def download(url: str, to: Path, sha256: str | None, size: int | None, *, name: str | None = None) -> str:
    """Download the file with this sha256 and size in bytes, and return its sha256.

    ``sha256`` may be the first digits, or None if the server provides it (in ``X-Linked-ETag``, as the Hugging Face Hub
    does). ``size`` may be None. ``name`` is the file's name in messages, by default that of ``to``. A download that
    breaks off continues where it was, if the server supports it; the digest is that of the whole file. Raises DataError
    (UnreachableError: no network) or StorageError.
    """
    import pooch
    import requests

    _check_address(url, to)
    pooch.get_logger().setLevel("WARNING")  # zoo has already printed source and licence
    with storage_errors(to), temporary_folder(to.parent, to.name) as folder:
        fetch = _Fetch(to, sha256, size, name or to.name, folder / "part")
        for attempt in range(RETRIES + 1):
            try:
                # A partial digest is checked by `_Fetch`.
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
    """The downloader that pooch calls with an address and a temporary file. ``part`` keeps what was received of a
    download that broke off.

    Raises RequestException if another attempt may help.
    """

    def __init__(self, to: Path, sha256: str | None, size: int | None, name: str, part: Path) -> None:
        self.to, self.sha256, self.size, self.name, self.part = to, sha256, size, name, part
        self.found = ""

    def __call__(self, url: str, output: str, _pooch: object) -> None:
        import requests

        # Some servers declare .gz files as a content encoding; they must not be decoded.
        headers = {"Accept-Encoding": "identity"}
        start = self.part.stat().st_size if self.part.exists() else 0
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=TIMEOUT, hooks={"response": self._check_redirect}
        ) as response:
            if start and response.status_code == UNSATISFIABLE:
                self.part.unlink()
                raise requests.ConnectionError("the file on the server is shorter than what was received of it")
            if 400 <= response.status_code < 500:
                raise DataError(
                    f"cannot download {self.name}: the server responds with status {response.status_code}",
                    where=url,
                    fix=_by_hand(self.to),
                )
            response.raise_for_status()
            for answer in (*response.history, response):
                self._listen(answer)
            continued = response.headers.get("content-range", "").startswith(f"bytes {start}-")
            self._store(response, Path(output), start if response.status_code == PARTIAL and continued else 0)

    def _listen(self, response: Response) -> None:
        """Take digest and size from the response headers if they are unknown."""
        told = response.headers.get("x-linked-etag", "").strip('"').lower()
        if self.sha256 is None and SHA256.fullmatch(told):
            self.sha256 = told
        length = response.headers.get("x-linked-size") or (
            response.headers.get("content-length") if response.status_code == OK else None
        )
        if self.size is None and length is not None and length.isdecimal():
            self.size = int(length)

    def _store(self, response: Response, output: Path, start: int) -> None:
        """Write the body, which continues the part if ``start`` is its length, and otherwise replaces it."""
        import requests

        with self.part.open("r+b" if start else "w+b") as stream, _progress(self.name, self.size) as advance:
            digest, received = hashlib.sha256(), 0
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                digest.update(chunk)
                received += len(chunk)
            advance(received)
            for chunk in _chunks(response):
                stream.write(chunk)
                digest.update(chunk)
                received += len(chunk)
                advance(len(chunk))
                if self.size is not None and received > self.size:
                    break
        with self.part.open("rb") as stream:
            first = stream.read(512)
        try:
            self._check_content(response.url, first, received, digest.hexdigest())
        except DataError as error:
            if not start:
                raise
            self.part.unlink()
            raise requests.ConnectionError("the file on the server changed during the download") from error
        self.part.replace(output)
        output.chmod(0o644)  # temporary files are private, but data files are shared

    def _check_content(self, url: str, first: bytes, received: int, digest: str) -> None:
        import requests

        if first.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise DataError(f"the server sent a web page instead of {self.name}", where=url, fix=_by_hand(self.to))
        if self.size is not None and received < self.size:
            raise requests.ConnectionError(f"received fewer than its {self.size:,} bytes")
        if self.sha256 is None:
            raise DataError(
                f"the server provides no sha256 for {self.name}, so the download cannot be verified",
                where=url,
                fix=_by_hand(self.to),
            )
        if not digest.startswith(self.sha256):
            size = (
                f"received more than its {self.size:,} bytes; "
                if self.size is not None and received > self.size
                else ""
            )
            due = self.sha256 if len(self.sha256) == SHA256_DIGITS else f"{self.sha256}…"
            raise DataError(
                f"{self.name} is not the expected file: {size}its sha256 is {digest}, not {due}",
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
                response.close()  # requests has not returned it yet
                raise


def _check_address(url: str, to: Path, redirected_from: str | None = None) -> None:
    if not url.startswith(ALLOWED):
        how = (
            "downloads need https, but this URL is not https"
            if redirected_from is None
            else f"{redirected_from} redirects to a URL without https"
        )
        raise DataError(f"{to.name}: {how}", where=url, fix=_by_hand(to))


def _chunks(response: Response) -> Iterator[bytes]:
    """Yield the body; an interrupted one just ends, because its length is checked afterwards."""
    import requests

    try:
        yield from response.iter_content(CHUNK)
    except requests.exceptions.ChunkedEncodingError:
        return


@contextmanager
def _progress(name: str, size: int | None) -> Iterator[Any]:
    """Yield a function to call with the number of new bytes; it draws a progress bar if stderr is a terminal."""
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
        return f"the server responds with status {error.response.status_code}"
    if "NameResolutionError" in repr(error):
        return "the name of the server cannot be resolved"
    kinds = {
        exceptions.SSLError: "the certificate of the server is not accepted",
        exceptions.ProxyError: "the proxy cannot be reached",
        exceptions.Timeout: "the server does not respond in time",
        exceptions.TooManyRedirects: "the server redirects too many times",
    }
    known = next((text for kind, text in kinds.items() if isinstance(error, kind)), None)
    ours = len(error.args) == 1 and isinstance(error.args[0], str)  # raised here, by `_check_content`
    return known or (str(error) if ours else _system_reason(error) or "the server cannot be reached")


def _system_reason(error: BaseException) -> str | None:
    """Return the operating system's message, such as "Connection refused"."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.strerror and below.errno:
            return below.strerror
        below = below.__cause__ or below.__context__
    return None


def _by_hand(to: Path) -> str:
    return f"try again later, or download the file yourself to {to}"
