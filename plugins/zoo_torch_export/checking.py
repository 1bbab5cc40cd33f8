"""Check a ``.pt2`` archive: whether it can be loaded, and whether it is the one that was to be written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from torch.export.graph_signature import InputKind

from zoo.api import ExportJob, FileFacts
from zoo.errors import ExportError
from zoo_torch_export.archive import Archive, UnsafeArchiveError
from zoo_torch_export.client import load
from zoo_torch_export.program import operators

OLDEST_PYTHON = "3.10"
"""That of torch 2.11."""


def check(path: Path, job: ExportJob | None) -> FileFacts:
    """Return the facts of the archive. With a ``job``, it must have its metadata and batch. Raises ExportError."""
    archive = Archive(path)
    try:
        program = load(archive)
    except UnsafeArchiveError as error:
        raise ExportError(f"the archive is refused: {error}", where=path.name) from error
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise ExportError(f"torch cannot load the archive: {text}", where=path.name) from error
    shape = _input_shape(program, path)
    if job is not None:
        _check_job(archive, shape, job, path)
    written = str(archive.program.get("torch_version"))
    return FileFacts(
        size_bytes=path.stat().st_size,
        requires={"python": OLDEST_PYTHON, "torch": ".".join(written.split(".")[:2])},
        versions={"torch": torch.__version__},
        details={
            "torch": written,
            "schema_version": schema_version(archive),
            "operators": dict(Counter(operators(archive.program)).most_common()),
            "input_shape": [size if isinstance(size, int) else "N" for size in shape],
        },
    )


def schema_version(archive: Archive) -> str:
    """Return the version of the program's format, such as ``"8.20"``."""
    version = archive.program.get("schema_version")
    return f"{version.get('major')}.{version.get('minor')}" if isinstance(version, dict) else "unknown"


def _input_shape(program: torch.export.ExportedProgram, path: Path) -> torch.Size:
    """The shape of the only input; a dynamic size is no int."""
    names = [each.arg.name for each in program.graph_signature.input_specs if each.kind == InputKind.USER_INPUT]
    if len(names) != 1:
        raise ExportError(f"the archive has {len(names)} inputs, not 1", where=path.name)
    value = next(node.meta["val"] for node in program.graph.nodes if node.name == names[0])
    if not isinstance(value, torch.Tensor):
        raise ExportError("the input of the archive is no tensor", where=path.name)
    return value.shape


def _check_job(archive: Archive, shape: torch.Size, job: ExportJob, path: Path) -> None:
    for name, text in job.metadata.items():
        if archive.metadata.get(name) != text:
            raise ExportError(f"the metadata '{name}' of the archive is not the model's", where=path.name)
    found = shape[0] if isinstance(shape[0], int) else None
    if found != job.batch:
        sizes = ["dynamic" if size is None else str(size) for size in (found, job.batch)]
        raise ExportError(
            f"the batch of the archive is {sizes[0]}, not {sizes[1]} as requested",
            where=path.name,
            fix=f"export with --batch {sizes[0]}",
        )
    if list(shape[1:]) != list(job.example.shape[1:]):
        raise ExportError(
            f"the input of the archive is {tuple(shape)[1:]}, not {tuple(job.example.shape)[1:]}", where=path.name
        )
