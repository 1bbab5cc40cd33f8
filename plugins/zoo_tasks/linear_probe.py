"""Linear probe: logistic regression on the features of a frozen network (G. Alain, Y. Bengio: Understanding
intermediate layers using linear classifier probes, 2016), with the nearest neighbours on the same features beside it.

Features are standardised by the train split. The regression is scikit-learn's: it minimises C·Σ cross-entropy + |W|²/2.
C and the number of neighbours are chosen on the validation split or, if
there is none, on every fifth training image; then all of train is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.api import JSON, Adaptation, AdaptContext, Evaluate, EvaluationResult, Options, PartView, ReportItem
from zoo.errors import UsageError
from zoo.plugin import echo, remove_head, tracked, write_csv

STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
NEIGHBOURS = (1, 5, 10, 20)
BATCH = 64
NEVER = -1e4
"""The output for a class of which train has no image."""


class Probed(nn.Module):
    """A network without its head, and a linear layer on its features."""

    def __init__(self, backbone: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.backbone, self.linear = backbone, nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.backbone(x))  # type: ignore[no-any-return]


class Nearest(nn.Module):
    """The logarithm of the share of each class among the most similar training images, by cosine similarity."""

    def __init__(self, backbone: nn.Module, features: Tensor, labels: Tensor, classes: int, count: int) -> None:
        super().__init__()
        self.backbone, self._classes, self._count = backbone, classes, count
        self._known, self._labels = F.normalize(features, dim=1), labels

    def forward(self, x: Tensor) -> Tensor:
        return self.of(self.backbone(x))

    def of(self, features: Tensor) -> Tensor:
        known = self._known.to(features.device)
        near = (F.normalize(features, dim=1) @ known.T).topk(min(self._count, len(known)), dim=1)
        votes = F.one_hot(self._labels.to(features.device)[near.indices], self._classes).float()
        # the similarity decides between classes with as many votes
        return torch.log((votes * (1 + 1e-4 * near.values[..., None])).sum(1) + 1e-6)


class Regression(NamedTuple):
    """``weight`` (K, D) and ``bias`` (K,) for features that are not standardised."""

    weight: Tensor
    bias: Tensor

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        return _accuracy(features.double() @ self.weight.T + self.bias, labels)


class LinearProbe(Adaptation[Options]):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._nearest: Nearest | None = None

    @property
    def trains(self) -> bool:
        return False

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        if context.head is None:
            raise UsageError(
                "the spec of this architecture does not name its head, which would be replaced",
                fix="choose another architecture (see `zoo list architectures`)",
            )
        remove_head(model, context.head)
        classes = len(getattr(context.data.target, "names", ()))
        features, labels = features_of(model, context.data.parts["train"])
        held = torch.arange(len(features)) % 5 == 4
        fitted, chosen = (features[~held], labels[~held]), (features[held], labels[held])
        if "val" in context.data.parts:
            fitted, chosen = (features, labels), features_of(model, context.data.parts["val"])
        strength = max(STRENGTHS, key=lambda each: (fit(*fitted, classes, each).accuracy(*chosen), -each))
        scores = {
            each: _accuracy(Nearest(model, *fitted, classes, each).of(chosen[0]), chosen[1]) for each in NEIGHBOURS
        }
        count = max(NEIGHBOURS, key=lambda each: (scores[each], each))
        found = fit(features, labels, classes, strength)
        facts = {"head": context.head, "features": features.shape[1], "classes": classes}
        probed = self.rebuild(model, facts)
        assert isinstance(probed, Probed)  # noqa: S101  # as `rebuild` returns it
        with torch.no_grad():
            probed.linear.weight.copy_(found.weight)
            probed.linear.bias.copy_(found.bias)
        self._nearest = Nearest(model, features, labels, classes, count)
        context.print(
            f"linear probe on {features.shape[1]:,} features of {len(features):,} images: C = {strength:g}; nearest "
            f"neighbours: {count}"
        )
        return probed, {**facts, "strength": strength, "neighbours": count}

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        if not isinstance(model.get_submodule(adaptation["head"]), nn.Identity):
            remove_head(model, adaptation["head"])
        probed = Probed(model, adaptation["features"], adaptation["classes"])
        device = next((each.device for each in model.parameters()), torch.device("cpu"))
        for parameter in probed.to(device).parameters():
            parameter.requires_grad_(False)
        return probed

    def report(
        self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path
    ) -> Sequence[ReportItem]:
        """Write probe.csv: the accuracy of both with its 95 % interval."""
        if self._nearest is None or "accuracy" not in result.metrics:
            return ()
        found = {
            "linear probe": result.metrics["accuracy"],
            f"{self._nearest._count} nearest neighbours": evaluate(self._nearest, part).metrics["accuracy"],
        }
        rows = []
        for name, accuracy in found.items():
            low, high = wilson(accuracy, len(part))
            rows.append([name, f"{accuracy:.4f}", f"{low:.4f}", f"{high:.4f}", len(part)])
            echo(f"{name}: accuracy {accuracy:.2%}, 95% interval {low:.2%} to {high:.2%}, {len(part):,} images")
        write_csv(directory / "probe.csv", ["model", "accuracy", "lower", "upper", "images"], rows)
        return [
            ReportItem(
                "Linear probe and nearest neighbours",
                "probe.csv",
                "Accuracy of both classifiers on the same features, with a 95% confidence interval (Wilson 1927). The "
                "linear probe is the model of this run.",
            )
        ]


def features_of(backbone: nn.Module, part: PartView) -> tuple[Tensor, Tensor]:
    """Return the features (N, D) and classes (N,) of a split, on the CPU."""
    backbone.eval()
    found, labels = [], []
    starts = tracked(range(0, len(part), BATCH), f"computing the features of {len(part):,} images")
    with torch.no_grad():
        for _, batch in zip(starts, part.batches(BATCH), strict=True):
            backbone.to(batch.inputs.device)
            found.append(backbone(batch.inputs).float().flatten(1).cpu())
            labels.append(_labels(batch.targets))
    return torch.cat(found), torch.cat(labels)


def _labels(targets: Tensor | None) -> Tensor:
    if targets is None or targets.ndim != 1:
        raise UsageError("a linear probe needs a class for each image", fix="choose another dataset or adaptation")
    return targets.cpu()


def fit(features: Tensor, labels: Tensor, classes: int, strength: float) -> Regression:
    """Return the regression for features (N, D) and classes (N,), with C = ``strength``."""
    from sklearn.linear_model import LogisticRegression

    exact = features.double()
    mean, deviation = exact.mean(0), exact.std(0, unbiased=False)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    solved = LogisticRegression(C=strength, tol=1e-7, max_iter=2000).fit(
        ((exact - mean) / deviation).numpy(), labels.numpy()
    )
    rows, offsets = torch.from_numpy(solved.coef_), torch.from_numpy(solved.intercept_)
    if len(solved.classes_) == 2:  # one row, of the difference between the two classes
        rows, offsets = torch.cat([-rows, rows]) / 2, torch.cat([-offsets, offsets]) / 2
    weight, bias = rows.new_zeros(classes, exact.shape[1]), offsets.new_full((classes,), NEVER)
    present = torch.from_numpy(solved.classes_)
    weight[present], bias[present] = rows / deviation, offsets - (rows / deviation) @ mean
    return Regression(weight, bias)


def _accuracy(outputs: Tensor, labels: Tensor) -> float:
    return float((outputs.argmax(1) == labels).double().mean()) if len(labels) else 0.0


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of ``count`` (E. Wilson: Probable inference, the law of succession, and
    statistical inference, 1927)."""
    from scipy.stats import binomtest

    found = binomtest(round(share * count), count).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
