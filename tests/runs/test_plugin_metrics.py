"""Metrics of plugins, found by name and built for the target of a dataset."""

from __future__ import annotations

from typing import Any

import pluggy
import pytest
import torch

from zoo.api import Metric, MetricSpec, Options
from zoo.contract.targets import Classes, Target, Values
from zoo.errors import ConfigError, PluginError, UnknownNameError, UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Registry
from zoo.runs.plugin_metrics import Entry, build_metrics, find_metrics

TARGET = Classes(names=("cat", "dog", "owl"))


class TopOptions(Options):
    """Of the metric below."""

    k: int = 1


class TopK:
    def __init__(self, options: TopOptions, target: Classes) -> None:
        self.k, self.classes = options.k, len(target.names)
        self.right = self.seen = 0

    def update(self, preds: torch.Tensor, target: torch.Tensor) -> None:
        self.right += int((preds.topk(self.k).indices == target[:, None]).sum())
        self.seen += len(target)

    def compute(self) -> float:
        return self.right / self.seen


def f1(options: Options, target: Classes) -> Any:
    from torchmetrics.classification import MulticlassF1Score

    return MulticlassF1Score(len(target.names), average="macro")


def unfit(options: Options, target: Target) -> object:
    return object()


def raising(options: Options, target: Target) -> object:
    raise RuntimeError("no such average")


def ending(options: Options, target: Target) -> object:
    raise SystemExit(3)


def spec(name: str, target: str, **facts: Any) -> MetricSpec:
    return MetricSpec(**{"name": name, "summary": "a metric", "target": f"{__name__}:{target}", **facts})


@pytest.fixture
def catalogue() -> Registry:
    own = [
        spec("top_k", "TopK", options=f"{__name__}:TopOptions"),
        spec("f1", "f1"),
        spec("mae", "unfit", accepts=("values",), mode="min"),
        *(spec(name, name) for name in ("unfit", "raising", "ending")),
    ]
    plugins = [
        Plugin("lab", "zoo-lab", "1.0", "zoo_lab", specs={"metric": list(own)}),
        Plugin("rival", "zoo-rival", "1.0", "zoo_rival", specs={"metric": [spec("f1", "f1")]}),
    ]
    return Registry(plugins, pluggy.PluginManager("zoo"))


def test_metrics_are_built_with_their_options_and_the_target(catalogue: Registry) -> None:
    metrics = build_metrics(catalogue, ["lab/f1", {"top_k": {"k": 2}}], TARGET)
    assert list(metrics) == ["f1", "top_k"] and all(isinstance(each, Metric) for each in metrics.values())
    preds, target = torch.tensor([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1]]), torch.tensor([0, 1])
    for metric in metrics.values():
        metric.update(preds, target)
    assert {name: float(metric.compute()) for name, metric in metrics.items()} == {
        "f1": pytest.approx(1 / 3, abs=1e-6),
        "top_k": 1.0,
    }
    again = build_metrics(catalogue, ["top_k"], TARGET)["top_k"]
    assert isinstance(again, TopK) and (again.k, again.seen, again.classes) == (1, 0, 3)


def test_two_of_one_name_are_reported_under_their_whole_names(catalogue: Registry) -> None:
    assert list(build_metrics(catalogue, ["lab/f1", "rival/f1"], TARGET)) == ["lab/f1", "rival/f1"]


@pytest.mark.parametrize(
    ("entries", "error", "words"),
    [
        (["f1"], UsageError, ["lab (zoo-lab)", "rival (zoo-rival)", "lab/f1 or rival/f1"]),
        (["topk"], UnknownNameError, ["did you mean top_k"]),
        (["top_k", "lab/top_k"], UsageError, ["'lab/top_k' is given twice", "train.metrics"]),
        (["mae"], UsageError, ["'lab/mae' needs targets of kind `values`, but the data has `classes`"]),
        ([{"top_k": {"kk": 2}}], ConfigError, ["train.metrics.top_k.kk: unknown key", "did you mean k?"]),
        ([{"top_k": {}, "f1": {}}], UsageError, ["is not a metric"]),
        ([3], UsageError, ["3 is not a metric"]),
        (["unfit"], PluginError, ["'lab/unfit' is a object without update", "zoo-lab"]),
        (["raising"], PluginError, ["could not be built: RuntimeError: no such average", "zoo-lab"]),
        (["ending"], PluginError, ["SystemExit: 3", "zoo-lab"]),
    ],
)
def test_what_cannot_be_built_is_refused(
    catalogue: Registry, entries: list[Entry], error: type[Exception], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        build_metrics(catalogue, entries, TARGET)
    for word in words:
        assert word in str(caught.value)


def test_the_kind_of_the_target_is_checked_before_anything_is_imported(catalogue: Registry) -> None:
    assert list(find_metrics(catalogue, ["mae"], "values")) == ["mae"]
    with pytest.raises(UsageError, match="the data has `values`"):
        build_metrics(catalogue, ["top_k"], Values(names=("age",)))
