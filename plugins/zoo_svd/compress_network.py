"""Compress a trained network by low-rank factorisation of its layers, in closed form, optionally followed by
distillation from the original."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import (
    JSON,
    Adaptation,
    AdaptContext,
    Classes,
    DataView,
    Evaluate,
    EvaluationResult,
    PartView,
    ReportItem,
    Teacher,
)
from zoo.errors import CheckpointError, UsageError
from zoo.plugin import count_parameters, plural, tracked
from zoo_svd.allocation import Choices, Menu
from zoo_svd.compression import Compressor, choices_of_energy
from zoo_svd.forms import from_json, restructured, to_json
from zoo_svd.latency import Stopwatch
from zoo_svd.named import named
from zoo_svd.network_report import Outcome, write_report
from zoo_svd.options import NetworkOptions

DEFAULT_BUDGET = 0.25
HALVINGS = 7
"""Steps of the search for the smallest budget that keeps the accuracy."""


class SvdCompress(Adaptation[NetworkOptions]):
    def __init__(self, options: NetworkOptions) -> None:
        super().__init__(options)
        self.original: nn.Module | None = None
        self.compressor: Compressor | None = None
        self.menus: dict[str, Menu] = {}
        self._choices: Choices = {}
        self._result: nn.Module | None = None

    @property
    def trains(self) -> bool:
        return self.options.finetune

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        """Compress; the JSON names forms and ranks.

        Raises UsageError where no layer of the network can be made smaller.
        """
        compressor, labels = self._begin(model, context.data)
        self.menus = compressor.menus(measured=self._measured, even=self.options.even)
        result, adaptation = self._compress(compressor, self._chosen(compressor, labels))
        self._summarise(result, context.print)
        return result, adaptation

    def resume(self, model: nn.Module, context: AdaptContext, adaptation: JSON) -> tuple[nn.Module, dict[str, Any]]:
        """By the choices of the run: milliseconds are another number each time, and might choose otherwise.

        Raises CheckpointError where the network that was compressed is another one now.
        """
        compressor, _ = self._begin(model, context.data)
        choices = {**dict.fromkeys(compressor.layers), **from_json(dict(adaptation))}
        again, made = self._compress(compressor, choices)
        if made != adaptation:
            raise CheckpointError(
                "the weights of the network that this run compressed have changed since the run started",
                where="weights",
                fix="restore those weights, or start a new run",
            )
        return again, made

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        return restructured(model, dict(adaptation))

    def teacher(self) -> Teacher | None:
        """The original network."""
        if self.original is None or not self.options.finetune:
            return None
        return Teacher(self.original, self.options.distillation, self.options.temperature)

    def report(self, result: EvaluationResult, part: PartView, evaluate: Evaluate, directory: Path) -> list[ReportItem]:
        """Where the network was compressed in this process, what became smaller and what it cost."""
        if part.targets is None or self.compressor is None or self.original is None or self._result is None:
            return []
        if not self.menus:  # of a run that was resumed
            self.menus = self.compressor.menus(measured=self._measured, even=self.options.even)
        outcome = Outcome(self.original, self._result, self.compressor, self._choices, self.menus, self.options)
        return write_report(outcome, result, part, evaluate, directory)

    @property
    def _measured(self) -> bool:
        """Whether the harm to the network is measured layer by layer."""
        options = self.options
        return not options.even and ((options.energy is None and options.ranks is None) or bool(options.curve))

    def _begin(self, model: nn.Module, data: DataView) -> tuple[Compressor, Tensor | None]:
        """A compressor of the network, with calibration images, and the labels of these."""
        options = self.options
        images, labels = calibration(data.parts["train"], options.calibration, options.calibration_seed)
        self.original = copy.deepcopy(model).eval().to(images.device)
        if images.device.type == "mps":
            raise UsageError(
                "this task needs double precision, which mps does not support",
                where="task.svd_compress",
                fix="add --device cpu",
            )
        compressor = self.compressor = Compressor(
            self.original, images, options.method, options.of, options.forms, Stopwatch(), options.latency_batch
        )
        if not compressor.layers:
            raise UsageError(
                "no layer of this network can be made smaller by a lower rank",
                where="task.svd_compress",
                fix="choose another network",
            )
        return compressor, labels if isinstance(data.target, Classes) else None

    def _compress(self, compressor: Compressor, choices: Choices) -> tuple[nn.Module, dict[str, Any]]:
        """The compressed network and its choices, with a digest of the original's weights where it will teach."""
        self._choices = choices
        self._result = compressor.compressed(choices).cpu()
        return self._result, to_json(choices) | (
            {"original": digest(compressor.model)} if self.options.finetune else {}
        )

    def _summarise(self, model: nn.Module, print: Callable[[str], None]) -> None:  # noqa: A002
        if self.original is None:
            return
        before, after = count_parameters(self.original)[0], count_parameters(model)[0]
        changed = sum(choice is not None for choice in self._choices.values())
        smaller = "" if after < before else ": it is not smaller than the original"
        print(
            f"{plural(changed, 'layer')} of {len(self._choices)} factorised: {before:,} → {after:,} parameters{smaller}"
        )

    def _chosen(self, compressor: Compressor, labels: Tensor | None) -> Choices:
        options = self.options
        if options.ranks is not None:
            return named(compressor, options.ranks, options.forms)
        if options.energy is not None:
            return choices_of_energy(self.menus, options.energy)
        if options.max_drop is not None:
            return self._least(compressor, labels, options.max_drop)
        return compressor.choices(options.budget or DEFAULT_BUDGET, self.menus, even=options.even)

    def _least(self, compressor: Compressor, labels: Tensor | None, drop: float) -> Choices:
        """Of the smallest budget, by halving, at which the calibration images lose no more than ``drop`` points of
        accuracy."""
        if labels is None:
            raise UsageError(
                "task.max_drop needs labels, but this data has none",
                where="task.max_drop",
                fix="give task.budget",
            )
        allowed = _accuracy(compressor.logits, labels) - drop
        low, high = 0.0, 1.0
        kept: Choices = dict.fromkeys(self.menus)
        for _ in tracked(range(HALVINGS), f"looking for the smallest budget that costs no more than {drop:g} points"):
            middle = (low + high) / 2
            try:
                choices = compressor.choices(middle, self.menus, even=self.options.even)
            except UsageError:
                low = middle
                continue
            reached = _accuracy(compressor.answers(compressor.compressed(choices)), labels)
            if reached >= allowed:
                kept, high = choices, middle
            else:
                low = middle
        return kept


def calibration(part: PartView, count: int, seed: int) -> tuple[Tensor, Tensor | None]:
    """``count`` images of a part (n, C, H, W), normalised, drawn by a seed, and their targets."""
    chosen = np.sort(np.random.default_rng(seed).choice(len(part), min(count, len(part)), replace=False))
    images, labels, start = [], [], 0
    for batch in part.batches(256):
        rows = torch.from_numpy(chosen[(chosen >= start) & (chosen < start + len(batch.inputs))] - start).to(
            batch.inputs.device
        )
        images.append(batch.inputs[rows])
        if batch.targets is not None:
            labels.append(batch.targets[rows])
        start += len(batch.inputs)
    return torch.cat(images), torch.cat(labels) if labels else None


def digest(model: nn.Module) -> str:
    """Of all weights, by name."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _accuracy(logits: Tensor, labels: Tensor) -> float:
    """In points."""
    return 100 * float((logits.argmax(1) == labels).float().mean())
