"""The files of a bundle and its description (bundle.json)."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import runtime
from zoo.errors import ExportError, report_to
from zoo.exporting.atomic_publish import INDEX, SIGNATURE, VERIFICATION
from zoo.exporting.card import write_card
from zoo.exporting.client_files import PREDICT
from zoo.exporting.description import FORMAT, sources
from zoo.registry.lookup import Item, Registry
from zoo.support.atomic_files import sha256, write_bytes, write_text
from zoo.support.html_tables import html_facts

if TYPE_CHECKING:
    from zoo.api import Exporter, ExporterSpec, FileFacts
    from zoo.runs.load_model import LoadedModel

CARD = "README.md"


@dataclass(frozen=True)
class Bundle:
    """A published export: its folder, a description of the model's source, and the content of verify.json."""

    path: Path
    source: str
    verification: dict[str, Any]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """Where it is and how far it was from PyTorch, for notebooks."""
        real = self.verification.get("real") or {}
        verified = {"verified on": real.get("dataset"), "largest difference": real.get("max_abs_error")}
        return html_facts(f"bundle {self.path}", {"source": self.source, **verified})


class Staged:
    """The folder of a bundle before it is published: the exporter has written the model to it."""

    def __init__(
        self,
        folder: Path,
        model: Path,
        item: Item[ExporterSpec],
        exporter: Exporter[Any],
        description: dict[str, Any],
        evaluation: dict[str, Any],
        gallery: Path | None = None,
    ) -> None:
        """Write the exporter's client, and a bundle.json with which it can run. Raises ExportError for files that a
        bundle cannot have.

        ``description`` is for clients; ``evaluation`` is what `zoo evaluate` needs in addition. ``gallery`` is copied.
        """
        self.folder, self.model, self._item, self._description = folder, model, item, description
        self._exporter, self._evaluation = exporter, evaluation
        self._model_files = _written(folder, model)
        for name, content in exporter.client(description).items():
            _refuse_name(name, self._model_files)
            write_bytes(folder / name, content)
        if gallery is not None:
            _refuse_name(gallery.name, self._model_files)
            write_bytes(folder / gallery.name, gallery.read_bytes())
        write_sealed_json(folder / INDEX, self._index({}))

    @property
    def predict(self) -> Path | None:
        """The client's predict.py, if it has one."""
        path = self.folder / PREDICT
        return path if path.is_file() else None

    def _index(self, more: dict[str, Any]) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self._description["name"],
            "model": self.model.name,
            "model_files": self._model_files,
            "exporter": {
                "name": self._item.canonical,
                "distribution": self._item.plugin.distribution,
                "version": self._item.plugin.version,
                "options": self._exporter.options.model_dump(mode="json"),
            },
            **more,
            "description": self._description,
            "evaluation": self._evaluation,
            "files": _digests(self.folder),
        }

    def fill(
        self, registry: Registry, loaded: LoadedModel, facts: FileFacts, card: str, verification: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the other files of the bundle; returns the content of verify.json.

        Everything that differs between two exports of one model, such as dates, is in verify.json only.
        """
        found = {**versions(), **facts.versions}
        oldest = {name: ".".join(map(str, version)) for name, version in runtime.OLDEST.items()} if self.predict else {}
        requires = {name: f">={version}" for name, version in {**oldest, **facts.requires}.items()}
        index = self._index({"requires": requires, "versions": found})
        write_text(self.folder / CARD, write_card(index, verification, card, sources(registry, loaded)))
        write_sealed_json(self.folder / INDEX, self._index({"requires": requires, "versions": found}))
        content = {
            "format": FORMAT,
            "model": {"file": self.model.name, "sha256": sha256(self.model), "size_bytes": facts.size_bytes},
            "bundle": {"file": INDEX, "sha256": sha256(self.folder / INDEX)},
            **verification,
            "versions": found,
            "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
        write_sealed_json(self.folder / VERIFICATION, content)
        return dict(json.loads((self.folder / VERIFICATION).read_bytes()))


def write_sealed_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON whose last entry is the sha256 of the bytes before it (see `zoo.runtime.parse_index`)."""
    text = json.dumps(value, indent=2, ensure_ascii=False).removesuffix("\n}")
    write_bytes(path, runtime.sealed_json(f"{text},\n  ".encode(errors="backslashreplace")))


def _written(folder: Path, model: Path) -> list[str]:
    """The files that the exporter wrote, the model first."""
    if not model.is_file():
        raise ExportError(f"the exporter wrote no {model.name}", fix=report_to())
    found = sorted(folder.iterdir())
    for path in found:
        _refuse_name(path.name, ())
        if not path.is_file():
            raise ExportError(f"the exporter wrote a folder, {path.name}", fix=report_to())
    names = [path.name for path in found]
    return sorted(names, key=lambda name: name != model.name)


def _refuse_name(name: str, taken: Collection[str]) -> None:
    reserved = {INDEX, VERIFICATION, SIGNATURE, CARD, *taken}
    if name in reserved or Path(name).name != name or name.startswith("."):
        raise ExportError(f"the exporter cannot name a file '{name}'", fix=report_to())


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for distribution in ("torch-zoo", "torch", "numpy"):
        found[distribution] = metadata.version(distribution)
    return found


def _digests(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        file.name: {"sha256": sha256(file), "size": file.stat().st_size}
        for file in sorted(folder.iterdir())
        if file.name not in (INDEX, VERIFICATION)
    }
