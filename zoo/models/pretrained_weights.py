"""Pretrained weights by name: shipped in a plugin, in the data folder, or downloaded; converted to safetensors.

DATA/weights/NAMESPACE/ARCHITECTURE/
    NAME.safetensors        what is loaded
    NAME.json               where it came from: address, sha256 of what came, its own sha256
    resnet50-11ad3fa6.pth   the publisher's file after a manual download: converted once, and not changed
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

from zoo.api import ArchitectureSpec, WeightsSpec
from zoo.config.item_options import adaptations_of
from zoo.data.data_folder import Digests, MissingFilesError, megabytes
from zoo.data.downloads import UnreachableError, download
from zoo.errors import CheckpointError, DataError, ZooError
from zoo.registry.lookup import Item, registry
from zoo.support.atomic_files import sha256, write_json
from zoo.support.paths import data_root, offline
from zoo.support.progress import announce
from zoo.support.untrusted_files import read_text

Architecture = Item[ArchitectureSpec]


def weights_file(item: Architecture, name: str, task: str | None = None) -> Path:
    """Return the safetensors file of weights, after checking its sha256 or that of the file it was converted from.

    A missing file is downloaded, after a line with source, size and licence. Raises CheckpointError if the download
    fails or the checksum is wrong.
    """
    spec = item.spec.weights[name]
    if spec.resource is not None:
        return _shipped(item, name, spec)
    place, published = _place(item, name), by_hand(item, name)
    if place.is_file():
        _check_here(place, spec)
    elif published.is_file():
        _convert(published, place, spec, _checked(published, spec))
    else:
        _download(item, name, spec, place, task)
    return place


def _place(item: Architecture, name: str) -> Path:
    return data_root() / "weights" / item.plugin.namespace / item.spec.name / f"{name}.safetensors"


def by_hand(item: Architecture, name: str) -> Path:
    """Return the path for a manual download: with the publisher's file name if it must be converted."""
    spec, place = item.spec.weights[name], _place(item, name)
    return place if spec.format == "safetensors" else place.with_name(str(spec.url).rpartition("/")[2])


def is_here(item: Architecture, name: str) -> bool:
    """Whether the weights can be loaded without a download."""
    return item.spec.weights[name].resource is not None or _place(item, name).is_file() or by_hand(item, name).is_file()


def _shipped(item: Architecture, name: str, spec: WeightsSpec) -> Path:
    package, _, inside = str(spec.resource).partition(":")
    path = Path(str(package_files(package).joinpath(inside)))
    found = sha256(path) if path.is_file() else "no file"
    if found != spec.sha256:
        raise CheckpointError(
            f"the weights '{name}' of {item.canonical} were changed: their sha256 is {found}, not {spec.sha256}",
            where=path,
            fix="reinstall the plugin",
        )
    return path


def _check_here(place: Path, spec: WeightsSpec) -> None:
    """Check a downloaded file against its recorded digest, and a manually saved one against the publisher's."""
    try:
        due = json.loads(read_text(place.with_suffix(".json")))["safetensors"]
    except (OSError, ValueError, KeyError, TypeError):
        due = spec.sha256 if spec.format == "safetensors" else None
    found = _digest(place)
    if due is not None and not found.startswith(str(due)):
        raise CheckpointError(
            f"these weights were changed: their sha256 is {found}, not {due}",
            where=place,
            fix="remove the file to download it again",
        )


def _checked(file: Path, spec: WeightsSpec) -> str:
    found = _digest(file)
    if spec.sha256 is not None and not found.startswith(spec.sha256):
        raise CheckpointError(
            f"this is not the expected file: its sha256 is {found}, not {spec.sha256}…",
            where=file,
            fix=f"download it from {spec.url}",
        )
    return found


def _digest(file: Path) -> str:
    digests = Digests(data_root())
    found = digests.of(file)
    digests.save()
    return found


def _download(item: Architecture, name: str, spec: WeightsSpec, place: Path, task: str | None) -> None:
    if offline():
        raise missing_weights(item, name, "ZOO_OFFLINE forbids downloads", task)
    size = "" if spec.size is None else f", {megabytes(spec.size)}"
    announce(
        f"{item.spec.name}: downloading the weights {name}{size}, from {spec.url} to {place.parent}; licence: "
        f"{spec.licence}"
    )
    fetched = place if spec.format == "safetensors" else place.with_name(f".{name}.download")
    try:
        found = download(str(spec.url), fetched, spec.sha256, None, name=str(spec.url).rpartition("/")[2])
        if spec.format == "torch":
            _convert(fetched, place, spec, found)
        else:
            _note_origin(place, spec, found)
    except UnreachableError as error:
        raise missing_weights(item, name, error.what, task) from error
    except DataError as error:
        raise CheckpointError(
            error.what,
            where=error.where,
            fix=f"try again later, or download the file yourself to {by_hand(item, name)}",
        ) from error
    finally:
        if fetched != place:
            fetched.unlink(missing_ok=True)


def missing_weights(item: Architecture, name: str, cause: str, task: str | None = None) -> CheckpointError:
    return CheckpointError(
        f"the weights '{name}' of {item.canonical} are not here and cannot be downloaded: {cause}",
        where=_place(item, name).parent,
        fix="try again with network access, or save the file below under the given path; meanwhile, "
        f"--weights none starts from random weights{_meanwhile(task)}",
        details=[_listing(item, name)],
    )


def also_missing(error: MissingFilesError, item: Architecture, name: str, task: str) -> MissingFilesError:
    """Return the error for missing data files, with the missing weights of the run added."""
    if is_here(item, name):
        return error
    return MissingFilesError(
        f"{error.what}; the weights '{name}' of {item.canonical} are not here either",
        where=error.where,
        fix=f"{error.fix}; --weights none starts from random weights{_meanwhile(task)}",
        details=[*error.details, _listing(item, name)],
    )


def _meanwhile(wanted: str | None) -> str:
    """Return a suggestion of a recipe of the task ``wanted`` (None: any) that needs no download, or an empty string."""
    catalogue = registry()
    for each in catalogue.items("recipe"):
        try:
            task, dataset = catalogue.task(each.spec.task), catalogue.dataset(each.spec.dataset).spec
            known = catalogue.architecture(each.spec.architecture).spec.weights if each.spec.architecture else {}
        except ZooError:
            continue  # it needs something that is not installed
        weights = known.get(str(each.spec.parameters.get("weights")))
        if (
            wanted in (None, each.spec.task)
            and any(adaptation.spec.needs_weights for adaptation in adaptations_of(catalogue, task))
            and dataset.embedded
            and weights is not None
            and weights.resource is not None
        ):
            return f", and `zoo run {each.spec.name}` needs no download"
    return ""


def _listing(item: Architecture, name: str) -> str:
    """Return URL, size and path."""
    spec = item.spec.weights[name]
    size = "" if spec.size is None else f" ({megabytes(spec.size)})"
    return f"{spec.url}{size} → {by_hand(item, name)}"


def _convert(source: Path, place: Path, spec: WeightsSpec, digest: str) -> None:
    from zoo.models.tensor_files import convert

    convert(source, place)
    _note_origin(place, spec, digest)


def _note_origin(place: Path, spec: WeightsSpec, digest: str) -> None:
    write_json(
        place.with_suffix(".json"),
        {"url": spec.url, "sha256": digest, "safetensors": _digest(place), "licence": spec.licence},
    )


def listed(item: Architecture) -> Sequence[dict[str, Any]]:
    """Return all weights of an architecture, as JSON: name, description, whether the file exists, and its path."""
    rows = []
    for name, spec in item.spec.weights.items():
        place = None if spec.resource is not None else str(by_hand(item, name))
        rows.append(
            {
                "name": name,
                "here": is_here(item, name),
                "place": place,
                **spec.model_dump(mode="json"),
                "classes": len(spec.classes),
            }
        )
    return rows
