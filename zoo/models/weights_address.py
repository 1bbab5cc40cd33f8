"""The addresses of weights outside of any plugin: a file on the Hugging Face Hub, or an https URL with its sha256.

Both fix the content: the first by a commit, the second by the digest. Nothing is opened here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from zoo.errors import CheckpointError, UsageError

HUB, HTTPS, HTTP = "hf:", "https://", "http://"
HUB_FILE = "model.safetensors"
"""The file of a repository that is loaded if none is named."""
SUFFIX = ".safetensors"
OTHER_FORMATS = (".pt", ".pth", ".pkl", ".bin", ".ckpt", ".h5", ".npz", ".msgpack")
"""Suffixes of weights in other formats, most of them pickles. A URL may also end with none."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
REPOSITORY = re.compile(rf"{NAME}/{NAME}")
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")
HUB_FORM = "hf:ORGANISATION/NAME@COMMIT[:FILE]"
HTTPS_FORM = "https://HOST/FILE.safetensors#sha256=HEX"


@dataclass(frozen=True)
class HubAddress:
    """A file of a model repository on the Hugging Face Hub, at a commit (40 hexadecimal digits)."""

    repository: str
    commit: str
    file: str

    @property
    def text(self) -> str:
        return f"{HUB}{self.repository}@{self.commit}:{self.file}"

    @property
    def source(self) -> str:
        return f"https://huggingface.co/{self.repository}/blob/{self.commit}/{self.file}"

    @property
    def label(self) -> str:
        return self.text


@dataclass(frozen=True)
class UrlAddress:
    """A file at an https URL, with the sha256 of its content (64 hexadecimal digits)."""

    url: str
    sha256: str

    @property
    def text(self) -> str:
        return f"{self.url}#sha256={self.sha256}"

    @property
    def source(self) -> str:
        return self.url

    @property
    def label(self) -> str:
        """The name of the file."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2] or self.url


Address = HubAddress | UrlAddress


def is_address(text: str) -> bool:
    """Whether a text for weights is an address, valid or not."""
    return text.startswith((HUB, HTTPS, HTTP))


def parse_address(text: str) -> Address:
    """Return the address that `is_address` recognised.

    Raises UsageError if it does not fix the content, CheckpointError for a file of another format than safetensors.
    """
    return _hub_address(text) if text.startswith(HUB) else _url_address(text)


def _hub_address(text: str) -> HubAddress:
    rest, colon, file = text.removeprefix(HUB).partition(":")
    repository, at, commit = rest.partition("@")
    if not REPOSITORY.fullmatch(repository):
        raise _refused(f"'{repository}' is not the name of a repository on the Hugging Face Hub", HUB_FORM)
    if not at or not commit:
        raise _refused(f"{text} names no commit, so its content may change", HUB_FORM)
    if not COMMIT.fullmatch(commit.lower()):
        raise UsageError(
            f"'{commit}' is not a commit, which has 40 hexadecimal digits; the content of a branch or a tag may change",
            where="weights",
            fix=f"copy it from https://huggingface.co/{repository}/commits/main",
        )
    file = file if colon else HUB_FILE
    parts = file.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\\" in file or not file.isprintable():
        raise _refused(f"'{file}' is not a file of a repository", HUB_FORM)
    if not file.endswith(SUFFIX):
        raise _other_format(text)
    return HubAddress(repository, commit.lower(), file)


def _url_address(text: str) -> UrlAddress:
    url, _, fragment = text.partition("#")
    if not url.startswith(HTTPS):
        raise _refused("downloads need https, but this URL is not https", HTTPS_FORM)
    try:
        parts = urlsplit(url)
        host, user = parts.hostname, parts.username or parts.password
    except ValueError as error:
        raise _refused(f"'{url}' is not a URL", HTTPS_FORM) from error
    if not host or not text.isprintable() or " " in url:
        raise _refused(f"'{url}' is not a URL", HTTPS_FORM)
    if user is not None:
        raise _refused("the URL has a user name or a password, which zoo would record with the weights", HTTPS_FORM)
    key, _, digest = fragment.partition("=")
    if key != "sha256" or not SHA256.fullmatch(digest.lower()):
        what = "has no sha256" if not fragment else "does not end with #sha256= and 64 hexadecimal digits"
        raise _refused(f"the URL of the weights {what}, so its content may change", HTTPS_FORM)
    if parts.path.lower().endswith(OTHER_FORMATS):
        raise _other_format(url)
    return UrlAddress(url, digest.lower())


def _refused(what: str, form: str) -> UsageError:
    return UsageError(what, where="weights", fix=f"write {form}")


def _other_format(text: str) -> CheckpointError:
    return CheckpointError(
        "this file is not in the format safetensors; a pickle can run code when it is loaded, and zoo loads none",
        where=text,
        fix="choose a .safetensors file, or download the file yourself and convert it with `zoo weights convert`",
    )
