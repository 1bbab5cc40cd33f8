"""Segmentation as a run: of a user's own folder, stopped and resumed with the same bits, mixed, with an auxiliary
output, exported, and predicted without torch."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from zoo.errors import PluginError, UsageError
from zoo.exporting.export import export
from zoo.runs import checkpoints
from zoo.runs.run_directory import RunDir
from zoo.training.optimizer_step import Stepper
from zoo.workflows.evaluate import evaluate_run
from zoo.workflows.predict import predict
from zoo.workflows.run import run
from zoo.workflows.run_result import RunResult

SIDE = 32


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bright squares on dark noise, with masks as palettes and their classes in a table."""
    root, random = tmp_path_factory.mktemp("squares"), np.random.RandomState(0)
    (root / "classes.csv").write_text("class,colour\nground,#102030\nsquare,#ff8000\n", encoding="utf-8")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    for index in range(20):
        image, mask = random.randint(0, 120, (SIDE, SIDE + index, 3)), np.zeros((SIDE, SIDE + index), np.uint8)
        top, left = random.randint(0, SIDE - 12, 2)
        image[top : top + 12, left : left + 12] += 120
        mask[top : top + 12, left : left + 12] = 1
        Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{index:02d}.png")
        drawn = Image.fromarray(mask)
        drawn.putpalette([0x10, 0x20, 0x30, 0xFF, 0x80, 0x00])
        drawn.save(root / "masks" / f"{index:02d}.png")
    return root


def overrides(folder: Path, **train: Any) -> dict[str, Any]:
    return {
        "dataset": {"name": "folder", "path": str(folder), "resize": SIDE},
        "architecture": {"name": "unet", "width": 4, "depth": 2},
        "task": {"loss": "cross_entropy+dice", "class_weights": "balanced"},
        "train": {"epochs": 6, "batch_size": 2, "optimizer": "adam", "lr": 0.01, "augment": ["flip"], **train},
        "device": "cpu",
        "threads": 1,
    }


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return run(overrides=overrides(folder), out=tmp_path_factory.mktemp("runs") / "whole")


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoints.chosen(RunDir(run)) / "model.safetensors")


def test_a_folder_of_masks_is_trained_evaluated_and_reported(trained: RunResult) -> None:
    assert trained.path is not None and RunDir(trained.path).config.task.name == "tasks/segmentation"
    assert trained.metrics["mean_iou"] > 0.8
    assert evaluate_run(trained.path).metrics == trained.metrics
    with (trained.path / "per_class.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == ["ground", "square"]
    assert sum(int(row["pixels"]) for row in rows) == 4 * SIDE * SIDE
    ious = [float(row["iou"]) for row in rows]
    assert np.mean(ious) == pytest.approx(trained.metrics["mean_iou"], abs=1e-4)
    assert (trained.path / "plots" / "masks.png").is_file() and (trained.path / "plots" / "worst_masks.png").is_file()
    page = (trained.path / "report.html").read_text(encoding="utf-8")
    assert "Worst masks" in page and "Boundary IoU" in page


def test_a_stopped_training_is_resumed_with_the_same_bits(
    folder: Path, trained: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained.path is not None
    steps, original = [0], Stepper.update

    def dies(self: Stepper) -> Any:
        steps[0] += (tmp_path / "stopped" / "run.json").exists()  # not the steps of the checks before the run
        if steps[0] == 21:  # in the third epoch
            raise Killed
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "update", dies)
        with pytest.raises(PluginError, match="Killed"):
            run(overrides=overrides(folder), out=tmp_path / "stopped")
    resumed = run(resume=tmp_path / "stopped")
    assert resumed.path is not None and resumed.metrics == trained.metrics
    whole = weights(trained.path)
    assert all(torch.equal(value, whole[name]) for name, value in weights(resumed.path).items())


def test_masks_are_mixed(folder: Path, tmp_path: Path) -> None:
    result = run(overrides=overrides(folder, epochs=1, mixup=1.0, cutmix=1.0), out=tmp_path / "run")
    assert np.isfinite(result.metrics["loss"])


def test_an_auxiliary_output_takes_part_in_the_training(folder: Path, tmp_path: Path) -> None:
    changed = overrides(folder, epochs=1, batch_size=8)
    changed["architecture"] = {"name": "torchvision/deeplabv3_mobilenet_v3_large"}
    result = run(overrides=changed, out=tmp_path / "run")
    assert result.path is not None and set(result.metrics) >= {"mean_iou", "boundary_iou"}
    assert any(name.startswith("aux_classifier") for name in weights(result.path))


def test_an_exported_model_gives_the_same_masks_without_torch(folder: Path, trained: RunResult, tmp_path: Path) -> None:
    assert trained.path is not None
    bundle = export(str(trained.path), format="onnx", out=tmp_path / "bundle")
    images = sorted((folder / "images").iterdir())[:3]
    for window in (None, 0.5):
        ours = predict(trained.path, images, window=window)
        files = ours.write_masks(tmp_path / f"torch-{window}")
        theirs = tmp_path / f"client-{window}"
        more = [] if window is None else ["--window", str(window)]
        code = (
            "import sys, runpy; sys.modules['torch'] = None; sys.argv[0] = sys.argv[1]; del sys.argv[1]; "
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        client = [sys.executable, "-c", code, str(bundle.path / "predict.py"), *map(str, images)]
        subprocess.run([*client, "--masks", str(theirs), *more], check=True, capture_output=True)
        for file, (image, mask) in zip(files, ours.rows, strict=True):
            with Image.open(file) as drawn, Image.open(theirs / file.name) as other, Image.open(image) as original:
                assert np.array_equal(np.asarray(drawn), mask) and np.array_equal(np.asarray(other), mask)
                assert drawn.mode == other.mode == "P" and drawn.getpalette() == other.getpalette()
                assert drawn.getpalette()[:6] == [0x10, 0x20, 0x30, 0xFF, 0x80, 0x00]
                assert window is None or drawn.size == original.size


def test_unfit_combinations_are_refused_with_their_reason(folder: Path) -> None:
    flat = {**overrides(folder), "architecture": {"name": "cnn"}}
    with pytest.raises(UsageError, match="map"):
        run(overrides=flat)
    with pytest.raises(UsageError, match="task classification needs targets of kind `classes`, but folder has `mask`"):
        run(overrides={**overrides(folder), "task": {"name": "classification"}})
