"""Evaluating a run again: on other parts, on other datasets, with classes matched by their names."""

from __future__ import annotations

import csv
import json
import shutil
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score
from torch import nn

from zoo.api import (
    Batch,
    Classes,
    Decision,
    EvaluationResult,
    Evaluator,
    Loss,
    Monitor,
    Options,
    Outputs,
    Softmax,
    Task,
    Values,
)
from zoo.errors import UsageError
from zoo.models.named_outputs import OutputReader
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir
from zoo.training.evaluation import evaluate_part
from zoo.workflows.class_order import Reordered, in_order
from zoo.workflows.evaluate import evaluate_run
from zoo.workflows.run import run

NAMES = ["zero", "one", "two"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of class folders made of scikit-learn's digits 0, 1 and 2, and a run trained on it."""
    from sklearn.datasets import load_digits

    base = tmp_path_factory.mktemp("evaluation")
    digits = load_digits(n_class=3)
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = base / "train" / NAMES[label] if index % 5 else base / "test" / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).resize((16, 16)).save(place / f"{index:04d}.png")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("ZOO_RUNS", "ZOO_DATA", "ZOO_CACHE"):
            patch.setenv(variable, str(base / variable.lower()))
        settings = {
            "dataset": {"name": f"folder:{base}", "channels": 1, "resize": 16},
            "train": {"epochs": 2, "batch_size": 16, "lr": 0.01},
        }
        result = run("cnn", overrides={**settings, "device": "cpu"}, out=base / "run", console=Console(quiet=True))
    return base, RunDir(result.path)


def renamed(base, target, names):
    """The report images again, in class folders of other names, as a dataset of its own (all of it is evaluated)."""
    for old, new in zip(NAMES, names, strict=True):
        for part in ("train", "test"):
            place = target / part / new
            place.mkdir(parents=True)
            for file in (base / "test" / old).iterdir():
                (place / file.name).write_bytes(file.read_bytes())
    return f"folder:{target}"


def read(file):
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def test_the_runs_figure_is_found_again_and_nothing_of_the_run_changes(trained, tmp_path) -> None:
    _, done = trained
    before = {file: file.stat().st_mtime_ns for file in done.path.rglob("*")}
    found = evaluate_run(done, out=tmp_path / "again")
    assert found.metrics == pytest.approx(done.record.results["test"], rel=1e-5)
    assert (found.fingerprint, found.samples, found.path) == (
        done.record.fingerprint,
        done.record.samples["test"],
        tmp_path / "again",
    )
    assert {file: file.stat().st_mtime_ns for file in done.path.rglob("*")} == before
    assert read(tmp_path / "again" / "predictions.csv") == read(done.predictions_file)
    told = json.loads((tmp_path / "again" / "evaluation.json").read_text(encoding="utf-8"))
    assert told["metrics"] == found.metrics and told["split"] == "test" and "path" not in told
    assert (tmp_path / "again" / "plots" / "confusion.png").is_file() and (
        tmp_path / "again" / "per_class.csv"
    ).is_file()


def test_another_dataset_of_the_same_classes_is_judged(trained, tmp_path) -> None:
    base, done = trained
    found = evaluate_run(done, dataset=renamed(base, tmp_path / "same", NAMES))
    assert found.metrics["accuracy"] == pytest.approx(done.record.results["test"]["accuracy"])


def test_labels_follow_their_names_into_metrics_and_tables(trained, tmp_path, monkeypatch) -> None:
    """A dataset that tells its classes in reverse is evaluated as if it did not."""
    from zoo.workflows import evaluate

    _, done = trained
    genuine = evaluate.open_data

    def reversed_data(*arguments, **options):
        data = genuine(*arguments, **options)
        table = np.arange(len(data.classes))[::-1].copy()
        parts = {name: Reordered(part, table) for name, part in data.parts.items()}
        return replace(data, target=Classes(names=tuple(reversed(data.classes))), parts=parts)

    monkeypatch.setattr(evaluate, "open_data", reversed_data)
    found = evaluate_run(done, out=tmp_path / "out")
    assert found.metrics == pytest.approx(done.record.results["test"], rel=1e-5)
    rows = read(tmp_path / "out" / "predictions.csv")
    assert rows == read(done.predictions_file)
    accuracy = accuracy_score([row["truth"] for row in rows], [row["prediction"] for row in rows])
    assert found.metrics["accuracy"] == pytest.approx(accuracy)


def test_other_classes_are_refused_with_the_difference(trained, tmp_path) -> None:
    base, done = trained
    other = renamed(base, tmp_path / "other", ["zero", "uno", "dos"])
    with pytest.raises(
        UsageError,
        match=(
            "classes that the model lacks: 'dos', 'uno'; the dataset lacks 'one', 'two'; "
            "fix: choose a dataset whose classes"
        ),
    ):
        evaluate_run(done, dataset=other)
    with pytest.raises(UsageError, match="classes that the model lacks: '0', '1', '2', '3', '4' and 5 more"):
        evaluate_run(done, dataset="digits")


def held_out(base: Path, target: Path, places: dict[str, str]) -> str:
    """The test images of a class by the folder that they go to, as a dataset."""
    for place, name in places.items():
        shutil.copytree(base / "test" / name, target / place)
    return f"folder:{target}"


@pytest.mark.parametrize(
    ("prefix", "evaluated_on"),
    [("test/", "test split"), ("", "all images")],
    ids=["a lone test folder", "a folder of classes"],
)
def test_all_of_what_is_held_out_is_evaluated(
    trained: tuple[Path, RunDir], tmp_path: Path, prefix: str, evaluated_on: str
) -> None:
    base, done = trained
    found = evaluate_run(done, dataset=held_out(base, tmp_path / "set", {f"{prefix}{name}": name for name in NAMES}))
    assert (found.evaluated_on, found.samples, found.notes) == (evaluated_on, done.record.samples["test"], ())
    assert found.metrics == pytest.approx(done.record.results["test"], rel=1e-5)


@pytest.mark.parametrize("names", [["two", "zero"], ["one"]], ids=str)
def test_some_of_the_classes_are_evaluated_by_the_run_s_indices(
    trained: tuple[Path, RunDir], tmp_path: Path, names: list[str]
) -> None:
    base, done = trained
    found = evaluate_run(
        done, dataset=held_out(base, tmp_path / "set", {name: name for name in names}), out=tmp_path / "out"
    )
    mine = [row for row in read(done.predictions_file) if row["truth"] in names]
    assert found.samples == len(mine)
    assert found.metrics["accuracy"] == pytest.approx(
        sum(row["truth"] == row["prediction"] for row in mine) / len(mine)
    )
    assert Counter((row["truth"], row["prediction"]) for row in read(tmp_path / "out" / "predictions.csv")) == Counter(
        (row["truth"], row["prediction"]) for row in mine
    )
    assert {row["class"]: int(row["count"]) for row in read(tmp_path / "out" / "per_class.csv")} == {
        name: sum(row["truth"] == name for row in mine) for name in NAMES
    }
    assert any(f"has {len(names)} of the model's 3 classes" in note for note in found.notes)


def test_classes_that_the_run_has_not_are_named(trained: tuple[Path, RunDir], tmp_path: Path) -> None:
    base, done = trained
    dataset = held_out(base, tmp_path / "set", {"one": "one", "seven": "zero"})
    with pytest.raises(UsageError, match="classes that the model lacks: 'seven'; the dataset lacks 'two', 'zero'"):
        evaluate_run(done, dataset=dataset)


def test_images_that_were_trained_on_are_said_to_be(trained: tuple[Path, RunDir], tmp_path: Path) -> None:
    base, done = trained
    shutil.copytree(base / "train", tmp_path / "plain")
    overrides = {
        **done.config.as_dict(),
        "dataset": {"name": f"folder:{tmp_path / 'plain'}", "channels": 1, "resize": 16},
    }
    plain = run(overrides=overrides, out=tmp_path / "run", console=Console(quiet=True)).path
    own, whole = evaluate_run(plain), evaluate_run(plain, dataset=f"folder:{tmp_path / 'plain'}")
    assert (own.evaluated_on, own.notes) == ("test split", ())
    assert whole.samples > own.samples and whole.evaluated_on == "all images"
    assert any("was trained on some of these images" in note for note in whole.notes)


def test_class_names_are_matched_in_one_unicode_form() -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    part = in_order(Part(), "lab/toy", (decomposed, "b", "c"), ("c", "b", composed))
    assert part.targets is not None and part.targets.tolist() == [0, 2, 1]


def test_a_part_without_labels_gets_predictions_where_a_folder_is_named(trained, tmp_path) -> None:
    base, done = trained
    for index, file in enumerate(sorted((base / "test" / "one").iterdir())[:4]):
        (tmp_path / "set" / "test").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "test" / f"{index}.png").write_bytes(file.read_bytes())
    for name in NAMES:
        for part in ("train", "val"):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            file = next(iter((base / "test" / name).iterdir()))
            (tmp_path / "set" / part / name / file.name).write_bytes(file.read_bytes())
    dataset = f"folder:{tmp_path / 'set'}"
    with pytest.raises(UsageError, match="has no labels; fix: add --out DIR to write predictions"):
        evaluate_run(done, "predict", dataset)
    found = evaluate_run(done, "predict", dataset, out=tmp_path / "out")
    assert (found.metrics, found.samples) == ({}, 4) and len(read(tmp_path / "out" / "predictions.csv")) == 4


@pytest.mark.parametrize("place", ["file", "full"])
def test_what_is_there_is_kept(trained, tmp_path, place) -> None:
    _, done = trained
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="must be new or empty"):
        evaluate_run(done, out=tmp_path / place)
    with pytest.raises(UsageError, match="must be new or empty"):
        evaluate_run(done, out=done.path)
    assert (tmp_path / "full" / "mine.txt").read_text(encoding="utf-8") == "mine"


class Part:
    names = ("x", "y", "z")
    targets = np.array([2, 0, 1])

    def __len__(self):
        return 3

    def batches(self, batch_size):
        yield Batch(torch.eye(3), torch.from_numpy(self.targets), torch.arange(3))

    def targets_of(self, indices):
        return self.targets[list(indices)]

    def images_of(self, indices):
        return np.zeros((len(list(indices)), 2, 2, 1), np.uint8)


def test_a_reordered_part_tells_labels_in_the_new_order() -> None:
    part = in_order(Part(), "lab/toy", ("a", "b", "c"), ("c", "a", "b"))
    assert isinstance(part, Reordered) and len(part) == 3 and part.names == Part.names
    assert part.targets.tolist() == [0, 1, 2]
    (batch,) = part.batches(3)
    assert batch.targets.tolist() == [0, 1, 2] and batch.indices.tolist() == [0, 1, 2]
    same = Part()
    assert in_order(same, "lab/toy", ("a", "b"), ["a", "b"]) is same


class Noting(Evaluator):
    """Notes the modes that it is called in."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self.seen: list[tuple[bool, bool, bool]] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        self.seen.append((self._model.training, torch.is_grad_enabled(), outputs["output"].requires_grad))

    def merge(self, other: Noting) -> None:
        self.seen += other.seen

    def compute(self) -> EvaluationResult:
        return EvaluationResult({"batches": len(self.seen)})


class NotingTask(Task[Options]):
    monitor = Monitor("batches", "max")

    def __init__(self, model: nn.Module) -> None:
        super().__init__(Options(), Classes(names=("a", "b", "c")), {})
        self.noting = Noting(model)

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        return Loss(outputs["output"][:, 0])

    def decision(self, val: EvaluationResult | None) -> Decision:
        return Softmax(classes=("a", "b", "c"))

    def evaluator(self, decision: Decision) -> Evaluator:
        return self.noting


def test_the_mode_of_a_model_is_left_as_it_was() -> None:
    model = nn.Linear(3, 3).train()
    task = NotingTask(model)
    found = evaluate_part(model, task, task.decision(None), Part(), 2, OutputReader())
    assert task.noting.seen == [(False, False, False)] and found.metrics == {"batches": 1}
    assert found.outputs is not None and found.outputs.shape == (3, 3)
    assert model.training and torch.is_grad_enabled()


def test_targets_of_another_kind_are_refused(trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.workflows import evaluate

    _, done = trained
    genuine = evaluate.open_data

    def numbers(*arguments, **options):
        return replace(genuine(*arguments, **options), target=Values(names=("height",), units=("mm",)))

    monkeypatch.setattr(evaluate, "open_data", numbers)
    with pytest.raises(
        UsageError, match=r"folder has other targets \(values height \(mm\)\) than the model \(classes one, two, zero\)"
    ):
        evaluate_run(done)
