"""The linear probe: the network it returns, its reports, fine-tuning after it, and what a second run computes."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from zoo_classics.cnn import CNN
from zoo_tasks.linear_probe import LinearProbe, Probed
from zoo_tasks.options import LinearProbeOptions

import zoo
from zoo.api import AdaptContext, Batch, Classes, Softmax
from zoo.errors import UsageError
from zoo.testing.adaptations import features_of

PLAIN = LinearProbeOptions(fine_tune=None)


def samples(count: int = 120) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, count)
    features = random.normal(size=(count, 6)) + labels[:, None]
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


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
    names, parts = ("a", "b", "c"), {"train": View(*samples())}
    data: Any = SimpleNamespace(target=Classes(names=names), parts=parts)
    return AdaptContext(data, head, None, lambda _line: None, features_of, Softmax(classes=names))  # type: ignore[arg-type]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8))


@pytest.mark.parametrize("fine_tune", [None, "all", "last:1"])
def test_the_network_is_rebuilt_from_its_description(fine_tune: str | None) -> None:
    torch.manual_seed(0)
    probe, (features, labels) = LinearProbe(LinearProbeOptions(fine_tune=fine_tune)), samples()
    adapted, facts = probe.adapt(network(), context())
    rebuilt = LinearProbe(PLAIN).rebuild(network(), facts)
    rebuilt.load_state_dict(adapted.state_dict())
    assert isinstance(adapted, Probed) and probe.trains == (fine_tune is not None)
    assert torch.equal(rebuilt(features), adapted(features))
    trained = [name for name, each in rebuilt.named_parameters() if each.requires_grad]
    assert trained == ([] if fine_tune is None else ["linear.weight", "linear.bias"])
    assert float((adapted(features).argmax(1) == labels).double().mean()) > 0.8


def test_the_same_data_gives_the_same_probe() -> None:
    made = [LinearProbe(PLAIN).adapt(network(), context()) for _ in range(2)]
    assert made[0][1] == made[1][1]
    assert torch.equal(made[0][0].linear.weight, made[1][0].linear.weight)  # type: ignore[union-attr, arg-type]


def test_batch_norms_keep_their_statistics_in_fine_tuning() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
    LinearProbe(PLAIN).configure_train_mode(model.train())
    assert not model[0].training and model[1].training


def rows_of(result: Any) -> dict[str, dict[str, str]]:
    with (result.path / "probe.csv").open(newline="") as stream:
        return {row["model"]: row for row in csv.DictReader(stream)}


WANTED: dict[str, Any] = {"weights": "mnist", "dataset.resize": 28, "threads": 1}


def test_a_second_probe_on_the_same_images_runs_the_network_on_a_few_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {**WANTED, "adapt": ["linear_probe"]}
    first = zoo.run("cnn", data="digits", set=wanted, out=tmp_path / "first", quiet=True)
    seen: list[int] = []
    plain = nn.Conv2d.forward

    def counted(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x) if layer.out_channels == layer.in_channels else 0)
        return plain(layer, x)

    monkeypatch.setattr(nn.Conv2d, "forward", counted)  # the second of the network's two
    again = zoo.run("cnn", data="digits", set=wanted, out=tmp_path / "again", quiet=True)
    assert again.metrics == first.metrics and again.metrics["accuracy"] > 0.9
    assert 0 < sum(seen) < 20 and first.record.samples["test"] == 360
    assert rows_of(first) == rows_of(again) and len(rows_of(first)) == 2
    low, high = first.record.intervals["test"]["accuracy"]
    probe = rows_of(first)["linear probe"]
    assert (probe["lower"], probe["upper"]) == (f"{low:.4f}", f"{high:.4f}")
    assert low < first.metrics["accuracy"] < high
    log = (tmp_path / "first" / "log.txt").read_text()
    assert "linear probe: accuracy" in log and f"95% interval {low:.2%} to {high:.2%}, 360 images" in log


@pytest.mark.parametrize("lr", [3e-3, 10.0])
def test_fine_tuning_is_kept_only_if_it_is_better_on_val(tmp_path: Path, lr: float) -> None:
    fine_tuning = {"name": "linear_probe", "fine_tune": "all"}
    wanted = {**WANTED, "adapt": [fine_tuning], "dataset.val_fraction": 0.2, "train.evaluate_start": True}
    settings = {"train.lr": lr, "train.epochs": 4}
    found = zoo.run("cnn", data="digits", set={**wanted, **settings}, out=tmp_path / "run", quiet=True)
    rows, log = rows_of(found), (tmp_path / "run" / "log.txt").read_text()
    assert list(rows)[:2] == ["fine-tuned", "linear probe"] and "before training: val accuracy" in log
    kept = "no epoch was better on the validation split than the network before training" in log
    assert kept == (lr == 10.0)
    model = zoo.load(found.path).module
    assert isinstance(model, Probed) and isinstance(model.backbone, CNN)
    if kept:
        assert rows["fine-tuned"]["accuracy"] == rows["linear probe"]["accuracy"]
    assert found.metrics["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("data", "metric", "better"), [("digit_sets", "map", 1), ("digits_rotated", "mae", -1)], ids=["labels", "numbers"]
)
def test_a_probe_of_labels_and_of_numbers_is_where_fine_tuning_begins(
    tmp_path: Path, data: str, metric: str, better: int
) -> None:
    adapt = [{"name": "linear_probe", "fine_tune": "all"}]
    wanted = {**WANTED, "adapt": adapt, "train.evaluate_start": True, "train.lr": 3e-3, "train.epochs": 2}
    found = zoo.run("cnn", data=data, set=wanted, out=tmp_path / "run", quiet=True)
    rows, log = rows_of(found), (tmp_path / "run" / "log.txt").read_text()
    assert list(rows)[:2] == ["fine-tuned", "linear probe"] and "before training: val" in log
    assert float(rows["fine-tuned"][metric]) == pytest.approx(found.metrics[metric], abs=1e-4)
    assert better * (float(rows["fine-tuned"][metric]) - float(rows["linear probe"][metric])) > 0


def test_an_unknown_head_is_refused() -> None:
    with pytest.raises(UsageError, match="does not name its head"):
        LinearProbe(PLAIN).adapt(nn.Sequential(), context(head=None))
