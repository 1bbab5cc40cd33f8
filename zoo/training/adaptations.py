"""The adaptations of a run as one: made in their order, and asked together while the network is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from zoo.api import (
    Adaptation,
    AdaptationSpec,
    AdaptContext,
    Evaluate,
    EvaluationResult,
    PartView,
    ReportItem,
    Teacher,
)
from zoo.errors import CheckpointError, PluginError
from zoo.registry.lookup import Item, calls_of

Made = list[dict[str, Any]]
"""What each adaptation did, as JSON."""


@dataclass(frozen=True)
class Adaptations:
    """``items`` say where each comes from."""

    items: Sequence[Item[AdaptationSpec]] = ()
    each: Sequence[Adaptation[Any]] = ()

    @property
    def trains(self) -> bool:
        """Whether there is training after them: there is where there are none, or one of them asks for it."""
        return not self.each or any(adaptation.trains for adaptation in self.each)

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, Made]:
        return self._changed(model, lambda adaptation, network, _place: adaptation.adapt(network, context))

    def resume(self, model: nn.Module, context: AdaptContext, made: Made) -> tuple[nn.Module, Made]:
        """As when the run began. Raises CheckpointError where one changes the network otherwise today."""
        model, again = self._changed(
            model, lambda adaptation, network, place: adaptation.resume(network, context, made[place])
        )
        for item, now, before in zip(self.items, again, made, strict=True):
            if now != before:
                raise CheckpointError(
                    f"adaptation {item.spec.name} changes the network otherwise than when this run began",
                    fix="bring back what changed, or start a new run",
                )
        return model, again

    def _changed(
        self, model: nn.Module, change: Callable[[Adaptation[Any], nn.Module, int], tuple[nn.Module, dict[str, Any]]]
    ) -> tuple[nn.Module, Made]:
        made: Made = []
        for place, (item, adaptation) in enumerate(zip(self.items, self.each, strict=True)):
            with calls_of([item], "adapting the network"):
                model, facts = change(adaptation, model, place)
            made.append(_as_json(item, facts))
        return model, made

    @property
    def teacher(self) -> Teacher | None:
        """That of the last adaptation that has one."""
        teachers = [teacher for teacher in (adaptation.teacher() for adaptation in self.each) if teacher is not None]
        return teachers[-1] if teachers else None

    def lr_multipliers(self, model: nn.Module) -> Mapping[str, float]:
        """Where two name a parameter, their shares are multiplied."""
        shares: dict[str, float] = {}
        for adaptation in self.each:
            for name, share in adaptation.lr_multipliers(model).items():
                shares[name] = shares.get(name, 1.0) * share
        return shares

    def set_train_mode(self, model: nn.Module) -> None:
        """Training mode, but for what the adaptations keep out of it."""
        model.train()
        for adaptation in self.each:
            adaptation.configure_train_mode(model)

    def on_epoch_start(self, model: nn.Module, epoch: int) -> None:
        for adaptation in self.each:
            adaptation.on_epoch_start(model, epoch)

    def report(self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path) -> list[ReportItem]:
        return [item for each in self.each for item in each.report(result, part, evaluate, directory)]


def _as_json(item: Item[AdaptationSpec], facts: Any) -> dict[str, Any]:
    """As it will be read from the run's record. Raises PluginError for what is no object of JSON."""
    try:
        found = json.loads(json.dumps(facts))
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"adaptation '{item.canonical}' says what it did in a form that is no JSON: {error}",
            where=item.plugin.distribution,
            fix="report it to the authors",
        ) from error
    if not isinstance(found, dict):
        raise PluginError(
            f"adaptation '{item.canonical}' says what it did as {type(found).__name__}, where an object is due",
            where=item.plugin.distribution,
            fix="report it to the authors",
        )
    return found
