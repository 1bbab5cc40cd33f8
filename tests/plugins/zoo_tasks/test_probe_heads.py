"""The heads of linear probes against scikit-learn's, and the votes of the nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from zoo_tasks.linear_probe import Nearest
from zoo_tasks.probe_heads import ClassHead, LabelHead, NumberHead, head_for

from zoo.api import Affine, PixelArgmax, Sigmoid, Softmax
from zoo.errors import UsageError

UNITS = Affine(names=("a", "b"), scale=(2.0, 5.0), offset=(10.0, -1.0))


def samples(count: int = 120) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    features = random.normal(size=(count, 6)) * [1, 5, 0.1, 1, 1, 0] + labels[:, None]
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def scaled(features: Tensor) -> np.ndarray:
    found: np.ndarray = StandardScaler().fit_transform(features.double().numpy())
    return found


@pytest.mark.parametrize("strength", [0.001, 0.1, 1.0])
def test_classes_are_scikit_learns_logistic_regression(strength: float) -> None:
    features, labels = samples()
    due = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(scaled(features), labels.numpy())
    outputs = ClassHead(3).fit(features, labels, strength)(features)
    assert outputs.softmax(1).numpy() == pytest.approx(due.predict_proba(scaled(features)), abs=1e-5)


def test_two_classes_have_an_output_each() -> None:
    features, labels = samples()
    labels = labels.clamp(max=1)
    due = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000).fit(scaled(features), labels.numpy())
    outputs = ClassHead(2).fit(features, labels, 0.1)(features)
    assert outputs.softmax(1).numpy() == pytest.approx(due.predict_proba(scaled(features)), abs=1e-5)


def test_a_class_without_training_images_is_never_predicted() -> None:
    features, labels = samples()
    head = ClassHead(5)
    outputs = head.fit(features, labels, 0.1)(features)
    assert outputs.shape == (120, 5) and head.score(outputs, labels) > 0.5
    assert set(outputs.argmax(1).tolist()) <= {0, 1, 2}


def test_labels_are_scikit_learns_one_against_the_rest() -> None:
    features, labels = samples()
    present = torch.stack([labels == 0, labels > 0, features[:, 1] > 1], 1).to(torch.uint8)
    regression = LogisticRegression(C=0.1, tol=1e-10, max_iter=10_000)
    due = OneVsRestClassifier(regression).fit(scaled(features), present.numpy())
    outputs = LabelHead(3).fit(features, present, 0.1)(features)
    assert outputs.sigmoid().numpy() == pytest.approx(due.predict_proba(scaled(features)), abs=1e-5)


def test_a_label_on_no_or_every_training_image_has_its_frequency() -> None:
    features, labels = samples(50)
    present = torch.stack([torch.zeros(50), torch.ones(50), labels > 0], 1).to(torch.uint8)
    outputs = LabelHead(3).fit(features, present, 0.1)(features).sigmoid()
    assert outputs[:, 0].tolist() == pytest.approx([0.5 / 51] * 50)
    assert outputs[:, 1].tolist() == pytest.approx([50.5 / 51] * 50)


def test_numbers_are_scikit_learns_ridge_regression_in_units() -> None:
    features, labels = samples()
    numbers = torch.stack([10 + 2.0 * labels + features[:, 0], -1 + 5.0 * features[:, 2]], 1).float()
    head = head_for(UNITS)
    assert isinstance(head, NumberHead)
    outputs = head.fit(features, head.wanted(numbers), 10.0)(features)
    due = Ridge(alpha=10.0).fit(scaled(features), numbers.numpy()).predict(scaled(features))
    assert (outputs * torch.tensor([2.0, 5.0]) + torch.tensor([10.0, -1.0])).numpy() == pytest.approx(due, abs=1e-4)


def test_the_neighbours_are_scikit_learns() -> None:
    features, labels = samples()
    known, asked, seen = features[:90], features[90:], labels[:90]
    found = Nearest(ClassHead(3), known, seen, 7)(asked).exp().numpy()
    due = KNeighborsClassifier(7, metric="cosine").fit(known.numpy(), seen.numpy()).predict_proba(asked.numpy())
    assert found / 7 == pytest.approx(due, abs=1e-3)
    numbers = KNeighborsRegressor(7, metric="cosine").fit(known.numpy(), seen.numpy()[:, None])
    near = Nearest(NumberHead(UNITS), known, seen[:, None].double(), 7)(asked)
    assert near.numpy() == pytest.approx(numbers.predict(asked.numpy()), abs=1e-6)
    share = Nearest(LabelHead(1), known, (seen[:, None] == 1).to(torch.uint8), 7)(asked).sigmoid().numpy()
    assert share[:, 0] == pytest.approx((due[:, 1] * 7 + 0.5) / 8, abs=1e-6)


def test_the_decision_of_the_task_chooses_the_head() -> None:
    assert isinstance(head_for(Softmax(classes=("a", "b"))), ClassHead)
    assert isinstance(head_for(Sigmoid(classes=("a",), thresholds=(0.5,))), LabelHead)
    with pytest.raises(UsageError, match="for classes, labels or numbers of whole images"):
        head_for(PixelArgmax(classes=("a", "b")))
    with pytest.raises(UsageError, match="not by link=exp"):
        head_for(UNITS.model_copy(update={"link": "exp"}))
