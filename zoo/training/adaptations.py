"""The adaptations of a run, combined: applied in order, with their hooks called during training."""

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
from zoo.errors import CheckpointError, PluginError, report_to
from zoo.registry.lookup import Item, calls_of

Made = list[dict[str, Any]]
"""The descriptions that the adaptations returned, as JSON."""


@dataclass(frozen=True)
class Adaptations:
    """A list of adaptations; ``items`` are their registered items."""

    items: Sequence[Item[AdaptationSpec]] = ()
    each: Sequence[Adaptation[Any]] = ()

    @property
    def trains(self) -> bool:
        """Whether the network is trained: True without adaptations, otherwise if any of them returns True."""
        return not self.each or any(adaptation.trains for adaptation in self.each)

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, Made]:
        return self._changed(model, lambda adaptation, network, _place: adaptation.adapt(network, context))

    def resume(self, model: nn.Module, context: AdaptContext, made: Made) -> tuple[nn.Module, Made]:
        """Apply the adaptations as when the run started. Raises CheckpointError if one makes a different change."""
        model, again = self._changed(
            model, lambda adaptation, network, place: adaptation.resume(network, context, made[place])
        )
        for item, now, before in zip(self.items, again, made, strict=True):
            if now != before:
                raise CheckpointError(
                    f"adaptation {item.spec.name} makes a different change than when this run started",
                    fix="restore the data and package versions of the run, or start a new run",
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
        """Return the teacher of the last adaptation that has one."""
        teachers = [teacher for teacher in (adaptation.teacher() for adaptation in self.each) if teacher is not None]
        return teachers[-1] if teachers else None

    def lr_multipliers(self, model: nn.Module) -> Mapping[str, float]:
        """Return the multipliers of all adaptations; multipliers of the same parameter are multiplied."""
        shares: dict[str, float] = {}
        for adaptation in self.each:
            for name, share in adaptation.lr_multipliers(model).items():
                shares[name] = shares.get(name, 1.0) * share
        return shares

    def set_train_mode(self, model: nn.Module) -> None:
        """Set training mode, except for modules that adaptations keep in eval mode."""
        model.train()
        for adaptation in self.each:
            adaptation.configure_train_mode(model)

    def on_epoch_start(self, model: nn.Module, epoch: int) -> None:
        for adaptation in self.each:
            adaptation.on_epoch_start(model, epoch)

    def report(self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path) -> list[ReportItem]:
        return [item for each in self.each for item in each.report(result, part, evaluate, directory)]


def _as_json(item: Item[AdaptationSpec], facts: Any) -> dict[str, Any]:
    """Return the description as it will be read from run.json. Raises PluginError unless it is a JSON object."""
    try:
        found = json.loads(json.dumps(facts))
    except (TypeError, ValueError) as error:
        raise PluginError(
            f"adaptation '{item.canonical}' returns a description that is not JSON: {error}",
            where=item.plugin.distribution,
            fix=report_to(item.plugin.distribution),
        ) from error
    if not isinstance(found, dict):
        raise PluginError(
            f"adaptation '{item.canonical}' returns a description of type {type(found).__name__}, expected dict",
            where=item.plugin.distribution,
            fix=report_to(item.plugin.distribution),
        )
    return found
