"""Run a bundle's client on image files, and compare its predictions with those of PyTorch's evaluation."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from zoo import runtime
from zoo.data.data_loader import AnyPart
from zoo.errors import ExportError
from zoo.exporting.clients import Client
from zoo.exporting.decision_rules import as_json
from zoo.exporting.reference_outputs import as_numbers, record
from zoo.exporting.samples import Samples, part_of_files
from zoo.exporting.synthetic_images import write_images
from zoo.exporting.table_comparison import Expected
from zoo.reporting.run_results import to_image
from zoo.support.atomic_files import sha256, storage_errors

if TYPE_CHECKING:
    from zoo.exporting.gate import Candidate
    from zoo.runs.load_model import LoadedModel


class Checked(NamedTuple):
    """The result as JSON, and PyTorch's outputs for the synthetic images: ``outputs`` (B, …), ``digests`` of the
    files."""

    facts: dict[str, Any]
    outputs: np.ndarray
    files: dict[str, str]


def check_client(predict: Path | None, candidate: Candidate, description: dict[str, Any]) -> Checked:
    """Run the bundle's ``predict`` (its predict.py) on real and synthetic images: portrait, landscape, smaller than the
    input, RGB and grayscale.

    Its predictions and numbers must match the model in PyTorch with the preprocessing of training. The decision in the
    description must equal the model's, because a wrong threshold might not change any of these images. Without a
    predict.py, zoo opens the file through its exporter, as `zoo predict` does. Raises ExportError.
    """
    loaded, samples = candidate.loaded, candidate.samples
    spec = loaded.preprocessing.describe()
    with TemporaryDirectory(prefix="zoo-export-") as name:
        work = Path(name)
        with storage_errors(work):
            made, real = write_images(work, spec), _real_images(work, samples)
            digests = {file.name: sha256(file) for file in made}
            parts = ((part_of_files(made, loaded.preprocessing), len(made)), (samples.view, len(real)))
            outputs = np.concatenate([_outputs(part, loaded, count) for part, count in parts])
        expected = Expected.of(loaded.decision, made + real, outputs, spec)
        client = Client(predict, work, f"{candidate.verdict}; {_suspects(description, loaded)}")
        facts = client.check(candidate.path, candidate.exporter, candidate.provider, expected, spec)
        if runtime.decision_of(description) != as_json(loaded.decision):
            raise ExportError(f"{client.name} has another decision than the model", fix=client.fix)
        return Checked({"images": len(made) + len(real), "real": len(real), **facts}, outputs[: len(made)], digests)


def reference_of(candidate: Candidate, checked: Checked) -> dict[str, Any]:
    """Return what verify.json records of the PyTorch model, so that the bundle can be verified without it."""

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(candidate.loaded.model(torch.from_numpy(inputs)).numpy())

    loaded = candidate.loaded
    return {
        "input": loaded.preprocessing.describe(),
        "decision": as_json(loaded.decision),
        "random": record(run, loaded.preprocessing.shape, candidate.job.batch),
        "images": {"files": checked.files, "outputs": as_numbers(checked.outputs)},
    }


def _real_images(folder: Path, samples: Samples) -> list[Path]:
    """Return the first samples as files: the dataset's own, or lossless copies of its arrays."""
    files = []
    own = samples.view.files
    for index, file in enumerate(own):
        files.append(folder / f"real-{index}{file.suffix}")
        shutil.copyfile(file, files[-1])
    for index, image in enumerate([] if own else samples.view.raw_images):
        files.append(folder / f"real-{index}.png")
        to_image(image).save(files[-1])
    return files


def _outputs(part: AnyPart, loaded: LoadedModel, count: int) -> np.ndarray:
    """Return the outputs for the first images of a split, as in the evaluation."""
    inputs = next(iter(part.batches_of(np.arange(count), count))).inputs
    with torch.inference_mode():
        return np.asarray(loaded.model(inputs.clone()).numpy())  # a layer may work in place


def _suspects(description: dict[str, Any], loaded: LoadedModel) -> str:
    """Return the differences between the description and the model's training, which are the likely cause."""
    told, true = description["input"], loaded.preprocessing.describe()
    wrong = [
        f"{field} is {told.get(field)!r}, but the model was trained with {value!r}"
        for field, value in true.items()
        if told.get(field) != value
    ]
    given, own = description["output"].get("decision", {}), as_json(loaded.decision)
    wrong += [f"{field} differs from the model's" for field, value in own.items() if given.get(field) != value]
    return f"the description is wrong: {'; '.join(wrong)}" if wrong else "report this"
