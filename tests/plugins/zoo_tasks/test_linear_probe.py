"""The linear probe: its regression against scikit-learn's, its neighbours, its interval, and the network it returns."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn
from zoo_classics.cnn import CNN
from zoo_tasks.linear_probe import LinearProbe, Nearest, Probed, fit, wilson

import zoo
from zoo.api import AdaptContext, Batch, Classes, Options
from zoo.errors import UsageError
from zoo.testing.adaptations import features_of


def samples(count: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    features = random.normal(size=(count, 6)) * [1, 5, 0.1, 1, 1, 0] + labels[:, None]
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


@pytest.mark.parametrize("strength", [0.001, 0.1, 1.0])
def test_the_regression_is_scikit_learns(strength: float) -> None:
    features, labels = samples()
    found = fit(features, labels, 3, strength)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    due = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(scaled, labels.numpy())
    logits = (features.double() @ found.weight.T + found.bias).numpy()
    shares = np.exp(logits - logits.max(1, keepdims=True))
    assert shares / shares.sum(1, keepdims=True) == pytest.approx(due.predict_proba(scaled), abs=1e-5)


def test_two_classes_have_an_output_each() -> None:
    features, labels = samples()
    labels = labels.clamp(max=1)
    found = fit(features, labels, 2, 0.1)
    scaled = StandardScaler().fit_transform(features.double().numpy())
    due = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(scaled, labels.numpy())
    logits = features.double() @ found.weight.T + found.bias
    assert logits.softmax(1).numpy() == pytest.approx(due.predict_proba(scaled), abs=1e-5)


def test_a_class_without_training_images_is_never_predicted() -> None:
    features, labels = samples()
    found = fit(features, labels, 5, 0.1)
    assert found.weight.shape == (5, 6) and found.accuracy(features, labels) > 0.5
    assert set((features.double() @ found.weight.T + found.bias).argmax(1).tolist()) <= {0, 1, 2}


def test_the_neighbours_are_scikit_learns() -> None:
    features, labels = samples()
    known, asked = features[:90], features[90:]
    found = Nearest(known, labels[:90], 3, 7)(asked).exp().numpy()
    due = KNeighborsClassifier(7, metric="cosine").fit(known.numpy(), labels[:90].numpy())
    assert found / 7 == pytest.approx(due.predict_proba(asked.numpy()), abs=1e-3)


def test_the_interval_is_wilsons() -> None:
    # R. Newcombe: Two-sided confidence intervals for the single proportion (1998), table I
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1.0, 20)[1] == 1.0


class View:
    """A split whose images are the features themselves."""

    device, names = torch.device("cpu"), ()
    targets_of = images_of = None

    def __init__(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        self._features, self._labels, self.targets = features, labels, labels.numpy()

    def __len__(self) -> int:
        return len(self._labels)

    def batches(self, size: int) -> Any:
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield Batch(self._features[rows], self._labels[rows], torch.arange(len(self))[rows])


def context(head: str | None = "1") -> AdaptContext:
    features, labels = samples()
    data = SimpleNamespace(target=Classes(names=("a", "b", "c")), parts={"train": View(features, labels)})
    return AdaptContext(data, head, None, lambda _line: None, features_of)  # type: ignore[arg-type]


def test_the_network_is_rebuilt_from_its_description() -> None:
    torch.manual_seed(0)
    probe, features = LinearProbe(Options()), samples()[0]
    adapted, facts = probe.adapt(nn.Sequential(nn.Flatten(), nn.Linear(6, 8)), context())
    rebuilt = LinearProbe(Options()).rebuild(nn.Sequential(nn.Flatten(), nn.Linear(6, 8)), facts)
    rebuilt.load_state_dict(adapted.state_dict())
    assert isinstance(adapted, Probed)
    assert torch.equal(rebuilt(features), adapted(features))
    assert not any(parameter.requires_grad for parameter in adapted.parameters())
    assert float((adapted(features).argmax(1) == samples()[1]).double().mean()) > 0.8


def test_the_same_data_gives_the_same_probe() -> None:
    made = [LinearProbe(Options()).adapt(nn.Sequential(nn.Flatten(), nn.Linear(6, 8)), context()) for _ in range(2)]
    assert made[0][1] == made[1][1]
    assert torch.equal(made[0][0].linear.weight, made[1][0].linear.weight)  # type: ignore[union-attr, arg-type]


def test_a_second_probe_on_the_same_images_runs_the_network_on_a_few_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"adapt": ["linear_probe"], "weights": "mnist", "dataset.resize": 28, "threads": 1}
    first = zoo.run("cnn", data="digits", set=wanted, out=tmp_path / "first", quiet=True)
    seen: list[Any] = []
    forward = CNN.forward
    monkeypatch.setattr(CNN, "forward", lambda model, x: seen.append(x) or forward(model, x))
    again = zoo.run("cnn", data="digits", set=wanted, out=tmp_path / "again", quiet=True)
    assert again.metrics == first.metrics and again.metrics["accuracy"] > 0.9
    assert sum(len(x) for x in seen if isinstance(x, torch.Tensor)) < 20 and first.record.samples["test"] == 360
    rows = [(tmp_path / name / "probe.csv").read_text() for name in ("first", "again")]
    assert rows[0] == rows[1] and "nearest neighbours" in rows[0]


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(UsageError, match="does not name its head"):
        LinearProbe(Options()).adapt(nn.Sequential(), context(head=None))
