"""Checks of adaptations, on a tiny network, random images and a simple task."""

from __future__ import annotations

import copy
import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from zoo.api import Adaptation, AdaptContext, EvaluationResult, PartView, TargetKind, Teacher
from zoo.errors import ZooError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import NAMES, ToyTask, dummy_data, dummy_network, dummy_target
from zoo.testing.results import report_findings
from zoo.testing.training import SEED, training_findings
from zoo.training.adaptations import Adaptations
from zoo.training.distillation import Distillation, on_device
from zoo.training.evaluation import evaluate_part
from zoo.training.feature_cache import FeaturePart
from zoo.training.train_state import Learning

if TYPE_CHECKING:
    from zoo.data.data_loader import AnyPart

KINDS: tuple[TargetKind, ...] = ("classes", "values")
"""Two kinds of targets suffice, because an adaptation does not depend on the target."""


def adaptation_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    kind = load_object(item.spec.target, item)
    if not (inspect.isclass(kind) and issubclass(kind, Adaptation)):
        yield Finding("class", f"{item.spec.target} is not a subclass of zoo.api.Adaptation")
        return
    with torch.random.fork_rng(devices=[]):
        for target in KINDS:
            torch.manual_seed(SEED)
            found = list(Trial(item, kind, target).findings(all_of_it=target == KINDS[0]))
            if found:  # the other kind of target would repeat the same findings
                yield from (Finding(check, f"with {target}: {text}") for check, text in found)
                return


class Trial:
    """The checks of an adaptation with one kind of target."""

    def __init__(self, item: Item[Any], kind: type[Adaptation[Any]], target: TargetKind) -> None:
        self.item, self.kind, self.options = item, kind, options_model(item)()
        self.data = dummy_data(dummy_target(target))
        self.task, self.reader = ToyTask(self.data.target), OutputReader()
        self.plain = dummy_network(len(NAMES), "vector")
        self.context = AdaptContext(
            self.data, "head", self.evaluate, lambda _text: None, features_of, self.task.decision(None)
        )
        self.adapted: list[tuple[Adaptation[Any], nn.Module]] = []
        self.made: dict[str, Any] = {}

    def evaluate(self, model: nn.Module, part: PartView) -> EvaluationResult:
        return evaluate_part(model, self.task, self.task.decision(None), part, 5, self.reader)

    def findings(self, *, all_of_it: bool) -> Iterator[Finding]:
        """``all_of_it`` adds the slow checks: resume, report and training."""
        yield from guarded("adapt", self._adapt_findings())
        for adaptation, model in self.adapted:
            yield from guarded("rebuild", self._rebuild_findings(model))
            yield from guarded("hooks", self._hook_findings(adaptation, copy.deepcopy(model)))
            if not all_of_it:
                return
            yield from guarded("resume", self._resume_findings())
            yield from guarded("report", self._report_findings(adaptation, model))
            if adaptation.trains:
                yield from training_findings(self._learning, self.data)

    def _adapt_findings(self) -> Iterator[Finding]:
        """Set ``adapted`` to the adaptation and the network, and ``made`` to its description as a run stores it."""
        adaptation = self.kind(self.options)
        try:
            changed: object = adaptation.adapt(copy.deepcopy(self.plain), self.context)
        except ZooError:
            return  # an adaptation may refuse a network that it does not support
        if not (isinstance(changed, tuple) and len(changed) == 2 and isinstance(changed[0], nn.Module)):
            yield Finding("adapt", "adapt must return a tuple of a network and a dict")
            return
        model, made = changed
        try:
            self.made = json.loads(json.dumps(made))
        except (TypeError, ValueError) as error:
            yield Finding("adapt", f"adapt returns a description that is not JSON: {error}")
            return
        if not isinstance(made, dict):
            yield Finding("adapt", f"adapt returns a description of type {type(made).__name__}, expected dict")
            return
        self.adapted.append((adaptation, model))

    def _rebuild_findings(self, model: nn.Module) -> Iterator[Finding]:
        rebuilt = self.kind(self.options).rebuild(copy.deepcopy(self.plain), self.made)
        if _shapes(rebuilt) != _shapes(model):
            yield Finding("rebuild", "rebuild and adapt return networks with different parameters")
        elif _learning(rebuilt) != _learning(model):
            yield Finding("rebuild", "rebuild and adapt leave different parameters trainable")

    def _resume_findings(self) -> Iterator[Finding]:
        _, again = self.kind(self.options).resume(copy.deepcopy(self.plain), self.context, self.made)
        if json.loads(json.dumps(again)) != self.made:
            yield Finding("resume", "resume and adapt return different descriptions")

    def _hook_findings(self, adaptation: Adaptation[Any], model: nn.Module) -> Iterator[Finding]:
        """Call each hook once, as the trainer does."""
        trains: object = adaptation.trains
        if not isinstance(trains, bool):
            yield Finding("hooks", f"trains is {trains!r}, expected True or False")
        learned: object = adaptation.teacher()
        if learned is not None and not (isinstance(learned, Teacher) and isinstance(learned.model, nn.Module)):
            yield Finding("hooks", f"teacher returns {type(learned).__name__}, expected zoo.api.Teacher or None")
        names = {name for name, _ in model.named_parameters()}
        frozen = names - set(_learning(model))
        shares: object = adaptation.lr_multipliers(model)
        if not isinstance(shares, Mapping):
            yield Finding("hooks", f"lr_multipliers returns {type(shares).__name__}, expected a mapping")
        else:
            yield from _share_findings(shares, names)
        for epoch in range(2):
            for name, given in (
                ("on_epoch_start", adaptation.on_epoch_start(model, epoch)),  # type: ignore[func-returns-value]
                ("configure_train_mode", adaptation.configure_train_mode(model.train())),  # type: ignore[func-returns-value]
            ):
                if given is not None and epoch == 0:
                    yield Finding("hooks", f"{name} returns {type(given).__name__}, expected None")
        thawed = frozen & set(_learning(model))
        if thawed:
            yield Finding("hooks", f"on_epoch_start unfreezes '{min(thawed)}', which adapt froze")
        if adaptation.trains and not _learning(model):
            yield Finding("hooks", "`trains` is True, but no parameter is trainable")

    def _report_findings(self, adaptation: Adaptation[Any], model: nn.Module) -> Iterator[Finding]:
        part = self.data.part("test")
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "plots").mkdir()
            shown = adaptation.report(self.evaluate(model, part), part, self.evaluate, Path(folder))
            yield from report_findings(shown, Path(folder))

    def _learning(self, resumed: bool) -> tuple[nn.Module, Learning]:
        adaptation = self.kind(self.options)
        model = copy.deepcopy(self.plain)
        if resumed:
            model, made = adaptation.resume(model, self.context, self.made)
        else:
            model, made = adaptation.adapt(model, self.context)
        teacher = adaptation.teacher()
        distillation = None
        if teacher is not None and teacher.share:
            on_device(teacher, torch.device("cpu"))
            distillation = Distillation(teacher, self.data.target)
        adaptations = Adaptations([self.item], [adaptation])
        return model, Learning(self.task, self.reader, adaptations, made=[made], distillation=distillation)


def features_of(module: nn.Module, part: PartView) -> PartView:
    """Return the outputs of a module for a split, computed at once, without the cache of a run."""
    with torch.no_grad():
        found = [module.eval()(batch.inputs).float() for batch in part.batches(5)]
    return FeaturePart(cast("AnyPart", part), torch.cat(found).cpu().numpy())


def _share_findings(shares: Mapping[Any, Any], names: set[str]) -> Iterator[Finding]:
    strange = sorted(str(name) for name in shares if name not in names)
    if strange:
        yield Finding("hooks", f"lr_multipliers: '{strange[0]}' is not a parameter of the network")
    wrong = [value for value in shares.values() if not isinstance(value, int | float) or not value >= 0]
    if wrong:
        yield Finding("hooks", f"lr_multipliers has {wrong[0]!r}, expected numbers of at least 0")


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _learning(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
