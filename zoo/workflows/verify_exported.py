"""``zoo verify`` of a bundle or an exported file: its digests, then the whole verification in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo import runtime
from zoo.errors import (
    CheckpointError,
    DataError,
    ExportError,
    SetupError,
    StorageError,
    UsageError,
    ZooError,
)
from zoo.exporting.integrity import Contents, Finding, check_files
from zoo.exporting.opening import check_provider, exported_at
from zoo.exporting.signing import verify_signature
from zoo.inspection.findings import mapping
from zoo.support import atomic_files
from zoo.support.atomic_files import write_json


@dataclass(frozen=True)
class ExportedVerification:
    """The result.

    ``against`` says what the outputs were compared with, and is empty if they were not. ``code`` is the exit code: 0 if
    nothing is damaged and nothing differs, 4 if a file is damaged, 5 if the model differs.
    """

    path: Path
    findings: list[Finding]
    against: str
    code: int = 0


def is_exported(path: Path) -> bool:
    """Whether a path is a bundle or a file, and not a run."""
    return path.is_file() or ((path / runtime.INDEX).exists() and not (path / "run.json").exists())


def verify_exported(
    path: Path,
    *,
    provider: str = "cpu",
    against: str | None = None,
    data: str | None = None,
    trust: Path | None = None,
) -> ExportedVerification:
    """Verify a bundle or an exported file of any origin.

    ``against`` names the PyTorch model as `zoo export` does; without it, the model that the bundle was exported from is
    used if it is on this machine, otherwise what verify.json recorded of it. ``data`` is a dataset whose samples are
    compared, by default the model's own. ``trust`` is a public key that the bundle must be signed with.

    Raises UsageError for an unknown format or provider, SetupError if the exporter or the provider is missing, and
    DataError if the dataset is.
    """
    bundle = path if path.is_dir() else path.parent
    contents = check_files(bundle) if (bundle / runtime.INDEX).exists() else Contents([], {}, {})
    if trust is not None:
        contents.findings.append(verify_signature(bundle, trust))
    if any(finding.state == "damaged" for finding in contents.findings):
        return ExportedVerification(path, contents.findings, "", CheckpointError.exit_code)
    found = exported_at(path)
    if found is None:
        raise UsageError("this is neither a run, a bundle nor an exported file", where=path, fix="check the path")
    check_provider(found.exporter, provider, found.item.spec.name)
    model = {"model": against} if against is not None else own_model(contents.record)
    if data is not None and not model:
        raise UsageError(
            "--data needs the PyTorch model, which is not on this machine", fix="name a run with --against"
        )
    question = {
        "file": str(found.model.absolute()),
        "index": contents.record,
        "verification": contents.verification,
        "provider": provider,
        "dataset": data,
        **model,
    }
    told, error = ask(question, found.model)
    if error is not None and not isinstance(error, CheckpointError | ExportError):
        raise error  # it says nothing about the file
    findings = [*contents.findings, *told]
    if error is not None:
        state = "damaged" if isinstance(error, CheckpointError) else "differs"
        findings.append(Finding("verification", state, str(error)))
    recorded = "PyTorch's outputs, as recorded by the export" if contents.verification else ""
    named = next((f"the PyTorch model of {name}" for name in model.values()), recorded)
    return ExportedVerification(path, findings, named, 0 if error is None else error.exit_code)


def own_model(index: dict[str, Any]) -> dict[str, str]:
    """The run, or the architecture or recipe with its weights, that a bundle was exported from, if it is here
    unchanged."""
    from zoo.registry.lookup import registry
    from zoo.runs import checkpoints, run_directory

    origin = mapping(mapping(index.get("description")).get("provenance"))
    with suppress(ZooError):
        if origin.get("kind") == "run" and run_directory.is_run(str(origin.get("run"))):
            run = run_directory.find(str(origin["run"]))
            chosen = checkpoints.chosen(run).name
            digest = next(entry.digest for entry in run.root.checkpoints if entry.name == chosen)
            return {"model": str(run.path.absolute())} if digest == origin.get("sha256") else {}
        if origin.get("kind") == "shipped weights" and "recipe" in origin:
            item = registry().recipe(str(origin["recipe"]))
            weights = registry().architecture(str(item.spec.architecture)).spec.weights.get(str(item.spec.weights))
            return {"published": item.canonical} if weights and weights.sha256 == origin.get("sha256") else {}
        if origin.get("kind") == "pretrained weights":
            return _own_weights(str(origin.get("model")), str(origin.get("weights")), origin.get("sha256"))
    return {}


def _own_weights(model: str, weights: str, sha256: object) -> dict[str, str]:
    """The architecture or recipe ``model`` with weights that are here, and have this digest; nothing is downloaded."""
    from zoo.models.weights_address import is_address, parse_address
    from zoo.models.weights_download import fetched_or_none
    from zoo.registry.lookup import registry
    from zoo.runs.published_weights import find_published, named_file

    if is_address(weights):
        fetched = fetched_or_none(parse_address(weights))
        same = fetched is not None and fetched.sha256 == sha256
    else:
        weights = weights.partition(":")[2]
        file = named_file(find_published(registry(), model, weights)) if weights else None
        same = file is not None and atomic_files.sha256(file) == sha256
    return {"model": model, "weights": weights} if same else {}


def ask(question: dict[str, Any], model: Path) -> tuple[list[Finding], ZooError | None]:
    """Run `zoo.exporting.verify_file` in a process of its own; return its findings, and the error that ended it."""
    with TemporaryDirectory(prefix="zoo-verify-") as folder:
        asked, answer = Path(folder, "question.json"), Path(folder, "answer.json")
        write_json(asked, question)
        command = [sys.executable, "-P", "-m", "zoo.exporting.verify_file", str(asked), str(answer)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if not answer.is_file():
            return [], _crash(model, done)
        told = json.loads(answer.read_text(encoding="utf-8"))
    return [Finding(*each) for each in told["findings"]], _raised(told["error"])


def _crash(model: Path, done: subprocess.CompletedProcess[str]) -> ZooError:
    if done.returncode < 0:
        how = f"was ended by {signal.Signals(-done.returncode).name}"
    else:
        how = f"failed: {(done.stderr.strip().splitlines() or ['no message'])[-1][:200]}"
    return CheckpointError(f"the process that opened the file {how}", where=model, fix="do not use this file")


def _raised(error: dict[str, Any] | None) -> ZooError | None:
    if error is None:
        return None
    kinds: tuple[type[ZooError], ...] = (
        UsageError,
        DataError,
        CheckpointError,
        ExportError,
        SetupError,
        StorageError,
    )
    kind = next((kind for kind in kinds if kind.exit_code == error["code"]), ZooError)
    return kind(error["what"], where=error["where"], fix=error["fix"])
