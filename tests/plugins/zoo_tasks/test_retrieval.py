"""Retrieval: its loss and metrics against independent implementations, its gallery, and features without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors
from torch import nn
from torchmetrics.retrieval import RetrievalMAP
from zoo_tasks.features import Features
from zoo_tasks.options import RetrievalOptions
from zoo_tasks.retrieval import Retrieval
from zoo_tasks.retrieval_metrics import RetrievalEvaluator, nearest, rank

import zoo
from zoo import runtime
from zoo.api import AdaptContext, Batch, Classes, Embedding, Options, Raw
from zoo.errors import UsageError
from zoo.plugin import remove_head
from zoo.reporting.console import Console
from zoo.runs.load_model import load_run
from zoo.runs.run_directory import RunDir
from zoo.testing.adaptations import features_of


def task(**options: float) -> Retrieval:
    return Retrieval(RetrievalOptions.model_validate(options), Classes(names=("a", "b", "c")), {})


def test_the_loss_is_equation_2_of_khosla() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, targets = torch.randn(7, 5, generator=generator), torch.tensor([0, 1, 0, 1, 0, 2, 1])
    found = task(temperature=0.2).loss({"output": outputs}, Batch(outputs, targets, torch.arange(7)))
    unit = (outputs / outputs.norm(dim=1, keepdim=True)).double()
    for i in range(7):
        others = [a for a in range(7) if a != i]
        below = sum(float(torch.exp(unit[i] @ unit[a] / 0.2)) for a in others)
        logs = [np.log(float(torch.exp(unit[i] @ unit[p] / 0.2)) / below) for p in others if targets[p] == targets[i]]
        assert found.weights is not None
        assert found.weights[i] == (len(logs) > 0)
        if logs:
            assert float(found.values[i]) == pytest.approx(-np.mean(logs), rel=1e-5)


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
def test_the_loss_is_the_same_in_mixed_precision(precision: torch.dtype) -> None:
    outputs, targets = torch.randn(7, 5), torch.tensor([0, 1, 0, 1, 0, 2, 1])
    batch = Batch(outputs, targets, torch.arange(7))
    with torch.autocast("cpu", precision):
        found = task().loss({"output": outputs}, batch).values
    assert torch.equal(found, task().loss({"output": outputs}, batch).values)


def test_a_batch_without_positives_has_a_finite_loss_and_gradient() -> None:
    outputs = torch.randn(3, 4, requires_grad=True)
    found = task().loss({"output": outputs}, Batch(outputs, torch.arange(3), torch.arange(3)))
    assert found.weights is not None and not found.weights.any()
    found.values.sum().backward()
    assert outputs.grad is not None and bool(torch.isfinite(outputs.grad).all())


def test_metrics_equal_scikit_learns() -> None:
    random = np.random.default_rng(1)
    outputs, targets = random.normal(size=(60, 8)).astype(np.float32), random.integers(0, 4, 60)
    evaluator, second = RetrievalEvaluator(), RetrievalEvaluator()
    for each, rows in ((evaluator, slice(0, 25)), (second, slice(25, 60))):
        labels = torch.from_numpy(targets[rows])
        each.update({"output": torch.from_numpy(outputs[rows])}, Batch(labels, labels, labels))
    evaluator.merge(second)
    found = evaluator.compute()
    unit = outputs.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    precision, first = [], []
    for i in range(60):
        others = np.arange(60) != i
        relevant, similarity = targets[others] == targets[i], (unit @ unit[i])[others]
        precision.append(average_precision_score(relevant, similarity))
        first.append(int(np.flatnonzero(relevant[np.argsort(-similarity)])[0]) + 1)
    assert found.metrics["mean_average_precision"] == pytest.approx(np.mean(precision), abs=1e-6)
    for k in (1, 5, 10):
        assert found.metrics[f"recall_at_{k}"] == pytest.approx(np.mean(np.array(first) <= k), abs=1e-9)
    assert found.per_sample["first_match"].tolist() == first


def test_metrics_equal_those_of_torchmetrics_and_nearest_neighbours() -> None:
    random = np.random.default_rng(2)
    outputs, targets = random.normal(size=(50, 6)), random.integers(0, 5, 50)
    unit = torch.from_numpy(outputs / np.linalg.norm(outputs, axis=1, keepdims=True))
    labels, others = torch.from_numpy(targets), ~torch.eye(50, dtype=torch.bool)
    queries, same = torch.arange(50)[:, None].expand(50, 50), labels[:, None] == labels[None]
    metric = RetrievalMAP(empty_target_action="skip")
    scores = (unit @ unit.T).argsort(1).argsort(1) + 1.0  # torchmetrics counts positive scores only
    metric.update(scores[others], same[others], indexes=queries[others])
    search = NearestNeighbors(n_neighbors=10, metric="cosine").fit(outputs)
    match = targets[search.kneighbors(return_distance=False)] == targets[:, None]
    evaluator = RetrievalEvaluator()
    evaluator.update({"output": torch.from_numpy(outputs)}, Batch(labels, labels, labels))
    found = evaluator.compute().metrics
    assert found["mean_average_precision"] == pytest.approx(float(metric.compute()), abs=1e-6)
    for k in (1, 5, 10):
        assert found[f"recall_at_{k}"] == pytest.approx(match[:, :k].any(1).mean(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.realdata
def test_the_recipe_on_mnist_ranks_better_than_the_pixels(tmp_path: Path) -> None:
    """Of two digits that look alike, to be short; the pixels have a mean average precision of some 0.7."""
    wanted = {"dataset": {"classes": ["3", "8"]}, "device": "cpu"}
    result = zoo.run("mnist_retrieval", overrides=wanted, out=tmp_path / "run", console=Console(quiet=True))
    assert result.metrics["mean_average_precision"] > 0.9
    assert result.metrics["recall_at_1"] > 0.95


def test_a_sample_alone_in_its_class_is_no_query() -> None:
    found = rank(np.eye(3, dtype=np.float32), np.array([0, 0, 1]))
    assert found.first[2] == 0 and found.average_precision[2] == 0
    assert (found.first[:2] > 0).all()


def test_the_nearest_samples_leave_out_the_query() -> None:
    outputs = np.array([[1, 0], [2, 0.1], [0, 1], [0, 3]], np.float32)
    found, similarities = nearest(outputs, np.array([0, 3]), 2)
    assert found[:, 0].tolist() == [1, 2]
    assert similarities[1, 0] == pytest.approx(1)


def test_features_remove_the_head_and_keep_what_follows_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 9, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(2, 3, 8, 8)
    due = model[0](images).mean((2, 3))
    context = AdaptContext(None, "1", None, print, features_of, Raw())  # type: ignore[arg-type]  # it looks at no data
    adaptation = Features(Options())
    changed, facts = adaptation.adapt(model, context)
    assert torch.allclose(changed(images), due, atol=1e-6)
    assert facts == {"head": "1"} and not adaptation.trains
    with pytest.raises(UsageError, match="does not name its head"):
        adaptation.adapt(model, AdaptContext(None, None, None, print, features_of, Raw()))  # type: ignore[arg-type]


def test_removing_an_unknown_head_names_it() -> None:
    with pytest.raises(Exception, match="no module 'fc'"):
        remove_head(nn.Sequential(), "fc")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the recipe, of one epoch."""
    where = tmp_path_factory.mktemp("retrieval") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(where.parent / "cache"))
        result = zoo.run("digits_retrieval", overrides={"train": {"epochs": 1}}, out=where, console=Console(quiet=True))
    assert result.path is not None
    return result.path


def test_a_run_has_the_gallery_of_its_train_split(trained: Path) -> None:
    loaded = load_run(RunDir(trained))
    assert loaded.decision == Embedding(gallery="gallery.safetensors")
    assert loaded.gallery is not None
    gallery = runtime.read_gallery(loaded.gallery)
    assert gallery.vectors.shape == (RunDir(trained).record.samples["train"], 64)
    assert np.linalg.norm(gallery.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert set(gallery.labels) == set("0123456789")


def test_the_report_shows_even_samples_and_the_worst_queries(trained: Path) -> None:
    report = (trained / "report.html").read_text(encoding="utf-8")
    assert report.index("Worst queries") > report.index("Matches") > 0
    for name in ("matches", "worst_queries"):
        with Image.open(trained / "plots" / f"{name}.png") as image:
            assert image.size == (1116, 1488)  # 9.3 × 12.4 inches: eight queries with six matches each


def test_a_bundle_answers_with_the_closest_images_of_its_gallery(trained: Path, tmp_path: Path) -> None:
    bundle = zoo.export(str(trained), out=tmp_path / "bundle").path
    image = sorted((trained / "samples").glob("*.png"))[0]
    found, due = zoo.predict(bundle, [image]), zoo.predict(trained, [image])
    [(_, vector)] = found.rows
    gallery = runtime.read_gallery(trained / "gallery.safetensors")
    order = np.argsort(-(gallery.vectors.astype(np.float64) @ vector))[:3]
    told = found.facts(vector, 3)["matches"]
    assert [each["name"] for each in told] == [gallery.names[row] for row in order]
    assert [each["name"] for each in due.facts(due.rows[0][1], 3)["matches"]] == [each["name"] for each in told]
    assert f"{told[0]['name']} ({told[0]['label']}) {told[0]['similarity']:.3f}" in found.answer(vector, 3)


def test_an_altered_gallery_is_refused(trained: Path, tmp_path: Path) -> None:
    bundle = zoo.export(str(trained), out=tmp_path / "bundle").path
    file = bundle / "gallery.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(Exception, match="altered"):
        zoo.predict(bundle, [trained / "samples"])
