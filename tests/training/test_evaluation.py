"""An evaluation streams: whatever the size of its batches, it gives the same, and no more is kept than fits."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss
from torch import Tensor, nn
from zoo_tasks.classification import Classification
from zoo_tasks.options import ClassificationOptions

from zoo.api import (
    Batch,
    Classes,
    Decision,
    EvaluationResult,
    Evaluator,
    Loss,
    Monitor,
    Options,
    Output,
    Outputs,
    Raw,
    Softmax,
    Split,
    Target,
    Task,
    Values,
)
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.models.named_outputs import OutputReader
from zoo.training import evaluation
from zoo.training.evaluation import evaluate_part, write_per_sample, write_predictions

NAMES = ("a", "b", "c", "d", "e", "f")
SAMPLES = 23
BYTES = 4 * len(NAMES) * SAMPLES
"""Of all outputs."""


def part(target: str = "classes") -> LoadedPart:
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (SAMPLES, 1, 8, 8)).astype(np.uint8)
    targets = {"classes": random.randint(0, len(NAMES), SAMPLES), "none": None}[target]
    preprocessing = Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,))
    return LoadedPart(Split(images, targets), preprocessing, torch.device("cpu"))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(144, 6))


def classification() -> Classification:
    return Classification(ClassificationOptions(), Classes(names=NAMES), {})


def evaluated(model: nn.Module, batch_size: int, view: LoadedPart | None = None) -> EvaluationResult:
    task = classification()
    return evaluate_part(model, task, task.decision(None), view or part(), batch_size, OutputReader())


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_of_any_size_give_the_same_and_that_is_what_scikit_learn_gives(batch_size: int) -> None:
    model, view = network(), part()
    found = evaluated(model, batch_size)
    with torch.no_grad():
        logits = model.eval()(next(view.batches(SAMPLES)).inputs).double()
    truth, guess, probabilities = view.targets, logits.argmax(1).numpy(), logits.softmax(1).numpy()
    assert found.metrics["accuracy"] == pytest.approx(accuracy_score(truth, guess))
    assert found.metrics["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert found.metrics["loss"] == pytest.approx(log_loss(truth, probabilities, labels=range(6)), rel=1e-5)
    assert found.details["confusion"] == confusion_matrix(truth, guess).tolist()
    assert found.per_sample["prediction"].tolist() == guess.tolist()
    assert found.outputs is not None
    np.testing.assert_allclose(found.outputs, logits.numpy(), rtol=1e-4, atol=1e-5)
    assert found.outputs.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize(("limit", "kept"), [(BYTES, True), (BYTES - 1, False), (0, False)])
def test_outputs_beyond_the_limit_are_not_kept_and_the_figures_stay(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, limit: int, kept: bool
) -> None:
    whole = evaluated(network(), batch_size)
    monkeypatch.setattr(evaluation, "LARGEST_OUTPUTS", limit)
    found = evaluated(network(), batch_size)
    assert (found.outputs is not None) is kept
    assert found.metrics == whole.metrics and found.details == whole.details
    assert {name: column.tolist() for name, column in found.per_sample.items()} == {
        name: column.tolist() for name, column in whole.per_sample.items()
    }


@pytest.mark.parametrize("cut", [0, 1, 10, SAMPLES])
def test_evaluators_of_two_halves_merge_to_that_of_the_whole(cut: int) -> None:
    model, task = network().eval(), classification()
    with torch.no_grad():
        batch = next(part().batches(SAMPLES))
        outputs = {"output": model(batch.inputs)}
    whole, *halves = (task.evaluator(task.decision(None)) for _ in range(3))
    whole.update(outputs, batch)
    for half, rows in zip(halves, (slice(None, cut), slice(cut, None)), strict=True):
        if len(batch.inputs[rows]):
            piece = Batch(batch.inputs[rows], batch.targets[rows], batch.indices[rows])  # type: ignore[index]
            half.update({"output": outputs["output"][rows]}, piece)
    halves[0].merge(halves[1])
    mine, theirs = halves[0].compute(), whole.compute()
    assert mine.metrics == pytest.approx(theirs.metrics)
    assert mine.details == theirs.details
    assert {name: column.tolist() for name, column in mine.per_sample.items()} == {
        name: column.tolist() for name, column in theirs.per_sample.items()
    }


def test_without_targets_there_are_outputs_alone() -> None:
    found = evaluated(network(), 7, part("none"))
    assert found.metrics == {} and found.per_sample == {} and found.details == {}
    assert found.outputs is not None and found.outputs.shape == (SAMPLES, 6)


def test_the_network_is_in_eval_mode_without_gradients_and_each_module_has_its_mode_again() -> None:
    model, seen = network().train(), []
    model[1].eval()  # as a frozen batch norm is
    model[3].register_forward_hook(lambda each, _in, _out: seen.append((each.training, torch.is_grad_enabled())))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluated(model, 7)
    assert seen == [(False, False)] * 4
    assert [module.training for module in model.modules()] == [True, True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_modes_come_back_after_an_error_too() -> None:
    model = network().train()
    with pytest.raises(RuntimeError):
        evaluate_part(model, classification(), Softmax(classes=NAMES), part(), 7, OutputReader(), nn.Linear(3, 3))
    assert model.training


class Recording(Evaluator):
    def __init__(self) -> None:
        self.outputs: list[Outputs] = []
        self.indices: list[int] = []

    def update(self, outputs: Outputs, batch: Batch) -> None:
        self.outputs.append(outputs)
        self.indices += batch.indices.tolist()

    def merge(self, other: Self) -> None:
        self.outputs += other.outputs

    def compute(self) -> EvaluationResult:
        return EvaluationResult({"samples": len(self.indices)})


class Recorded(Task[Options]):
    monitor = Monitor("samples", "max")

    def __init__(self) -> None:
        super().__init__(Options(), Values(names=NAMES), {})
        self.made: list[Recording] = []

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        raise AssertionError("nothing is trained")

    def decision(self, val: EvaluationResult | None) -> Decision:
        return Raw()

    def evaluator(self, decision: Decision) -> Recording:
        self.made.append(Recording())
        return self.made[-1]


class Several(nn.Module):
    """In half precision, with the main output behind another one, and a head whose input is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 6)

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        logits = self.head(inputs.flatten(1))
        return {"map": inputs.half(), "logits": logits.half()}


def test_an_evaluator_gets_every_output_by_name_as_float32_in_the_order_of_the_part() -> None:
    task, declared = Recorded(), (Output(name="logits"), Output(name="map", kind="map"))
    found = evaluate_part(Several(), task, Raw(), part(), 7, OutputReader(declared, "head", features=True))
    (recording,) = task.made
    assert recording.indices == list(range(SAMPLES)) and found.metrics == {"samples": SAMPLES}
    assert [list(each) for each in recording.outputs] == [["output", "map", "features"]] * 4
    assert all(value.dtype == torch.float32 for each in recording.outputs for value in each.values())
    assert recording.outputs[-1]["features"].shape == (2, 64)
    assert found.outputs is not None and found.outputs.shape == (SAMPLES, 6)


class Counting:
    """A metric as plugins give them."""

    def __init__(self) -> None:
        self.seen: list[tuple[tuple[int, ...], torch.dtype]] = []

    def update(self, preds: Tensor, target: Tensor) -> None:
        self.seen.append((tuple(preds.shape), preds.dtype))
        self.right = getattr(self, "right", 0) + int((preds.argmax(1) == target).sum())

    def compute(self) -> float:
        return self.right / SAMPLES


def test_metrics_beside_the_task_s_own_get_what_the_decision_makes_of_the_outputs() -> None:
    task, metric = classification(), Counting()
    metrics: Any = {"right": metric}
    decision = task.decision(None)
    found = evaluate_part(network(), task, decision, part(), 10, OutputReader(), metrics=metrics)
    assert metric.seen == [((10, 6), torch.float32), ((10, 6), torch.float32), ((3, 6), torch.float32)]
    assert list(found.metrics)[-1] == "right" and found.metrics["right"] == pytest.approx(found.metrics["accuracy"])


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_predictions_have_a_row_for_each_sample_with_its_truth_and_every_probability(tmp_path: Path) -> None:
    """Independent: softmax by torch in double precision."""
    view, task = part(), classification()
    found = evaluated(network(), 7)
    write_predictions(tmp_path / "predictions.csv", found, view, task.target, task.decision(None))
    header, *rows = rows_of(tmp_path / "predictions.csv")
    assert header == ["sample", "truth", "prediction", *(f"p({name})" for name in NAMES)]
    probabilities = torch.from_numpy(found.outputs).double().softmax(1)
    assert view.targets is not None
    for index, row in enumerate(rows):
        guess = NAMES[int(probabilities[index].argmax())]
        assert row[:3] == [str(index), NAMES[view.targets[index]], guess]
        assert row[3:] == [f"{value:.6f}" for value in probabilities[index].tolist()]
    assert len(rows) == SAMPLES


@pytest.mark.parametrize(
    ("change", "written"),
    [(lambda result: result, True), (lambda result: EvaluationResult(result.metrics), False)],
    ids=["kept", "too large"],
)
def test_predictions_are_written_where_outputs_were_kept(
    tmp_path: Path, change: Callable[[EvaluationResult], EvaluationResult], written: bool
) -> None:
    view = part("none")
    target: Target = Classes(names=NAMES)
    found = change(evaluated(network(), 7, view))
    write_predictions(tmp_path / "predictions.csv", found, view, target, Softmax(classes=NAMES))
    assert (tmp_path / "predictions.csv").exists() is written
    if written:
        assert {row[1] for row in rows_of(tmp_path / "predictions.csv")[1:]} == {""}


def test_what_was_found_of_each_sample_is_a_table(tmp_path: Path) -> None:
    columns = {"correct": np.array([True, False]), "loss": np.array([0.1234567, 2.0], np.float32)}
    how = Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.5,))
    part = LoadedPart(Split(np.zeros((2, 1, 8, 8), np.uint8), None, ["a.png", "=b"]), how, torch.device("cpu"))
    write_per_sample(tmp_path / "per_sample.csv", EvaluationResult({}, columns), part)
    lines = (tmp_path / "per_sample.csv").read_text(encoding="utf-8").splitlines()
    assert lines == ["sample,correct,loss", "a.png,1,0.123457", "'=b,0,2"]
    write_per_sample(tmp_path / "none.csv", EvaluationResult({}), part)
    assert not (tmp_path / "none.csv").exists()
