"""What `zoo bench` measures for a target: the engines, and the images that are their inputs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo import runtime
from zoo.benching.result import Settings, Skipped
from zoo.config.item_options import build_exporter
from zoo.errors import CheckpointError, DataError, SetupError, UsageError, ZooError
from zoo.exporting.integrity import check_files
from zoo.exporting.opening import check_provider, exported_at
from zoo.registry.lookup import registry
from zoo.runs.run_directory import find
from zoo.workflows.predict_dataset import samples_of
from zoo.workflows.verify_exported import is_exported, own_model

if TYPE_CHECKING:
    from zoo.runs.load_model import LoadedModel

EAGER, COMPILED, PREPROCESSING = "PyTorch eager", "PyTorch compiled", "preprocessing"
IMAGES = 32
"""The maximum number of images that are prepared."""


@dataclass
class Target:
    """``questions`` are the engines by name, the reference first (`zoo.benching.engines`). ``exported``: the target is
    a bundle or file, so an engine that cannot open it is an error. ``model`` is the PyTorch model, empty if it is not
    on this machine. ``recorded`` are the outputs that the export recorded of it. ``skipped`` are the engines that
    cannot be measured."""

    name: str
    exported: bool
    model: dict[str, str]
    description: dict[str, Any]
    questions: dict[str, dict[str, Any]] = field(default_factory=dict)
    recorded: dict[str, Any] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def fixed_batch(self) -> int | None:
        """The batch size of a file that has only one."""
        batch: int | None = self.description["input"].get("batch")
        return batch

    def described(self, text: dict[str, Any] | None) -> None:
        """Complete a target without a bundle.json by the description in the file.

        Raises UsageError if there is none.
        """
        if self.description:
            return
        if text is None:
            raise UsageError(
                "the file does not describe its input, because zoo did not export it",
                where=self.name,
                fix="use a run, a bundle, or a file from `zoo export`",
            )
        self.description, self.model = text, own_model({"description": text})


def target_of(name: str, settings: Settings, folder: Path) -> Target:
    """Return the target for a bundle's folder, an exported file, or a run by any of its names.

    A run is exported to ``folder`` with each installed exporter. Raises UsageError if it has no network.
    """
    return _of_file(Path(name), settings) if is_exported(Path(name)) else _of_run(name, settings, folder)


def add_pytorch(target: Target, settings: Settings) -> None:
    """Add the PyTorch engines, before the others; if the model is not on this machine, say so."""
    if not target.model:
        reason = "the PyTorch model is not on this machine"
        target.skipped += [Skipped(engine, reason) for engine in (EAGER, COMPILED)]
        return
    question = {"kind": "pytorch", "model": target.model, "device": settings.device}
    pytorch = {engine: {**question, "compiled": engine == COMPILED} for engine in (EAGER, COMPILED)}
    target.questions = {**pytorch, **target.questions}


def _of_file(path: Path, settings: Settings) -> Target:
    bundle = path if path.is_dir() else path.parent
    index: dict[str, Any] = {}
    recorded: dict[str, Any] = {}
    if (bundle / runtime.INDEX).exists():
        contents = check_files(bundle)
        damaged = next((each for each in contents.findings if each.state == "damaged"), None)
        if damaged is not None:
            raise CheckpointError(f"{damaged.part}: {damaged.detail}", where=bundle, fix="export it again")
        index, recorded = contents.record, contents.verification.get("reference", {})
    found = exported_at(path)
    if found is None:
        raise UsageError("this is neither a run, a bundle nor an exported file", where=path, fix="check the path")
    check_provider(found.exporter, settings.provider, found.item.spec.name)
    question = {
        "kind": "file",
        "file": str(found.model.absolute()),
        "exporter": found.item.canonical,
        "options": index.get("exporter", {}).get("options", {}),
        "provider": settings.provider,
    }
    description, model = index.get("description", {}), own_model(index)
    return Target(str(path), True, model, description, {registry().short_name(found.item): question}, recorded)


def _of_run(name: str, settings: Settings, folder: Path) -> Target:
    from zoo.exporting.gate import require
    from zoo.exporting.model_source import locate
    from zoo.runs.run_directory import run_id

    loaded = locate(registry(), name).loaded
    require(loaded)
    run = loaded.run
    published = {} if run is not None else {"published": registry().runnable(name).canonical}
    description = {
        "input": loaded.preprocessing.describe(),
        "output": {"kind": loaded.output.kind, "decision": loaded.decision.model_dump(mode="json")},
    }
    shown, model = (name, published) if run is None else (run_id(run.path), {"model": str(run.path.absolute())})
    target = Target(shown, False, model, description)
    _export(target, loaded, settings, folder)
    return target


def _export(target: Target, loaded: LoadedModel, settings: Settings, folder: Path) -> None:
    """Export with each installed exporter. One that fails is skipped, unless none has the requested provider."""
    import torch

    from zoo.api import ExportJob

    shape, failures = loaded.preprocessing.shape, list[ZooError]()
    job = ExportJob(
        loaded.model,
        torch.zeros(2, *shape),
        outputs=(loaded.output,),
        preprocessing=target.description["input"],
        decision=loaded.decision,
    )
    for item in registry().items("exporter"):
        name = registry().short_name(item)
        file = folder / name.replace("/", "-") / f"model{item.spec.suffix}"
        file.parent.mkdir(parents=True)
        try:
            exporter = build_exporter(item)
            check_provider(exporter, settings.provider, name)
            exporter.require(job, settings.provider)
            exporter.write(job, file)
        except ZooError as error:
            failures.append(error)
            target.skipped.append(Skipped(name, error.what))
            continue
        target.questions[name] = {
            "kind": "file",
            "file": str(file),
            "exporter": item.canonical,
            "options": {},
            "provider": settings.provider,
        }
    setup = next((error for error in failures if isinstance(error, SetupError | UsageError)), None)
    if setup is not None and settings.provider != "cpu" and not target.questions:
        raise setup


def gather_images(target: Target, folder: Path) -> tuple[str, list[Path]]:
    """Copy images to ``folder``, and return which they are, and the files.

    They are those in the run, otherwise those of its dataset if it is embedded, otherwise those of the most similar
    embedded dataset.
    """
    if "model" in target.model:
        samples = find(target.model["model"]).samples
        if samples.is_dir() and (files := _readable(samples, target.description["input"])):
            return "of the run", _copies(files, folder)
    dataset = _embedded(target)
    with samples_of(dataset, None, IMAGES) as found:
        return f"of {dataset}", _copies(found.files, folder)


def _copies(files: Sequence[Path], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    copies = [folder / f"image-{number}{file.suffix}" for number, file in enumerate(files)]
    for copy, file in zip(copies, files, strict=True):
        shutil.copyfile(file, copy)
    return copies


def _readable(folder: Path, spec: dict[str, Any]) -> list[Path]:
    """The images of a folder; none if one of them cannot be read."""
    try:
        files = runtime.find_images([folder]).files[:IMAGES]
        for file in files:
            runtime.prepare(file, spec)
    except (ValueError, OSError):
        return []
    return files


def _embedded(target: Target) -> str:
    spec = target.description["input"]
    own = target.description.get("provenance", {}).get("dataset")

    def distance(item: Any) -> tuple[bool, bool, int, str]:
        channels, height, _ = item.spec.shape
        side = abs((height or 0) - spec["height"])
        return item.canonical != own, channels != spec["channels"], side, item.canonical

    embedded = sorted((item for item in registry().items("dataset") if item.spec.embedded), key=distance)
    if not embedded:
        raise DataError(
            "there are no images to prepare: every installed dataset needs a download", fix="pip install torch-zoo"
        )
    return embedded[0].canonical
