"""Run a bundle's client on image files, and compare its predictions with those of PyTorch's evaluation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from zoo import runtime
from zoo.data.data_loader import AnyPart
from zoo.errors import ExportError, StorageError
from zoo.exporting.decision_rules import as_json
from zoo.exporting.samples import Samples, part_of_files
from zoo.exporting.table_comparison import Difference, Expected, compare_masks, compare_tables
from zoo.reporting.run_results import to_image
from zoo.support.atomic_files import storage_errors

if TYPE_CHECKING:
    from zoo.data.preprocessing import Preprocessing
    from zoo.exporting.bundle import Staged
    from zoo.exporting.gate import Candidate
    from zoo.runs.load_model import LoadedModel

SEED = 20_018
SHAPES = {"portrait": (1.3, 2.1), "landscape": (2.3, 1.2), "small": (0.6, 0.4)}
"""Width and height of synthetic images, relative to the network's input."""


def check_client(staged: Staged, candidate: Candidate, description: dict[str, Any]) -> dict[str, Any]:
    """Run the staged predict.py on real and synthetic images: portrait, landscape, smaller than the input, RGB and
    greyscale.

    Its predictions and numbers must match the model in PyTorch with the preprocessing of training. The decision in the
    description must equal the model's, because a wrong threshold might not change any of these images. Without a
    predict.py, zoo opens the file through its exporter, as `zoo predict` does. Returns the result as JSON; raises
    ExportError.
    """
    loaded, samples = candidate.loaded, candidate.samples
    with TemporaryDirectory(prefix="zoo-export-") as name:
        work = Path(name)
        with storage_errors(work):
            made, real = _made_images(work, loaded.preprocessing), _real_images(work, samples)
            parts = ((part_of_files(made, loaded.preprocessing), len(made)), (samples.view, len(real)))
            outputs = np.concatenate([_outputs(part, loaded, count) for part, count in parts])
            expected = Expected.of(loaded.decision, made + real, outputs, loaded.preprocessing.describe())
            due = work / "pytorch.csv"
            expected.write(due)
        client = Client(staged.predict, work, f"nothing was published; {_suspects(description, loaded)}")
        if staged.predict is not None:
            client.run(staged.model, candidate.provider, expected)
        else:
            client.run_in_zoo(staged.model, candidate, expected)
        try:
            facts = compare_tables(expected, due, client.table)
            if client.masks(expected):
                compare_masks(expected, client.masks(expected), loaded.preprocessing.describe())
        except Difference as difference:
            where = difference.image or None
            on = "differs from PyTorch for an image file: " if where else ""
            raise ExportError(f"{client.name} {on}{difference}", where=where, fix=client.fix) from difference
        if runtime.decision_of(description) != as_json(loaded.decision):
            raise ExportError(f"{client.name} has another decision than the model", fix=client.fix)
        return {"images": len(made) + len(real), "real": len(real), **facts}


def _made_images(folder: Path, preprocessing: Preprocessing) -> list[Path]:
    """Write images of coloured patches with fine noise, for which different resizing, cropping or normalisation gives
    different inputs."""
    numbers = np.random.default_rng(SEED)
    files = []
    for shape, (across, down) in SHAPES.items():
        size = (max(1, round(across * preprocessing.width)), max(1, round(down * preprocessing.height)))
        patches = Image.fromarray(numbers.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        noise = numbers.integers(-60, 61, (size[1], size[0], 3))
        colour = Image.fromarray(np.clip(np.asarray(patches) + noise, 0, 255).astype(np.uint8))
        for mode in ("RGB", "L"):
            files.append(folder / f"{shape}-{mode.lower()}.png")
            colour.convert(mode).save(files[-1])
    return [*files, _deep_image(folder, preprocessing, np.asarray(colour.convert("L")))]


def _deep_image(folder: Path, preprocessing: Preprocessing, grey: np.ndarray) -> Path:
    """Write ``grey`` with more than 8 bits, within the value range that the model was trained with."""
    if preprocessing.value_range is None:
        file = folder / "deep-l.png"
        Image.fromarray(grey.astype(np.uint16) * 257).save(file)
        return file
    low, high = preprocessing.value_range
    file = folder / "deep-l.tiff"
    Image.fromarray((low + grey.astype(np.float64) / 255 * (high - low)).astype(np.float32)).save(file)
    return file


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


class Client(NamedTuple):
    """What predicts with the bundle: its predict.py, or zoo. ``folder`` has the images."""

    script: Path | None
    folder: Path
    fix: str

    @property
    def name(self) -> str:
        return "`zoo predict` with this bundle" if self.script is None else "the bundle's predict.py"

    @property
    def table(self) -> Path:
        return self.folder / "predict.csv"

    def masks(self, expected: Expected) -> list[Path]:
        """Return the masks that it writes, in the order of the images; empty for decisions without masks."""
        written = expected.decision.kind == "pixel_argmax"
        return [self.folder / "masks" / f"{file.stem}.mask.png" for file in expected.files if written]

    def run(self, model: Path, provider: str, expected: Expected) -> None:
        images, masks = [file.name for file in expected.files], ["--masks", "masks"] if self.masks(expected) else []
        where = [] if provider == "cpu" else ["--provider", provider]
        command = [sys.executable, "-B", str(self.script), *images, "--model", str(model), "--csv", self.table.name]
        done = subprocess.run(
            [*command, *masks, *where],
            cwd=self.folder,
            capture_output=True,
            encoding="locale",
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1].removeprefix("error: ")
            if done.returncode == StorageError.exit_code:
                raise StorageError(f"cannot write: {said}", where=self.table, fix="free some space")
            raise ExportError(f"{self.name} fails: {said}", fix=self.fix)

    def run_in_zoo(self, model: Path, candidate: Candidate, expected: Expected) -> None:
        try:
            opened = runtime.open_model(model, lambda path: candidate.exporter.open(path, candidate.provider))
            try:
                rows = list(runtime.predict(opened.run, opened.description, expected.files))
            finally:
                opened.runner.close()
        except (ValueError, LookupError, TypeError) as error:
            raise ExportError(f"{self.name} fails: {error}", fix=self.fix) from error
        with storage_errors(self.table):
            runtime.write_csv(self.table, rows, runtime.decision_of(opened.description))
            if self.masks(expected):
                runtime.write_masks(self.folder / "masks", rows)


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
