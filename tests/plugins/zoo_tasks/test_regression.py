"""Regression against scikit-learn, scipy and torch: losses, standardisation, decision, metrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from sklearn import metrics
from torch import Tensor
from torch.nn import functional as F
from zoo_tasks.label_options import RegressionOptions
from zoo_tasks.regression import Regression
from zoo_tasks.regression_metrics import r_squared, spearman

from zoo.api import Batch, EvaluationResult, Values
from zoo.errors import DataError
from zoo.plugin import decide

TARGET = Values(names=("weight", "height"), units=("kg", "m"))


class Part:
    """A split without images."""

    def __init__(self, targets: np.ndarray | None) -> None:
        self.targets = targets


def numbers(count: int = 120, seed: int = 0) -> np.ndarray:
    """Float32 (N, 2), of very different size."""
    generator = np.random.RandomState(seed)
    return np.stack([generator.gamma(4, 20, count), generator.normal(1.7, 0.1, count)], 1).astype(np.float32)


def task_of(wanted: np.ndarray | None = None, target: Values = TARGET, **options: object) -> Regression:
    chosen = RegressionOptions.model_validate(options)
    statistics = Regression.statistics(chosen, target, Part(numbers() if wanted is None else wanted))
    return Regression(chosen, target, statistics)


def outputs_of(count: int = 120) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(1))


def batch_of(targets: np.ndarray) -> Batch:
    return Batch(torch.zeros(len(targets), 1), torch.from_numpy(targets), torch.arange(len(targets)))


def evaluated(task: Regression, outputs: Tensor, targets: np.ndarray) -> EvaluationResult:
    evaluator, decision = None, task.decision(None)
    for rows in torch.arange(len(outputs)).split(50):
        part = task.evaluator(decision)
        part.update({"output": outputs[rows]}, batch_of(targets[rows.numpy()]))
        if evaluator is None:
            evaluator = part
        else:
            evaluator.merge(part)
    assert evaluator is not None
    return evaluator.compute()


@pytest.mark.parametrize("loss", ["l1", "l2", "huber", "quantile"])
def test_the_loss_is_that_of_torch_or_scikit_learn_on_standardised_targets(loss: str) -> None:
    task, targets, outputs = task_of(loss=loss, delta=0.7, quantile=0.8), numbers(), outputs_of()
    wanted = torch.from_numpy((targets - targets.astype(np.float64).mean(0)) / targets.astype(np.float64).std(0))
    found = task.loss({"output": outputs}, batch_of(targets)).values
    if loss == "quantile":
        expected = metrics.mean_pinball_loss(wanted.numpy(), outputs.numpy(), alpha=0.8)
    else:
        function = {"l1": F.l1_loss, "l2": F.mse_loss}.get(loss)
        given = (outputs.double(), wanted)
        expected = float(function(*given) if function is not None else F.huber_loss(*given, delta=0.7))
    assert found.shape == (len(targets),)
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)


def test_the_metrics_are_those_of_scikit_learn_and_scipy_in_units() -> None:
    task, targets, outputs = task_of(), numbers(), outputs_of()
    predictions = outputs.double().numpy() * task.stats["scale"] + task.stats["offset"]
    found = evaluated(task, outputs, targets)
    truth = targets.astype(np.float64)
    ranks = [stats.spearmanr(truth[:, at], predictions[:, at]).statistic for at in range(2)]
    expected = {
        "mae": metrics.mean_absolute_error(truth, predictions),
        "rmse": metrics.root_mean_squared_error(truth, predictions),
        "r2": metrics.r2_score(truth, predictions),
        "spearman": np.mean(ranks),
    }
    assert {name: found.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(found.details["per_value"]["spearman"], ranks, atol=1e-9)
    raw = metrics.mean_absolute_error(truth, predictions, multioutput="raw_values")
    np.testing.assert_allclose(found.details["per_value"]["mae"], raw, rtol=1e-9)
    batch = batch_of(targets)
    assert found.metrics["loss"] == pytest.approx(float(task.loss({"output": outputs}, batch).values.mean()), rel=1e-6)


def test_ties_share_their_mean_rank_and_constants_have_no_correlation() -> None:
    one, other = np.array([1.0, 2, 2, 3, 3, 3, 0]), np.array([5.0, 5, 6, 7, 1, 1, 1])
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic, abs=1e-12)
    assert spearman(one, np.ones(7)) == 0 and r_squared(np.ones(7), one) == 0


def test_perfect_outputs_give_back_the_numbers() -> None:
    task, targets = task_of(), numbers()
    wanted = (targets - np.array(task.stats["offset"])) / np.array(task.stats["scale"])
    decision = task.decision(None)
    assert decision.units == ("kg", "m")
    np.testing.assert_allclose(decide(wanted, decision), targets, rtol=1e-6)


@pytest.mark.parametrize(("link", "inverse"), [("exp", np.log), ("sigmoid", lambda share: np.log(share / (1 - share)))])
def test_links_are_learnt_and_undone_alike(link: str, inverse) -> None:
    targets = numbers().astype(np.float64)
    task = task_of(link=link, clip=(0.0, 400.0))
    outputs = inverse((targets - task.stats["offset"]) / task.stats["scale"])
    np.testing.assert_allclose(decide(outputs, task.decision(None)), targets, rtol=1e-5)
    loss = task.loss({"output": torch.from_numpy(outputs).float()}, batch_of(targets.astype(np.float32)))
    assert float(loss.values.max()) < 1e-8


def test_clip_limits_predictions_and_not_the_loss() -> None:
    task = task_of(clip=(0.0, 2.0))
    decided = decide(np.array([[1e3, -1e3]]), task.decision(None))
    assert decided.tolist() == [[2.0, 0.0]]


def test_the_quantile_loss_finds_the_quantile_and_reports_its_coverage() -> None:
    one = Values(names=("weight",))
    targets = numbers(500)[:, :1]
    task = task_of(targets, one, loss="quantile", quantile=0.9)
    constant = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.Adam([constant], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        task.loss({"output": constant.expand(500, 1)}, batch_of(targets)).values.mean().backward()
        optimizer.step()
    found = evaluated(task, constant.detach().expand(500, 1), targets)
    assert found.metrics["coverage"] == pytest.approx(0.9, abs=0.02)
    assert "coverage" not in evaluated(task_of(targets, one), torch.zeros(500, 1), targets).metrics


def test_data_that_cannot_be_learnt_is_refused_in_one_line() -> None:
    targets = numbers()
    targets[:, 1] = 2
    with pytest.raises(DataError, match="'height' is 2 for all training images"):
        task_of(targets)
    with pytest.raises(DataError, match="the train split has none"):
        Regression.statistics(RegressionOptions(), TARGET, Part(None))
    with pytest.raises(DataError, match="'weight' has training values that are not positive"):
        task_of(-numbers(), link="exp")
    with pytest.raises(DataError, match="'weight' has training values that are not between 0 and 1"):
        task_of(link="sigmoid", clip=(0.0, 1.0))


def test_options_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValidationError, match="link=sigmoid needs clip"):
        RegressionOptions(link="sigmoid")
    with pytest.raises(ValidationError, match="two rising numbers"):
        RegressionOptions(clip=(1.0, 1.0))
