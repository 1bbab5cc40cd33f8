"""A run as a teacher: it gets its own preprocessing from the inputs of the network that it teaches, or is refused."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoo
from zoo.api import Affine, Raw, Softmax, Split
from zoo.config.run_config import TrainConfig
from zoo.data.data_loader import open_data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.errors import CheckpointError, Interrupted, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir
from zoo.training.distillation import weights_digest
from zoo.training.run_teacher import input_change, output_change, run_teacher

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "architecture": {"name": "lenet"},
    "dataset": {"name": "digits"},
    "task": {"name": "classification"},
    "device": "cpu",
    "threads": 1,
    "train": {"epochs": 1, "batch_size": 64, "lr": 0.01},
}


def go(out: Path, console: Console | None = None, **changes: Any) -> Any:
    settings = {
        **SETTINGS,
        **{key: value for key, value in changes.items() if key != "train"},
        "train": {**SETTINGS["train"], **changes.get("train", {})},
    }
    return zoo.run(overrides=settings, out=out, console=console or Console(quiet=True))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(go(tmp_path_factory.mktemp("teacher") / "run").path)


def weights(run: Path) -> dict[str, Tensor]:
    return zoo.load(run).module.state_dict()


# ------------------------------------------------------------------------------------------------------ the same pixels


def prepared(images: np.ndarray, how: Preprocessing) -> Tensor:
    return next(LoadedPart(Split(images), how, CPU).batches(len(images))).inputs


def how(side: int = 12, channels: int = 1, mean: float = 0.5, std: float = 0.25, **more: Any) -> Preprocessing:
    shades = [1.0, 0.8, 1.2][:channels]
    return Preprocessing(
        channels=channels,  # type: ignore[arg-type]
        height=side,
        width=side,
        mean=tuple(mean * shade for shade in shades),
        std=tuple(std * shade for shade in shades),
        **more,
    )


GREY = np.random.RandomState(0).randint(0, 256, (5, 1, 12, 12)).astype(np.uint8)
COLOUR = np.random.RandomState(0).randint(0, 256, (5, 3, 12, 12)).astype(np.uint8)


@pytest.mark.parametrize(
    ("images", "own", "theirs"),
    [
        (GREY, how(), how()),
        (GREY, how(), how(mean=0.2, std=0.7)),
        (COLOUR, how(channels=3), how(channels=3, mean=0.2, std=0.7)),
        (GREY, how(), how(channels=3, mean=0.4, std=0.2)),
        (GREY, how(permute_pixels=3), how(permute_pixels=3, mean=0.1)),
        (GREY, how(permute_pixels=3), how(permute_pixels=3, channels=3)),
    ],
    ids=["the same", "normalised otherwise", "in colour", "grey to RGB", "permuted alike", "permuted, grey to RGB"],
)
def test_inputs_of_one_preprocessing_become_those_of_the_teacher_s(
    images: np.ndarray, own: Preprocessing, theirs: Preprocessing
) -> None:
    """Independent: the teacher's own preprocessing of the images."""
    found = input_change(own, theirs, CPU)(prepared(images, own))
    torch.testing.assert_close(found, prepared(images, theirs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [6, 9, 20])
def test_another_size_is_that_of_pillow_s_bilinear_filter(side: int) -> None:
    """Independent: Pillow on the pixels as floats, normalised afterwards."""
    own, theirs = how(), how(side, mean=0.2, std=0.7)
    resized = [
        np.asarray(Image.fromarray(image[0].astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR))
        for image in GREY
    ]
    expected = (np.stack(resized)[:, None] / 255 - 0.2) / 0.7
    found = input_change(own, theirs, CPU)(prepared(GREY, own))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("own", "theirs", "words"),
    [
        (how(), how(permute_pixels=1), "trained on another order of pixels than these inputs have"),
        (how(permute_pixels=2), how(permute_pixels=1), "another order of pixels"),
        (how(permute_pixels=2), how(), "another order of pixels"),
        (how(permute_pixels=1), how(9, permute_pixels=1), "cannot be resized to the teacher's size"),
        (how(channels=3), how(), "trained on grayscale images, but these inputs are RGB"),
        (how(value_range=(0, 4095)), how(value_range=(0, 255)), "another range of pixel values"),
    ],
)
def test_inputs_that_cannot_become_the_teacher_s_are_refused_in_one_line(
    own: Preprocessing, theirs: Preprocessing, words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        input_change(own, theirs, CPU)
    assert "train.teacher" in str(caught.value) and "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- whole runs


def test_the_teacher_answers_as_it_does_to_its_own_inputs(teacher: Path) -> None:
    """Of another size: it gets what its own preprocessing would have given, but for rounding."""
    larger = {**SETTINGS, "dataset": {"name": "digits", "resize": 32}}
    plan = resolve(registry(), overrides=larger)
    data = open_data(registry(), plan.config.dataset, CPU, prepare=plan.prepare_images)
    found = run_teacher(
        TrainConfig(teacher=str(teacher), distillation=0.3, temperature=4.0), data, Softmax(classes=data.classes), CPU
    )
    assert (found.teacher.share, found.teacher.temperature) == (0.3, 4.0)
    assert found.digest == weights_digest(zoo.load(teacher).module)
    batch = next(data.part("test").batches(360))
    ((_, attached),) = found.attached([(1.0, batch)], batch.inputs)
    answers = next(iter(attached.teacher.values()))  # type: ignore[union-attr]
    assert answers.shape == (360, 10) and data.preprocessing.shape == (1, 32, 32)
    assert float((answers.argmax(1) == batch.targets).float().mean()) == pytest.approx(
        RunDir(teacher).record.results["test"]["accuracy"], abs=0.02
    )


def test_of_no_share_a_teacher_changes_nothing(tmp_path: Path, teacher: Path) -> None:
    taught = go(tmp_path / "taught", train={"teacher": str(teacher), "distillation": 0.0})
    mine, theirs = weights(taught.path), weights(teacher)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_whoever_answers_as_the_teacher_has_nothing_to_learn_from_it_alone(tmp_path: Path, teacher: Path) -> None:
    train = {"teacher": str(teacher), "distillation": 1.0, "optimizer": "sgd", "lr": 1e-3}
    result = go(tmp_path / "run", weights=str(teacher), train=train)
    assert RunDir(result.path).epochs()[0]["train_loss"] == pytest.approx(0, abs=1e-5)
    theirs = weights(teacher)
    for name, value in weights(result.path).items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-4)


def test_one_that_is_taught_alone_comes_to_answer_as_the_teacher(tmp_path: Path, teacher: Path) -> None:
    plain = go(tmp_path / "plain", seed=1)
    taught = go(tmp_path / "taught", seed=1, train={"teacher": str(teacher), "distillation": 1.0})
    plan = resolve(registry(), overrides=SETTINGS)
    data = open_data(registry(), plan.config.dataset, CPU, prepare=plan.prepare_images)
    inputs = next(data.part("test").batches(360)).inputs

    def agreement(run: Path) -> float:
        with torch.no_grad():
            one, other = (zoo.load(each).module(inputs).softmax(1) for each in (run, teacher))
        return float((one - other).abs().sum(1).mean())

    assert agreement(taught.path) < 0.8 * agreement(plain.path)


def rows(run: Path) -> list[dict[str, float]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        return [
            {key: float(cell) for key, cell in row.items() if "second" not in key} for row in csv.DictReader(stream)
        ]


def test_cached_features_are_taught_as_the_images_are(tmp_path: Path, teacher: Path) -> None:
    frozen = {
        "task": {"name": "transfer", "train": "last:2"},
        "weights": "none",
        "dataset": {"name": "digits", "resize": 20, "val_fraction": 0.2},
    }
    said: list[str] = []

    class Listening(Console):
        def print(self, text: str) -> None:
            said.append(text)

    train = {"teacher": str(teacher), "distillation": 0.7, "epochs": 2}
    kept = go(tmp_path / "kept", Listening(quiet=True), **frozen, train=train)
    assert any("is cached for train, val and test" in text for text in said)
    plain = go(tmp_path / "plain", **frozen, train={**train, "cache_features": False})
    for mine, theirs in zip(rows(kept.path), rows(plain.path), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    theirs_too = weights(plain.path)
    for name, value in weights(kept.path).items():
        torch.testing.assert_close(value, theirs_too[name], rtol=1e-3, atol=1e-4)
    untaught = go(tmp_path / "untaught", **frozen, train={"epochs": 2})
    assert rows(untaught.path)[0]["train_loss"] != pytest.approx(rows(kept.path)[0]["train_loss"], rel=0.01)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ({"classes": ["0", "1"]}, "the teacher predicts 2, 3, 4, 5, 6 and 5 more, but the data has 0, 1"),
        (
            {"classes": ["0", "1", "2", "3", "4", "5", "6", "7", "9", "8"]},
            "the same names in another order: number 9 is '8' there, but '9' in the data",
        ),
        ({"permute_pixels": 1}, "another order of pixels"),
    ],
    ids=["fewer classes", "another order", "permuted pixels"],
)
def test_a_teacher_of_other_targets_or_pixels_is_refused_before_anything_is_written(
    tmp_path: Path, teacher: Path, dataset: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        go(tmp_path / "none", dataset={"name": "digits", **dataset}, train={"teacher": str(teacher)})
    assert "train.teacher" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_a_teacher_that_is_no_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is called 'professor'") as caught:
        go(tmp_path / "none", train={"teacher": "professor"})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "none").exists()


def test_a_teacher_named_by_its_recipe_stays_the_same_run_when_there_is_a_newer_one(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(teacher, tmp_path / "runs" / "digits_lenet" / "first")
    monkeypatch.setenv("ZOO_RUNS", str(tmp_path / "runs"))
    plan = resolve(registry(), overrides={**SETTINGS, "train": {"teacher": "digits_lenet"}})
    assert plan.config.train.teacher == "digits_lenet/first"
    monkeypatch.chdir(teacher.parent)
    plan = resolve(registry(), overrides={**SETTINGS, "train": {"teacher": teacher.name}})
    assert plan.config.train.teacher == str(teacher.resolve())


# ------------------------------------------------------------------------------------------------------------- resuming


class Interrupt(Console):
    def step(self, progress: Any, batch_samples: int) -> None:
        if progress.step == 9:
            os.kill(os.getpid(), signal.SIGINT)


CUT: dict[str, dict[str, Any]] = {
    "mixed": {"train": {"mixup": 0.4, "micro_batches": 2, "augment": ["flip"]}},
    "cached": {"task": {"name": "transfer", "train": "last:2"}, "weights": "none"},
}


def stopped(folder: Path, teacher: Path, **changes: Any) -> RunDir:
    with pytest.raises(Interrupted):
        go(folder, Interrupt(quiet=True), **{**changes, "train": {**changes.get("train", {}), "teacher": str(teacher)}})
    return RunDir(folder)


@pytest.mark.parametrize("kind", CUT)
def test_a_run_with_a_teacher_resumes_to_the_bit(tmp_path: Path, teacher: Path, kind: str) -> None:
    changes = CUT[kind]
    whole = go(tmp_path / "whole", **{**changes, "train": {**changes.get("train", {}), "teacher": str(teacher)}})
    cut = stopped(tmp_path / "cut", teacher, **changes)
    zoo.run(resume=cut.path, console=Console(quiet=True))
    mine, theirs = weights(cut.path), weights(whole.path)
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert rows(cut.path) == rows(whole.path)


def test_a_run_whose_teacher_is_another_now_is_not_resumed_without_inexact(tmp_path: Path, teacher: Path) -> None:
    mine = tmp_path / "teacher"
    shutil.copytree(teacher, mine)
    cut = stopped(tmp_path / "cut", mine)
    shutil.rmtree(mine)
    go(mine, seed=5)
    with pytest.raises(CheckpointError, match=r"resuming here would not be exact: teacher \w+ → \w+") as caught:
        zoo.run(resume=cut.path, console=Console(quiet=True))
    assert "\n" not in str(caught.value)
    assert zoo.run(resume=cut.path, inexact=True, console=Console(quiet=True)).record.status == "finished"


def test_a_network_that_was_taught_needs_its_teacher_no_more(tmp_path: Path, teacher: Path) -> None:
    mine = tmp_path / "teacher"
    shutil.copytree(teacher, mine)
    result = go(tmp_path / "run", train={"teacher": str(mine)})
    shutil.rmtree(mine)
    assert weights(result.path)


def test_numbers_of_a_teacher_keep_their_units() -> None:
    """Standardised by another train split, they are brought to the network's scale."""
    theirs = Affine(names=("x", "y"), scale=(2.0, 10.0), offset=(5.0, -1.0))
    own = Affine(names=("x", "y"), scale=(4.0, 5.0), offset=(1.0, 0.0))
    outputs = torch.tensor([[0.5, -0.2], [1.0, 3.0]])
    change = output_change(theirs, own, torch.device("cpu"))
    answers = outputs * torch.tensor(theirs.scale) + torch.tensor(theirs.offset)
    torch.testing.assert_close(change(outputs) * torch.tensor(own.scale) + torch.tensor(own.offset), answers)
    assert torch.equal(output_change(own, own, torch.device("cpu"))(outputs), outputs)


@pytest.mark.parametrize("other", [Raw(), Affine(names=("x",), scale=(1.0,), offset=(0.0,), link="exp")])
def test_a_teacher_that_answers_in_another_way_is_refused(other: Affine | Raw) -> None:
    own = Affine(names=("x",), scale=(1.0,), offset=(0.0,))
    with pytest.raises(UsageError, match="the teacher has the decision"):
        output_change(other, own, torch.device("cpu"))
