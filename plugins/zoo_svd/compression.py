"""Compressing a trained network: what a rank of each layer costs in accuracy, the ranks of a budget, and the network of these ranks."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from zoo_svd.allocation import Curve, Ranks, allocate, uniform
from zoo_svd.layers import Layer, candidates, filled, replace, sides
from zoo_svd.responses import Decomposition, by_responses, plain, statistics

Method = Literal["plain", "responses"]
Unit = Literal["bytes", "macs"]
PROBES = (0.5, 0.2, 0.06)
"""Shares of a layer's cost at whose ranks the harm to the whole network is measured."""
BATCH = 16
BYTES = 4
"""Of a weight."""


@dataclass
class Compressor:
    """A trained ``model`` in eval mode, and ``pictures`` (N, C, H, W) to calibrate by, normalised, on its device."""

    model: nn.Module
    pictures: Tensor
    method: Method = "responses"
    unit: Unit = "bytes"

    def __post_init__(self) -> None:
        self.model.eval()
        self.layers: dict[str, Layer] = candidates(self.model)
        self.logits = self.answers(self.model)
        self.places = _places(self.model, self.layers, self.pictures[:1])
        self._statistics = statistics(self.model, self.layers, self._batches()) if self.method == "responses" else {}
        self._decompositions: dict[str, Decomposition] = {}

    def decomposition(self, name: str) -> Decomposition:
        """Of a layer, made when it is first asked for."""
        if name not in self._decompositions:
            layer = self.layers[name]
            self._decompositions[name] = plain(layer) if self.method == "plain" else by_responses(layer, *self._statistics[name])
        return self._decompositions[name]

    def curves(self, *, measured: bool) -> dict[str, Curve]:
        """Of every layer. Only where ``measured`` is their harm known: each layer is compressed alone, and the network's answers are compared."""
        return {name: self._curve(name, layer, measured) for name, layer in self.layers.items()}

    def ranks(self, budget: float, curves: dict[str, Curve], *, even: bool = False) -> Ranks:
        return uniform(curves, budget) if even else allocate(curves, budget)

    def ranks_of_energy(self, energy: float) -> Ranks:
        """Of each layer the smallest rank that keeps this share of its energy, where it pays."""
        found: Ranks = {}
        for name, curve in self.curves(measured=False).items():
            found[name] = next((rank for rank in curve.ranks() if 1 - curve.lost(rank) >= energy), None)
        return found

    def compressed(self, ranks: Ranks) -> nn.Module:
        """A copy of the network with these ranks; its batch norms see the calibration pictures once more where that brings its answers nearer."""
        model = copy.deepcopy(self.model)
        for name, rank in ranks.items():
            if rank is not None:
                replace(model, name, filled(self.layers[name], self.decomposition(name).pair(rank)))
        return self._with_norms_anew(model) if self.method == "responses" else model

    def divergence(self, model: nn.Module) -> float:
        """The mean Kullback-Leibler divergence of a network's answers to the calibration pictures from the original's, in nats."""
        found, due = F.log_softmax(self.answers(model), 1), F.log_softmax(self.logits, 1)
        return float(F.kl_div(found, due, reduction="batchmean", log_target=True))

    def answers(self, model: nn.Module) -> Tensor:
        """The logits of the calibration pictures, a few at a time."""
        with torch.no_grad():
            return torch.cat([model(batch) for batch in self._batches()])

    def _batches(self) -> Iterator[Tensor]:
        yield from self.pictures.split(BATCH)  # type: ignore[no-untyped-call]

    def _curve(self, name: str, layer: Layer, measured: bool) -> Curve:
        rows, columns = sides(layer)
        unit = BYTES if self.unit == "bytes" else self.places[name]

        def lost(rank: int) -> float:
            return self.decomposition(name).lost(rank)

        points: list[tuple[float, float]] = []
        if measured:
            ranks = sorted({max(1, int(share * rows * columns / (rows + columns))) for share in PROBES}, reverse=True)
            points = [(lost(rank), self._harm(name, rank)) for rank in ranks]
        return Curve(rows, columns, unit, lost, _rising(points) or [(1.0, 1.0)])

    def _harm(self, name: str, rank: int) -> float:
        """Of this layer alone at a rank."""
        layer = self.layers[name]
        replace(self.model, name, filled(layer, self.decomposition(name).pair(rank)))
        try:
            return self.divergence(self.model)
        finally:
            replace(self.model, name, layer)

    def _with_norms_anew(self, model: nn.Module) -> nn.Module:
        norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
        if not norms:
            return model
        before, other = self.divergence(model), copy.deepcopy(model)
        anew = [module for module in other.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
        momenta = [module.momentum for module in anew]
        for module in anew:
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
            module.train()
        with torch.no_grad():
            for batch in self.pictures.split(4 * BATCH):  # type: ignore[no-untyped-call]
                if len(batch) > 1:
                    other(batch)
        for module, momentum in zip(anew, momenta, strict=True):
            module.momentum = momentum
        other.eval()
        return other if self.divergence(other) < before else model


def _rising(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Ascending shares with harms that do not fall, which measuring by few pictures may make them do."""
    kept: list[tuple[float, float]] = []
    for share, harm in sorted(points):
        if not kept or share > kept[-1][0] * 1.01:
            kept.append((share, max(harm, kept[-1][1] if kept else 0.0)))
    return kept


def _places(model: nn.Module, layers: dict[str, Layer], picture: Tensor) -> dict[str, int]:
    """How many times each layer's matrix is applied to one picture."""
    found: dict[str, int] = {}

    def count(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            found[name] = output[0].numel() // (output.shape[1] if output.ndim == 4 else output.shape[-1])

        return hook

    hooks = [layer.register_forward_hook(count(name)) for name, layer in layers.items()]
    with torch.no_grad():
        model(picture)
    for hook in hooks:
        hook.remove()
    return found
