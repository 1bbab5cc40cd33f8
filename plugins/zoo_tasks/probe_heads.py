"""Linear heads that are fitted to features without gradient descent, one for each kind of decision: logistic regression
for classes, one for each label against the rest, ridge regression for numbers; and what nearest neighbours answer.

Features are standardised by the train split; the weights that are returned are for features that are not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.api import Affine, Decision, Sigmoid, Softmax
from zoo.errors import UsageError

NEVER = -1e4
"""The output for a class of which train has no image."""


class Regression(NamedTuple):
    """``weight`` (K, D) and ``bias`` (K,) for features (N, D) that are not standardised."""

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        return features.double() @ self.weight.T + self.bias


class Head(ABC):
    """``name`` is that of the regression, ``metric`` the metric that is reported; ``strengths`` are the choices of its
    regularisation, the strongest first, and ``letter`` is what they are called."""

    name: str
    metric: str
    letter: str
    strengths: Sequence[float]

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def wanted(self, targets: Tensor) -> Tensor:
        """Return the targets as `fit` and `score` use them."""
        return targets

    @abstractmethod
    def solve(self, features: Tensor, targets: Tensor, strength: float) -> Regression:
        """Fit to standardised features float64 (N, D)."""

    @abstractmethod
    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Return how good outputs (N, K) are; higher is better."""

    @abstractmethod
    def vote(self, near: Tensor, similarities: Tensor) -> Tensor:
        """Return outputs (N, K) from the targets (N, k, …) of the k most similar training images."""

    def fit(self, features: Tensor, targets: Tensor, strength: float) -> Regression:
        exact = features.double()
        mean, deviation = exact.mean(0), exact.std(0, unbiased=False)
        deviation = torch.where(deviation > 0, deviation, 1.0)
        found = self.solve((exact - mean) / deviation, targets, strength)
        weight = found.weight / deviation
        return Regression(weight, found.bias - weight @ mean)


class ClassHead(Head):
    """Multinomial logistic regression; it minimises C·Σ cross-entropy + |W|²/2. Targets are int64 (N,)."""

    name, metric, letter = "logistic regression", "accuracy", "C"
    strengths = (0.0001, 0.001, 0.01, 0.1, 1.0)

    def solve(self, features: Tensor, targets: Tensor, strength: float) -> Regression:
        from sklearn.linear_model import LogisticRegression

        solved = LogisticRegression(C=strength, tol=1e-7, max_iter=2000).fit(features.numpy(), targets.numpy())
        rows, offsets = torch.from_numpy(solved.coef_), torch.from_numpy(solved.intercept_)
        if len(solved.classes_) == 2:  # one row, of the difference between the two classes
            rows, offsets = torch.cat([-rows, rows]) / 2, torch.cat([-offsets, offsets]) / 2
        weight, bias = rows.new_zeros(self.outputs, features.shape[1]), offsets.new_full((self.outputs,), NEVER)
        present = torch.from_numpy(solved.classes_)
        weight[present], bias[present] = rows, offsets
        return Regression(weight, bias)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        return float((outputs.argmax(1) == targets).double().mean()) if len(targets) else 0.0

    def vote(self, near: Tensor, similarities: Tensor) -> Tensor:
        """The logarithm of the share of each class; the similarity decides between classes with as many votes."""
        votes = F.one_hot(near, self.outputs).float()
        return torch.log((votes * (1 + 1e-4 * similarities[..., None])).sum(1) + 1e-6)


class LabelHead(Head):
    """A logistic regression for each label against the rest. Targets are 0 and 1 (N, K)."""

    name, metric, letter = "a logistic regression for each label", "map", "C"
    strengths = ClassHead.strengths

    def solve(self, features: Tensor, targets: Tensor, strength: float) -> Regression:
        found = [self._one(features, column, strength) for column in targets.T]
        return Regression(torch.stack([each.weight for each in found]), torch.stack([each.bias for each in found]))

    def _one(self, features: Tensor, present: Tensor, strength: float) -> Regression:
        from sklearn.linear_model import LogisticRegression

        count, positives = len(present), int(present.sum())
        if positives in (0, count):  # on all training images, or on none: only its frequency is known
            odds = torch.tensor((positives + 0.5) / (count - positives + 0.5), dtype=torch.float64)
            return Regression(features.new_zeros(features.shape[1]), odds.log())
        solved = LogisticRegression(C=strength, tol=1e-7, max_iter=2000).fit(features.numpy(), present.numpy())
        return Regression(torch.from_numpy(solved.coef_[0]), torch.tensor(solved.intercept_[0], dtype=torch.float64))

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The log-likelihood, which counts every label of every image."""
        return -float(F.binary_cross_entropy_with_logits(outputs.double(), targets.double()))

    def vote(self, near: Tensor, similarities: Tensor) -> Tensor:
        """The logit of the share of each label, half a vote for each side added."""
        share = (near.double().sum(1) + 0.5) / (near.shape[1] + 1)
        return torch.logit(share).float()


class NumberHead(Head):
    """Ridge regression: it minimises Σ squared error + α·|W|². Targets are numbers (N, K) in units; outputs are those
    of the decision, which brings them to units."""

    name, metric, letter = "ridge regression", "mae", "alpha"
    strengths = (100_000.0, 10_000.0, 1000.0, 100.0, 10.0, 1.0)

    def __init__(self, decision: Affine) -> None:
        super().__init__(len(decision.names))
        if decision.link != "identity":
            raise UsageError(
                f"ridge regression predicts numbers by link=identity, not by link={decision.link}",
                where="task.link",
                fix="leave it out, or remove the adaptation linear_probe",
            )
        self._scale, self._offset = (torch.tensor(each).double() for each in (decision.scale, decision.offset))

    def wanted(self, targets: Tensor) -> Tensor:
        return (targets.double() - self._offset) / self._scale

    def solve(self, features: Tensor, targets: Tensor, strength: float) -> Regression:
        from sklearn.linear_model import Ridge

        solved = Ridge(alpha=strength).fit(features.numpy(), targets.numpy())
        weight, bias = torch.from_numpy(solved.coef_), torch.as_tensor(solved.intercept_, dtype=torch.float64)
        return Regression(weight.view(self.outputs, -1), bias.view(self.outputs))

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        return -float((outputs.double() - targets).square().mean())

    def vote(self, near: Tensor, similarities: Tensor) -> Tensor:
        return near.mean(1).float()


def head_for(decision: Decision) -> Head:
    """Return the head for the outputs of a task. Raises UsageError for a decision that no linear head has."""
    match decision:
        case Softmax():
            return ClassHead(len(decision.classes))
        case Sigmoid():
            return LabelHead(len(decision.classes))
        case Affine():
            return NumberHead(decision)
        case _:
            raise UsageError(
                "a linear probe needs a task for classes, labels or numbers of whole images",
                where="task",
                fix="choose another task, or remove the adaptation linear_probe",
            )
