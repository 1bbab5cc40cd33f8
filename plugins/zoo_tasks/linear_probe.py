"""Linear probe: a linear head on the features of a frozen network (G. Alain, Y. Bengio: Understanding intermediate
layers using linear classifier probes, 2016), with the nearest neighbours on the same features beside it.

The features of all splits are computed once and kept (`zoo.api.AdaptContext.features`). The head is scikit-learn's
regression for the task (`zoo_tasks.probe_heads`). Its regularisation and the number of neighbours are chosen on the
validation split or, if there is none, on every fifth training image; then all of train is fitted.

With ``fine_tune``, the probe is where the training of the last layers begins (A. Kumar et al.: Fine-tuning can distort
pretrained features and underperform out-of-distribution, 2022: linear probing, then fine-tuning).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from zoo.api import JSON, Adaptation, AdaptContext, Evaluate, EvaluationResult, PartView, ReportItem
from zoo.errors import UsageError
from zoo.plugin import figure, plural, remove_head, write_csv
from zoo_tasks.options import LinearProbeOptions
from zoo_tasks.probe_heads import Head, Regression, head_for
from zoo_tasks.transfer import learning_layers, parameters_of

NEIGHBOURS = (1, 5, 10, 20)


class Probed(nn.Module):
    """A network without its head, and a linear layer on its features."""

    def __init__(self, backbone: nn.Module, features: int, outputs: int) -> None:
        super().__init__()
        self.backbone, self.linear = backbone, nn.Linear(features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.backbone(x).flatten(1))  # type: ignore[no-any-return]


class Linear(nn.Module):
    """A fitted head on features (N, …)."""

    def __init__(self, found: Regression) -> None:
        super().__init__()
        self._found = found

    def forward(self, features: Tensor) -> Tensor:
        weight, bias = (each.float().to(features.device) for each in self._found)
        return F.linear(features.flatten(1), weight, bias)


class Nearest(nn.Module):
    """What the most similar training images, by cosine similarity, say of features (N, …)."""

    def __init__(self, head: Head, features: Tensor, targets: Tensor, count: int) -> None:
        super().__init__()
        self._head, self.count = head, count
        self._known, self._targets = F.normalize(features, dim=1), targets

    def forward(self, features: Tensor) -> Tensor:
        known, targets = self._known.to(features.device), self._targets.to(features.device)
        similar = F.normalize(features.flatten(1), dim=1) @ known.T
        near = similar.topk(min(self.count, len(known)), dim=1)
        return self._head.vote(targets[near.indices], near.values)


class Fitted(NamedTuple):
    """What is reported beside the network of the run: both on features, and the features of each split."""

    metric: str
    linear: Linear
    nearest: Nearest
    features: Sequence[tuple[PartView, PartView]]
    print: Callable[[str], None]


class LinearProbe(Adaptation[LinearProbeOptions]):
    def __init__(self, options: LinearProbeOptions) -> None:
        super().__init__(options)
        self._fitted: Fitted | None = None

    @property
    def trains(self) -> bool:
        return self.options.fine_tune is not None

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        if context.head is None:
            raise UsageError(
                "the spec of this architecture does not name its head, which would be replaced",
                fix="choose another architecture (see `zoo list architectures`)",
            )
        head = head_for(context.decision)
        remove_head(model, context.head)
        features = {name: context.features(model, part) for name, part in context.data.parts.items()}
        train = _all_of(features["train"], head)
        strength, count = _chosen(head, train, _all_of(features["val"], head) if "val" in features else None)
        found = head.fit(*train, strength)
        self._fitted = Fitted(
            head.metric,
            Linear(found),
            Nearest(head, *train, count),
            [(part, features[name]) for name, part in context.data.parts.items()],
            context.print,
        )
        facts: dict[str, Any] = {
            "head": context.head,
            "features": train[0].shape[1],
            "outputs": head.outputs,
            "strength": strength,
            "neighbours": count,
        }
        if self.options.fine_tune is not None:
            facts["trained"] = list(learning_layers(_probed(model, facts), self.options.fine_tune, "linear"))
        probed = self.rebuild(model, facts)
        with torch.no_grad():
            for name, value in zip(("weight", "bias"), found, strict=True):
                probed.get_parameter(f"linear.{name}").copy_(value)
        context.print(
            f"linear probe: {head.name} on {facts['features']:,} features of {plural(len(train[0]), 'image')}, "
            f"{head.letter} = {strength:g}; nearest neighbours: {count}"
        )
        return probed, facts

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        if not isinstance(model.get_submodule(adaptation["head"]), nn.Identity):
            remove_head(model, adaptation["head"])
        probed = _probed(model, adaptation)
        for parameter in probed.parameters():
            parameter.requires_grad_(False)
        for parameter in parameters_of(probed, adaptation.get("trained", ())).values():
            parameter.requires_grad_(True)
        return probed

    def configure_train_mode(self, model: nn.Module) -> None:
        """Keep the statistics of every batch norm, which a few images would not improve."""
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()

    def report(
        self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path
    ) -> Sequence[ReportItem]:
        """Write probe.csv: the metric of the probe, of the neighbours and of a fine-tuned network, with its 95 %
        interval."""
        fitted = self._fitted
        features = next((each for view, each in fitted.features if view is part), None) if fitted else None
        if fitted is None or features is None or fitted.metric not in result.metrics:
            return ()
        probe = evaluate(fitted.linear, features) if self.trains else result
        near = evaluate(fitted.nearest, features)
        found = {"linear probe": probe, f"{plural(fitted.nearest.count, 'nearest neighbour')}": near}
        if self.trains:
            found = {"fine-tuned": result, **found}
        rows = []
        for name, each in found.items():
            value, bounds = each.metrics[fitted.metric], each.intervals.get(fitted.metric, ())
            rows.append([name, *(f"{number:.4f}" for number in (value, *bounds)), *[""] * (2 - len(bounds)), len(part)])
            within = " to ".join(figure(fitted.metric, bound).rpartition(" ")[2] for bound in bounds)
            told = f", 95% interval {within}" if bounds else ""
            fitted.print(f"{name}: {figure(fitted.metric, value)}{told}, {plural(len(part), 'image')}")
        write_csv(directory / "probe.csv", ["model", fitted.metric, "lower", "upper", "images"], rows)
        model = "fine-tuned network" if self.trains else "linear probe"
        return [
            ReportItem(
                "Linear probe and nearest neighbours",
                "probe.csv",
                f"Both on the same features, with the 95% confidence interval over these images. The {model} is the "
                "model of this run.",
            )
        ]


def _probed(model: nn.Module, facts: JSON) -> Probed:
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    return Probed(model, facts["features"], facts["outputs"]).to(device)


def _all_of(part: PartView, head: Head) -> tuple[Tensor, Tensor]:
    """Return the features (N, D) and the targets (N, …) of a split as the head uses them, on the CPU."""
    batch = next(part.batches(len(part)))
    if batch.targets is None:
        raise UsageError("a linear probe needs targets", fix="choose another dataset, or remove linear_probe")
    return batch.inputs.cpu().flatten(1), head.wanted(batch.targets.cpu())


def _chosen(head: Head, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor] | None) -> tuple[float, int]:
    """Return the strength and the number of neighbours with the best score; of equal ones the most regularised."""
    held = torch.arange(len(train[0])) % 5 == 4
    fitted, (features, targets) = train, val or train
    if val is None:
        fitted = (train[0][~held], train[1][~held])
        features, targets = train[0][held], train[1][held]
    strengths = {each: head.score(head.fit(*fitted, each)(features), targets) for each in head.strengths}
    counts = {each: head.score(Nearest(head, *fitted, each)(features), targets) for each in reversed(NEIGHBOURS)}
    return max(strengths, key=lambda each: strengths[each]), max(counts, key=lambda each: counts[each])
