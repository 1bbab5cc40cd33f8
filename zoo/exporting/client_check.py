"""The bundle as its users run it: its predict.py on image files, compared with the path that evaluates a model during
training."""

from __future__ import annotations

import csv
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from zoo import runtime
from zoo.data.loaded_part import LoadedPart
from zoo.errors import ExportError, StorageError
from zoo.exporting.output_comparison import TOLERANCE, Comparison
from zoo.exporting.samples import Samples, part_of_files
from zoo.reporting.run_results import to_image
from zoo.support.atomic_files import storage_errors

if TYPE_CHECKING:
    from zoo.api import Runner
    from zoo.data.preprocessing import Preprocessing
    from zoo.runs.load_model import LoadedModel

ONNX = ".onnx"
"""The format that predict.py opens by itself."""
SEED = 20_018
SHAPES = {"portrait": (1.3, 2.1), "landscape": (2.3, 1.2), "small": (0.6, 0.4)}
"""Width and height of made images, as shares of the network's."""
SMALLEST_PROBABILITY = 1e-300
"""Below it a probability is taken for this one: its logarithm is compared, and 0 has none."""


def check_client(
    folder: Path, model: Path, description: dict[str, Any], loaded: LoadedModel, samples: Samples, runner: Runner
) -> dict[str, Any]:
    """Run the predict.py in ``folder`` on image files: portrait, landscape and smaller than the input, RGB and grey,
    and real ones.

    Its labels and probabilities must be those of the model in PyTorch, on inputs made as during training. Returns what
    was found, as JSON; raises ExportError. A model that is no ONNX file is run by ``runner``, on what predict.py makes
    of the files.
    """
    with TemporaryDirectory(prefix="zoo-export-") as name:
        work = Path(name)
        with storage_errors(work):
            made, real = _made_images(work, loaded.preprocessing), _real_images(work, samples)
            parts = ((part_of_files(made, loaded.preprocessing), len(made)), (samples.view, len(real)))
            logits = np.concatenate([_logits(part, loaded, count) for part, count in parts])
            due = work / "pytorch.csv"
            runtime.write_csv(due, zip(made + real, runtime.softmax(logits), strict=True), loaded.classes)
        found, fix = work / "predict.csv", f"nothing was published; {_suspects(description, loaded)}"
        if model.suffix == ONNX:
            _run(folder / "predict.py", model, [file.name for file in made + real], found, fix)
        else:
            _run_imported(folder / "predict.py", description, made + real, runner, found, fix)
        return {"images": len(made) + len(real), "real": len(real), **_compare(due, found, len(loaded.classes), fix)}


def _made_images(folder: Path, preprocessing: Preprocessing) -> list[Path]:
    """Patches of colour under fine noise: another way to scale, crop, sample or normalise gives other inputs."""
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
    """``grey`` in more than 8 bits, within the range of values that the model was trained with."""
    if preprocessing.value_range is None:
        file = folder / "deep-l.png"
        Image.fromarray(grey.astype(np.uint16) * 257).save(file)
        return file
    low, high = preprocessing.value_range
    file = folder / "deep-l.tiff"
    Image.fromarray((low + grey.astype(np.float64) / 255 * (high - low)).astype(np.float32)).save(file)
    return file


def _real_images(folder: Path, samples: Samples) -> list[Path]:
    """The first samples as files: the dataset's own, or its arrays written losslessly."""
    files = []
    own = samples.view.files
    for index, file in enumerate(own):
        files.append(folder / f"real-{index}{file.suffix}")
        shutil.copyfile(file, files[-1])
    for index, image in enumerate([] if own else samples.view.originals):
        files.append(folder / f"real-{index}.png")
        to_image(image).save(files[-1])
    return files


def _logits(part: LoadedPart, loaded: LoadedModel, count: int) -> np.ndarray:
    """Of the first images of a part, as they are evaluated."""
    inputs = next(iter(part.batches_of(np.arange(count), count))).inputs
    with torch.inference_mode():
        return np.asarray(loaded.model(inputs.clone()).numpy())  # a layer may work in place


def _run(script: Path, model: Path, images: Sequence[str], table: Path, fix: str) -> None:
    command = [sys.executable, "-B", str(script), *images, "--model", str(model), "--csv", table.name]
    done = subprocess.run(command, cwd=table.parent, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1].removeprefix("error: ")
        if done.returncode == StorageError.exit_code:
            raise StorageError(f"cannot write: {said}", where=table, fix="free some space")
        raise ExportError(f"the bundle's predict.py fails: {said}", fix=fix)


def _run_imported(
    script: Path, description: dict[str, Any], images: Sequence[Path], runner: Runner, table: Path, fix: str
) -> None:
    found = importlib.util.spec_from_file_location("zoo_exported_predict", script)
    if found is None or found.loader is None:
        raise ExportError("the bundle's predict.py cannot be loaded", where=script.name, fix=fix)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    try:
        module.check_description(description)
        rows = list(module.predict(runner, description["input"], images, description["input"].get("batch")))
    except (ValueError, LookupError, TypeError) as error:
        raise ExportError(f"the bundle's predict.py fails: {error}", fix=fix) from error
    with storage_errors(table):
        module.write_csv(table, rows, description["output"]["classes"])


def _compare(due: Path, found: Path, classes: int, fix: str) -> dict[str, Any]:
    """``due`` and ``found`` are tables of one writer."""
    (header, *expected), (other, *given) = (_rows(file) for file in (due, found))
    if header != other:
        raise ExportError(
            "the bundle's predict.py names other classes, or in another order, than the model has", fix=fix
        )
    if len(given) != len(expected):
        raise ExportError(f"the bundle's predict.py predicts {len(given)} of {len(expected)} images", fix=fix)
    comparison, errors, label = Comparison(), [], -classes - 1
    for row, own in zip(expected, given, strict=True):
        wanted, told = (np.array([each[-classes:]], np.float64) for each in (row, own))
        fault = comparison.add(*(np.log(np.maximum(values, SMALLEST_PROBABILITY)) for values in (wanted, told)))
        errors.append(float(np.abs(wanted - told).max()))
        if row[label] != own[label] and wanted.argmax() == told.argmax():
            fault = f"the prediction is {own[label]!r} where PyTorch has {row[label]!r}"
        if fault is not None:
            said = f"its probabilities by up to {errors[-1]:.2g}; in logarithms, {fault}"
            raise ExportError(
                f"the bundle's predict.py differs from PyTorch on an image file: {said}",
                where=Path(row[0]).name,
                fix=fix,
            )
    facts = comparison.facts()
    return {
        "tolerance": TOLERANCE,
        "max_probability_error": max(errors),
        "max_rel_error": facts["max_rel_error"],
        "top1_agree": facts["top1_agree"],
    }


def _rows(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def _suspects(description: dict[str, Any], loaded: LoadedModel) -> str:
    """Where the description departs from how the model was trained, in words: what is likely to blame."""
    told, true = description["input"], loaded.preprocessing.describe()
    wrong = [
        f"{field} is {told.get(field)!r} where the model was trained with {value!r}"
        for field, value in true.items()
        if told.get(field) != value
    ]
    if list(description["output"]["classes"]) != list(loaded.classes):
        wrong.append("the classes are not the model's")
    return f"the description is wrong: {'; '.join(wrong)}" if wrong else "report this"
