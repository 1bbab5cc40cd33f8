"""Fetch weights by their address: from the cache of the Hugging Face Hub or the data folder, else by a download.

ZOO_DATA/weights/sha256/HEX.safetensors     a file from an https URL; its name is its sha256
HF_HUB_CACHE/models--ORG--NAME/…            a file of the Hub, in the cache of huggingface_hub
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data.data_folder import Digests
from zoo.data.downloads import download
from zoo.errors import CheckpointError, DataError, SetupError, UsageError
from zoo.models.weights_address import Address, HubAddress, UrlAddress
from zoo.support.paths import cache_root, data_root, offline
from zoo.support.progress import announce
from zoo.support.untrusted_files import check_regular, read_text

NOT_STATED = "not stated"
LICENCE = re.compile(r"^license:\s*['\"]?([A-Za-z0-9][A-Za-z0-9.+-]{0,63})['\"]?\s*$", re.MULTILINE)
CARD_BYTES = 1 << 20
LARGEST_HEADER = 100_000_000
"""The limit of the format safetensors for its header."""


class Fetched(NamedTuple):
    """A safetensors file on this machine, its sha256, and the licence that its publisher states."""

    path: Path
    sha256: str
    licence: str = NOT_STATED


def fetch(address: Address) -> Fetched:
    """Return the file at an address, downloaded if it is not here. Raises CheckpointError, or SetupError without
    huggingface_hub."""
    found = _from_hub(address) if isinstance(address, HubAddress) else _from_url(address)
    _check_safetensors(found.path, address)
    return found


def is_here(address: Address) -> bool:
    """Whether the file can be fetched without a download."""
    if isinstance(address, UrlAddress):
        return _place(address).is_file()
    try:
        return _cached(address, address.file) is not None
    except SetupError:
        return False


def _place(address: UrlAddress) -> Path:
    return data_root() / "weights" / "sha256" / f"{address.sha256}.safetensors"


def _from_url(address: UrlAddress) -> Fetched:
    place = _place(address)
    if place.is_file():
        found = _digest(place, data_root())
        if found != address.sha256:
            raise CheckpointError(
                f"these weights were changed: their sha256 is {found}, not {address.sha256}",
                where=place,
                fix="remove the file to download it again",
            )
        return Fetched(place, found)
    if offline():
        raise CheckpointError(
            f"the weights {address.label} are not here, and ZOO_OFFLINE forbids downloads",
            where=address.url,
            fix=f"try again with network access, or save the file as {place}",
        )
    announce(f"downloading the weights {address.label}, from {address.url} to {place.parent}; licence: {NOT_STATED}")
    try:
        return Fetched(place, download(address.url, place, address.sha256, None, name=address.label))
    except DataError as error:
        raise CheckpointError(error.what, where=error.where, fix=error.fix) from error


def _digest(file: Path, root: Path) -> str:
    digests = Digests(root)
    found = digests.of(file)
    digests.save()
    return found


def _check_safetensors(path: Path, address: Address) -> None:
    """Raise CheckpointError unless the file begins as a safetensors file does: a length (8 bytes), then JSON."""
    try:
        check_regular(path)
        with path.open("rb") as stream:
            head = stream.read(9)
    except OSError as error:
        raise CheckpointError(
            f"the weights cannot be read: {error.strerror or error}", where=path, fix="check the file's permissions"
        ) from error
    length = int.from_bytes(head[:8], "little")
    if len(head) < 9 or head[8:] != b"{" or not 2 <= length <= min(LARGEST_HEADER, path.stat().st_size - 8):
        raise CheckpointError(
            "this file is not in the format safetensors, and is not loaded",
            where=address.text,
            fix="choose a .safetensors file, or ask its publisher for one",
        )


def _from_hub(address: HubAddress) -> Fetched:
    path = _cached(address, address.file)
    if path is None:
        if offline():
            raise CheckpointError(
                f"the weights {address.text} are not in the cache of the Hugging Face Hub, and ZOO_OFFLINE forbids "
                "downloads",
                where=_hub_setting("HF_HUB_CACHE"),
                fix=f"try again with network access, or: hf download {address.repository} {address.file} "
                f"--revision {address.commit}",
            )
        licence = _licence(_optional(address, "README.md"))
        announce(
            f"downloading the weights {address.file}, from {_hub_setting('ENDPOINT')}/{address.repository} at commit "
            f"{address.commit} to {_hub_setting('HF_HUB_CACHE')}; licence: {licence}"
        )
        path = _downloaded(address, address.file)
    found = _digest(path, cache_root())
    _check_blob(path, found)
    return Fetched(path, found, _licence(_cached(address, "README.md")))


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise SetupError(
            "weights by hf: need the package huggingface_hub", fix="pip install 'torch-zoo[hub]'"
        ) from error
    return huggingface_hub


def _hub_setting(name: str) -> str:
    from huggingface_hub import constants

    return str(getattr(constants, name))


def _cached(address: HubAddress, file: str) -> Path | None:
    found = _hub().try_to_load_from_cache(address.repository, file, revision=address.commit)
    return Path(found) if isinstance(found, str) else None


def _optional(address: HubAddress, file: str) -> Path | None:
    try:
        return _downloaded(address, file)
    except CheckpointError:
        return None


def _downloaded(address: HubAddress, file: str) -> Path:
    """Download a file of the repository into the cache of huggingface_hub, which checks its size and renames it when it
    is complete."""
    hub = _hub()
    from huggingface_hub import utils

    quiet = not sys.stderr.isatty() and not utils.are_progress_bars_disabled()
    if quiet:
        utils.disable_progress_bars()
    try:
        found = Path(hub.hf_hub_download(address.repository, file, revision=address.commit))
    except Exception as error:  # of huggingface_hub, its client for HTTP, or the operating system
        raise _explained(address, error) from error
    finally:
        if quiet:
            utils.enable_progress_bars()
    if address.commit not in found.parts:
        raise CheckpointError(
            "the server sent another commit than the requested one", where=address.text, fix="check the commit"
        )
    return found


def _explained(address: HubAddress, error: Exception) -> CheckpointError:
    from huggingface_hub import errors

    page = f"https://huggingface.co/{address.repository}"
    kinds: list[tuple[Any, str, str]] = [
        (errors.GatedRepoError, "the repository needs a login", f"accept its terms at {page}, then: hf auth login"),
        (errors.RepositoryNotFoundError, "the repository does not exist, or is private", f"check its name: {page}"),
        (errors.RevisionNotFoundError, "the repository has no such commit", f"copy it from {page}/commits/main"),
        (errors.EntryNotFoundError, "the commit has no such file", f"see {page}/tree/{address.commit}"),
        (PermissionError, "the cache of the Hugging Face Hub cannot be written", "set HF_HUB_CACHE to another folder"),
    ]
    for kind, what, fix in kinds:
        if isinstance(error, kind) and not isinstance(error, errors.LocalEntryNotFoundError):  # without network
            return CheckpointError(what, where=address.text, fix=fix)
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return CheckpointError(
        f"the weights cannot be downloaded: {reason[:200]}",
        where=address.text,
        fix="try again with network access, or use a file of your own: --weights FILE",
    )


def _check_blob(path: Path, sha256: str) -> None:
    """Check a file of the cache against its digest: the name of the file that its link leads to, a sha256 or (for small
    files) that of git."""
    due = path.resolve().name
    checks: dict[int, Callable[[], str]] = {64: lambda: sha256, 40: lambda: _git_digest(path)}
    if re.fullmatch(r"[0-9a-f]+", due) and len(due) in checks and checks[len(due)]() != due:
        raise CheckpointError(
            f"these weights were changed: their digest is {checks[len(due)]()}, not {due}",
            where=path,
            fix="remove the file and the one it links to, to download it again",
        )


def _git_digest(path: Path) -> str:
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _licence(card: Path | None) -> str:
    """Return the licence in the header of a repository's README.md."""
    if card is None:
        return NOT_STATED
    try:
        text = read_text(card, CARD_BYTES)
    except OSError:
        return NOT_STATED
    header = text.removeprefix("---").partition("\n---")[0] if text.startswith("---") else ""
    found = LICENCE.search(header)
    return NOT_STATED if found is None else found[1]


def fetched_or_none(address: Address) -> Fetched | None:
    """Return the file if it is here and unchanged."""
    try:
        return fetch(address) if is_here(address) else None
    except (CheckpointError, UsageError):
        return None
