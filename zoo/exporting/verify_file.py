"""Verify an exported file once more: against its PyTorch model, or against what verify.json recorded of it.

`zoo verify` runs this module in a process of its own, so that a runtime that crashes on a damaged file is an error
message.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from zoo import runtime
from zoo.api import Decision, ExportJob
from zoo.config.item_options import build_exporter
from zoo.errors import CheckpointError, ExportError, ZooError
from zoo.exporting.client_files import PREDICT
from zoo.exporting.clients import Client
from zoo.exporting.description import FORMAT, metadata_of
from zoo.exporting.integrity import Finding
from zoo.exporting.opening import exporter_of, opened
from zoo.exporting.reference_outputs import changed_fields, compare_random
from zoo.exporting.synthetic_images import write_images
from zoo.exporting.table_comparison import Expected
from zoo.registry.lookup import registry
from zoo.support.atomic_files import sha256, write_json

if TYPE_CHECKING:
    from zoo.api import Exporter, FileFacts
    from zoo.runs.load_model import LoadedModel

DIFFERS = "do not use this file"
"""What follows from a difference."""


@dataclass(frozen=True)
class Asked:
    """What is verified: the ``file``, with the content of its bundle's JSON files (empty for a file that stands alone);
    the execution provider; the name of the PyTorch ``model`` (with ``weights``, an architecture or recipe), or the
    recipe whose ``published`` weights it is; and a ``dataset`` for its samples."""

    file: str
    index: dict[str, Any]
    verification: dict[str, Any]
    provider: str = "cpu"
    model: str | None = None
    published: str | None = None
    weights: str | None = None
    dataset: str | None = None


def verify_file(asked: Asked) -> Iterator[Finding]:
    """Yield a finding for each check. Raises ZooError if the file cannot be opened or differs."""
    written = asked.index.get("exporter", {})
    exporter = build_exporter(exporter_of(Path(asked.file)), written.get("options", {}))
    exporter.require(None, asked.provider)
    check = _Check(asked, exporter, Path(asked.file))
    yield from check.file()
    if asked.index:
        yield check.client()
    if asked.model is not None or asked.published is not None:
        yield from check.against_model()
    elif asked.verification.get("reference"):
        yield from check.against_record(asked.verification["reference"])
    else:
        yield Finding("outputs", "unchecked", "there is no PyTorch model to compare them with; name one with --against")


class _Check:
    def __init__(self, asked: Asked, exporter: Exporter[Any], model: Path) -> None:
        self._asked, self._exporter, self._model = asked, exporter, model
        self._description: dict[str, Any] = dict(asked.index.get("description", {}))
        self._script: Path | None = None
        self._facts: FileFacts | None = None

    def file(self) -> Iterator[Finding]:
        """The format, and whether a runtime opens the file."""
        self._facts = self._exporter.check(self._model, None)
        details = ", ".join(f"{name} {value}" for name, value in list(self._facts.details.items())[:2])
        yield Finding("format", "ok", details)
        with opened(self._exporter, self._model, self._asked.provider) as runner:
            text = runner.metadata.get(runtime.METADATA_KEY)
            if self._description and text is not None and json.loads(text) != self._description:
                raise ExportError(f"the description in {self._model.name} is not the one in {runtime.INDEX}")
            if not self._description and text is not None:
                self._description = json.loads(text)
            yield Finding("runtime", "ok", f"{runner.runtime}, provider {runner.provider}")

    def client(self) -> Finding:
        """Whether the bundle's predict.py is the exporter's. Only then is it run: it is code."""
        files = self._exporter.client(self._description)
        wrong = [name for name, content in files.items() if _content(self._model.with_name(name)) != content]
        if not wrong:
            self._script = self._model.with_name(PREDICT) if PREDICT in files else None
            return Finding(
                "client", "ok", f"{', '.join(files) or 'none'}: identical to those of the installed exporter"
            )
        if self._asked.index.get("format") == FORMAT and self._same_version():
            raise ExportError(
                f"{', '.join(wrong)} {'is' if len(wrong) == 1 else 'are'} not what the exporter writes",
                where=self._model.parent,
                fix=f"{DIFFERS}; export it again",
            )
        return Finding("client", "unchecked", f"{', '.join(wrong)}: written by another version, not run")

    @property
    def _who(self) -> str:
        return "`zoo predict`" if self._script is None else PREDICT

    def _same_version(self) -> bool:
        from zoo.registry.lookup import core_version

        written, core = self._asked.index.get("exporter", {}), self._description.get("provenance", {}).get("torch-zoo")
        plugin = registry().exporter(str(written.get("name"))).plugin
        return bool(written.get("version") == plugin.version and core == core_version())

    def against_record(self, reference: dict[str, Any]) -> Iterator[Finding]:
        """Against PyTorch's outputs, as recorded by the export."""
        runtime.check_description(self._description)
        changed = changed_fields(reference, self._description)
        if changed:
            raise ExportError(f"the description differs from the model's: {', '.join(changed)}", fix=DIFFERS)
        decision = TypeAdapter[Decision](Decision).validate_python(reference["decision"])
        if reference["random"]["outputs"] is None:
            yield Finding("outputs", "unchecked", "they are too large to be recorded; name a model with --against")
            return
        with opened(self._exporter, self._model, self._asked.provider) as runner:
            compared = compare_random(reference, runner, decision)
        if isinstance(compared, str):
            raise ExportError(f"the outputs differ from those recorded of PyTorch: {compared}", fix=DIFFERS)
        error = compared.facts()["max_abs_error"]
        yield Finding("outputs", "ok", f"equal to those recorded of PyTorch, largest difference {error:.1e}")
        yield self._recorded_images(reference, decision)

    def _recorded_images(self, reference: dict[str, Any], decision: Decision) -> Finding:
        spec, images = reference["input"], reference["images"]
        if images["outputs"] is None:
            return Finding("predictions", "unchecked", "they are too large to be recorded")
        with TemporaryDirectory(prefix="zoo-verify-") as name:
            files = write_images(Path(name), spec)
            if {file.name: sha256(file) for file in files} != images["files"]:
                return Finding("predictions", "unchecked", "this version of Pillow draws other test images")
            expected = Expected.of(decision, files, np.asarray(images["outputs"], np.float32), spec)
            client = Client(self._script, Path(name), DIFFERS)
            client.check(self._model, self._exporter, self._asked.provider, expected, spec)
        return Finding(
            "predictions",
            "ok",
            f"{len(files)} image files: {self._who} agrees with the recorded predictions of PyTorch",
        )

    def against_model(self) -> Iterator[Finding]:
        """The whole verification of an export."""
        from zoo.exporting.client_check import check_client
        from zoo.exporting.gate import Candidate, prepare, require, verify
        from zoo.exporting.model_source import locate
        from zoo.exporting.samples import real_samples
        from zoo.runs.load_model import load_shipped

        published, model = self._asked.published, self._asked.model
        loaded = (
            load_shipped(registry(), published)
            if published
            else locate(registry(), str(model), self._asked.weights).loaded
        )
        prepare(loaded)
        require(loaded)
        samples = real_samples(registry(), loaded, self._asked.dataset)
        job = self._job(loaded)
        candidate = Candidate(loaded, self._exporter, self._model, job, samples, self._asked.provider, DIFFERS)
        _, result = verify(candidate, None if self._asked.index else self._facts)
        real = result["real"]
        largest = max(result["random"]["max_abs_error"], real["max_abs_error"])
        yield Finding(
            "outputs",
            "ok",
            f"equal to PyTorch's, largest difference {largest:.1e}; {real['decisions_agree']:,} of "
            f"{real['decisions']:,} predictions equal on {real['dataset']}",
        )
        if not self._description:
            yield Finding("predictions", "unchecked", "the file does not describe its preprocessing")
            return
        checked = check_client(self._script, candidate, self._description).facts
        yield Finding("predictions", "ok", f"{checked['images']} image files: {self._who} agrees with PyTorch")

    def _job(self, loaded: LoadedModel) -> ExportJob:
        import torch

        return ExportJob(
            model=loaded.model,
            example=torch.zeros(2, *loaded.preprocessing.shape),
            outputs=(loaded.output,),
            preprocessing=loaded.preprocessing.describe(),
            decision=loaded.decision,
            batch=None if self._facts is None else self._facts.batch,
            metadata=metadata_of(self._description) if self._asked.index else {},
        )


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def main(question: Path, answer: Path) -> None:
    """Verify what the JSON file ``question`` asks, and write the findings, or the error, to ``answer``."""
    findings: list[Finding] = []
    error: dict[str, Any] | None = None
    try:
        for finding in verify_file(Asked(**json.loads(question.read_text(encoding="utf-8")))):
            findings.append(finding)  # noqa: PERF402  # those before an error stay
    except (ValueError, LookupError, TypeError) as raised:
        told = " ".join(str(raised).split())[:200]
        error = {"code": CheckpointError.exit_code, "what": f"its description is damaged: {told}", "fix": DIFFERS}
        error["where"] = None
    except ZooError as raised:
        error = {"code": raised.exit_code, "what": raised.what, "fix": raised.fix}
        error["where"] = None if raised.where is None else str(raised.where)
    write_json(answer, {"findings": findings, "error": error})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
