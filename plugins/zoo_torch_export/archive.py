"""Read and check a ``.pt2`` archive of torch.export, without torch, and without running any of it.

`torch.export.load` does not only read tensors and a graph. By the code of torch 2.11 to 2.15
(torch/export/pt2_archive/_package.py, torch/_export/serde/serialize.py), it runs code of the archive in these places:

- Pickles: example inputs (``data/sample_inputs``: loaded with ``weights_only=True``, and after any error again without
  it), weights and constants that are marked ``use_pickle`` or are in the form of torch 2.8 (``data/weights/model.pt``),
  custom objects, and all members of archives from before torch 2.8, which are tried after any RuntimeError.
- Shared libraries: ``data/aotinductor``.
- The program, ``models/model.json``: symbolic sizes are evaluated as Python (sympy.sympify), guards are executed if
  there are example inputs, names of arguments and weights become part of generated Python code, the structure of inputs
  and outputs imports the module that it names, and some operators read and write files (``aten.from_file``).

`Archive` therefore accepts only members, operators, sizes and names of known forms. `Archive.rebuilt` returns a new
archive with the checked content alone, so that torch reads nothing else, whatever it makes of the original file.

This file is in bundles as ``pt2_archive.py``, and `program` as ``pt2_program.py``. Neither imports zoo.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __package__:
    from zoo_torch_export import program as pt2_program
else:
    import pt2_program  # type: ignore[import-not-found,no-redef]  # beside this file in a bundle

PROGRAM, WEIGHTS, CONSTANTS = (
    "models/model.json",
    "data/weights/model_weights_config.json",
    "data/constants/model_constants_config.json",
)
SAMPLES = "data/sample_inputs/model.pt"
"""torch reads this member always; if it is empty, there are no example inputs, and nothing is unpickled."""
VERSIONS = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
PLAIN = {PROGRAM, WEIGHTS, CONSTANTS, SAMPLES, ".data/version", ".data/serialization_id", *VERSIONS}
EXTRA = "extra/"
TENSOR = re.compile(r"(data/weights/)weight_\d{1,9}|(data/constants/)tensor_\d{1,9}")
PICKLED = re.compile(r"data/(sample_inputs|constants|weights)/.*|serialized_.*|version")
LARGEST_JSON = 256 << 20
MOST_REASONS = 20


class UnsafeArchiveError(ValueError):
    """An archive that is not loaded; the text is the reason."""


class Archive:
    """The checked content of a file.

    ``refused`` are the reasons not to load it, empty for one that is safe to load. ``members`` are sizes in bytes by
    name, without the folder that torch puts around all. ``program``, ``weights`` and ``constants`` are the JSON
    objects. ``metadata`` are the extra files, as text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: list[str] = []
        self.members: dict[str, int] = {}
        self.program: dict[str, Any] = {}
        self.weights: dict[str, Any] = {}
        self.constants: dict[str, Any] = {}
        self.metadata: dict[str, str] = {}
        self._root = ""
        try:
            with zipfile.ZipFile(path) as archive:
                self._read(archive, path.stat().st_size)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
            self.refused.insert(0, f"it is damaged, or no archive of torch.export: {_one_line(error)}")

    def _read(self, archive: zipfile.ZipFile, size: int) -> None:
        infos = archive.infolist()
        if sum(info.file_size for info in infos) > size:
            raise ValueError("its members are larger than the file")
        self._root = infos[0].filename.partition("/")[0] if infos else ""
        self.refused += list(self._structure(infos))
        missing = sorted((PLAIN - {".data/serialization_id", "byteorder"}) - set(self.members))
        if missing:
            self.refused.append(f"members are missing: {', '.join(missing[:5])}")
        if self.refused:
            return
        for name, due in VERSIONS.items():
            if name in self.members and self._bytes(archive, name) != due:
                self.refused.append(f"its {name} is not {due.decode()}")
        self.program, self.weights, self.constants = (
            self._json(archive, name) for name in (PROGRAM, WEIGHTS, CONSTANTS)
        )
        for name in self.members:
            if name.startswith(EXTRA):
                self.metadata[name[len(EXTRA) :]] = self._bytes(archive, name).decode("utf-8")
        self.refused += [*self._tensors(), *pt2_program.faults(pt2_program.cleaned(self.program))]
        del self.refused[MOST_REASONS:]

    def _structure(self, infos: list[zipfile.ZipInfo]) -> Iterator[str]:
        for info in infos:
            root, _, name = info.filename.partition("/")
            if root != self._root or not name or name in self.members:
                yield f"the member {info.filename[:80]!r} is in another folder, or there twice"
            elif info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                yield f"the member {name[:80]!r} is compressed or encrypted, which torch.export does not write"
            elif name == SAMPLES and info.file_size:
                yield f"the member '{SAMPLES}' is a pickle of example inputs, which torch.export.load would load"
            elif name.startswith("data/aotinductor/"):
                yield f"the member {name[:80]!r} is compiled code, which torch.export.load would run"
            elif name not in PLAIN and not TENSOR.fullmatch(name) and not name.startswith(EXTRA):
                pickled = PICKLED.fullmatch(name)
                yield f"{name[:80]!r} is " + (
                    "loaded as a pickle" if pickled else "no member of a torch.export archive"
                )
            elif name.endswith(".json") and info.file_size > LARGEST_JSON:
                yield f"{name} is larger than {LARGEST_JSON >> 20} MiB"
            self.members[name] = info.file_size

    def _tensors(self) -> Iterator[str]:
        """Faults of the tables of weights and constants."""
        for folder, table in (("data/weights/", self.weights), ("data/constants/", self.constants)):
            config = table.get("config")
            if not isinstance(config, dict) or len(table) != 1:
                yield f"the table of {folder} is damaged"
                continue
            for name, entry in config.items():
                if not isinstance(entry, dict) or entry.get("use_pickle") is not False:
                    yield f"the tensor {name[:80]!r} is a pickle, which torch.export.load would load"
                elif not TENSOR.fullmatch(f"{folder}{entry.get('path_name')}"):
                    yield f"the tensor {name[:80]!r} is in {str(entry.get('path_name'))[:80]!r}, which is no tensor"
                elif f"{folder}{entry['path_name']}" not in self.members:
                    yield f"the tensor {name[:80]!r} is missing"
            yield from pt2_program.faults(config, "config")

    def _bytes(self, archive: zipfile.ZipFile, name: str) -> bytes:
        return archive.read(f"{self._root}/{name}")  # zipfile compares the CRC-32

    def _json(self, archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
        try:
            content = json.loads(self._bytes(archive, name))
        except RecursionError:
            content = None
        if not isinstance(content, dict):
            self.refused.append(f"{name} is no JSON object")
            return {}
        return content

    def rebuilt(self) -> io.BytesIO:
        """Return an archive with the checked content. Raises UnsafeArchiveError if there is a reason not to load it."""
        if self.refused:
            raise UnsafeArchiveError("; ".join(self.refused[:3]))
        checked = {PROGRAM: pt2_program.cleaned(self.program), WEIGHTS: self.weights, CONSTANTS: self.constants}
        target = io.BytesIO()
        with zipfile.ZipFile(self.path) as source, zipfile.ZipFile(target, "w") as copy:
            for name in self.members:
                content = json.dumps(checked[name]).encode() if name in checked else self._bytes(source, name)
                copy.writestr(zipfile.ZipInfo(f"model/{name}"), content)
        target.seek(0)
        return target


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
