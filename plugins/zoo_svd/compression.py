"""Compress a trained network: the options of each layer with their costs, the allocation of a budget, and the resulting
network."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.errors import UsageError
from zoo.plugin import count_macs, tracked
from zoo_svd.allocation import Choices, Harm, Menu, Option, allocate, steps, uniform, worthwhile
from zoo_svd.decompositions import Decomposition, decompose
from zoo_svd.forms import (
    Choice,
    Form,
    Layer,
    candidates,
    empty,
    filled,
    forms_of,
    macs_of,
    pays,
    places_of,
    replace,
    weights_of,
)
from zoo_svd.latency import Stopwatch
from zoo_svd.options import CONVOLUTIONS
from zoo_svd.refitting import Due, answers, refit, renew_norms
from zoo_svd.seen import Hook, look, watch

Method = Literal["plain", "responses"]
Unit = Literal["bytes", "macs", "ms"]
PROBES = (0.5, 0.2, 0.06)
"""The relative layer sizes at which the loss of the whole network is measured."""
TIMED = (0.5, 0.15)
"""The relative layer sizes at which milliseconds are measured; they are interpolated by multiply-accumulates."""
WATCHED = 2e10
"""The maximum multiply-accumulates of one evaluation of the network; large networks use only some of the images."""
FEWEST = 16
BATCH = 16
BYTES = 4
"""Of a weight."""


@dataclass
class Compressor:
    """Compresses a trained ``model`` in eval mode with calibration ``images`` (N, C, H, W), normalised, on its device.

    ``forms`` are the factorisations of a convolution. If costs are in milliseconds, ``stopwatch`` measures them for
    ``batch`` images at a time.
    """

    model: nn.Module
    images: Tensor
    method: Method = "responses"
    of: Unit = "bytes"
    forms: Sequence[Form] = CONVOLUTIONS
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    batch: int = 1

    def __post_init__(self) -> None:
        self.model.eval()
        named = candidates(self.model)
        self.shapes = _shapes(self.model, named, self.images[:1])
        """The input shapes of the layers for one image, in order of execution."""
        self.layers = {name: layer for name, layer in named.items() if name in self.shapes}
        """Without layers whose weights are used without calling them, as in torch's attention."""
        self.logits = self.answers(self.model)
        inputs = set(self.forms) != {"channels"}
        self._seen = (
            look(self.model, self.layers, self._batches(self.images), inputs=inputs)
            if self.method == "responses"
            else {}
        )
        self._decompositions: dict[tuple[str, Form], Decomposition] = {}
        self._due: Due | None = None
        _, channels, height, width = self.images.shape
        macs = count_macs(self.model, (channels, height, width))
        count = min(len(self.images), max(FEWEST, int(WATCHED / max(macs, 1))))
        self._watched = torch.linspace(0, len(self.images) - 1, count).round().long()

    # ------------------------------------------------------------------------------------------------------------ menus

    def menus(self, *, measured: bool, even: bool = False) -> dict[str, Menu]:
        """Return the options of every layer.

        With ``measured``, each layer is compressed alone to measure the change of the network's outputs. With ``even``,
        only the first form is used, but at every rank.
        """
        work = [(name, layer) for name, layer in self.layers.items()]
        names = tracked(work, f"measuring the effect of {len(work)} smaller layers") if measured else work
        return {name: self._menu(name, layer, measured, even) for name, layer in names}

    def _menu(self, name: str, layer: Layer, measured: bool, even: bool) -> Menu:
        unchanged = Option(None, self.cost(name, None), 0.0, 0.0)
        forms = forms_of(layer, self.forms)[: 1 if even else None]
        options = [option for form in forms for option in self._options(name, form, measured, even)]
        return [unchanged, *(option for option in options if option.cost < unchanged.cost)]

    def _options(self, name: str, form: Form, measured: bool, even: bool) -> list[Option]:
        layer, decomposition = self.layers[name], self.decomposition(name, form)
        every = even and len(decomposition.spectra) == 1
        counts = [range(1, len(spectrum) + 1) if every else steps(len(spectrum)) for spectrum in decomposition.spectra]
        choices = [choice for ranks in itertools.product(*counts) if pays(layer, choice := Choice(form, ranks))]
        sizes = [
            Option(choice, float(weights_of(layer, choice)), lost, lost)
            for choice in choices
            if (lost := decomposition.lost(choice.ranks)) < 1
        ]
        front = worthwhile(sizes)  # the pairs of ranks with the smallest loss for their size
        if not front:
            return []
        harm = (
            Harm.of([(option.lost, self._harm(name, option)) for option in _at(front, PROBES, layer)])
            if measured
            else Harm()
        )
        cost = self._costs(name, front)
        return [
            Option(option.choice, cost(option.choice), harm(option.lost), option.lost)
            for option in front
            if option.choice
        ]

    def _costs(self, name: str, front: Sequence[Option]) -> Callable[[Choice], float]:
        if self.of != "ms":
            return partial(self.cost, name)
        layer, shape = self.layers[name], self.shapes[name]
        chosen = {option.choice for option in _at(front, TIMED, layer) if option.choice}
        points = sorted(
            (macs_of(layer, choice, shape), self._milliseconds(name, empty(layer, choice))) for choice in chosen
        )
        (first, least), (last, most) = points[0], points[-1]
        slope = max(0.0, (most - least) / (last - first)) if last > first else 0.0
        # Linear; below the measured range at least a quarter of the smallest time, because of the overhead of a call.
        return lambda choice: max(least / 4, least + slope * (macs_of(layer, choice, shape) - first))

    def cost(self, name: str, choice: Choice | None) -> float:
        """Return the cost of a layer in the unit of the budget."""
        layer, shape = self.layers[name], self.shapes[name]
        if self.of == "ms":
            return self._milliseconds(name, layer if choice is None else empty(layer, choice))
        if self.of == "macs":
            return float(
                layer.weight.numel() * places_of(layer, shape) if choice is None else macs_of(layer, choice, shape)
            )
        return float(BYTES * (layer.weight.numel() if choice is None else weights_of(layer, choice)))

    def _milliseconds(self, name: str, module: nn.Module) -> float:
        (found,) = self.stopwatch(module, self.shapes[name], [self.batch])
        if found is None:
            raise UsageError(
                f"no exporter here can run the layer '{name}' alone, so its time is not known",
                where="task.of",
                fix="give bytes or macs",
            )
        return found

    def _harm(self, name: str, option: Option) -> float:
        """Return the loss if only this layer is compressed."""
        layer = self.layers[name]
        if option.choice is None:
            return 0.0
        replace(self.model, name, self.replacement(name, option.choice))
        try:
            return self.divergence(self.model, self._watched)
        finally:
            replace(self.model, name, layer)

    # --------------------------------------------------------------------------------------------------------- networks

    def decomposition(self, name: str, form: Form) -> Decomposition:
        """Return the decomposition of a layer, computed on first use."""
        if (name, form) not in self._decompositions:
            self._decompositions[name, form] = decompose(self.layers[name], form, self._seen.get(name))
        return self._decompositions[name, form]

    def choices(self, budget: float, menus: dict[str, Menu], *, even: bool = False) -> Choices:
        return uniform(menus, budget) if even else allocate(menus, budget)

    def compressed(self, choices: Choices) -> nn.Module:
        """Return a copy of the network with these choices.

        With the method ``responses``, its factorised layers are refitted and its batch norm statistics recomputed, each
        only if that brings the network's outputs closer to the original's.
        """
        model = copy.deepcopy(self.model)
        smaller = [name for name in self.shapes if choices[name] is not None]
        for name in smaller:
            replace(model, name, self.replacement(name, choices[name]))  # type: ignore[arg-type]
        if self.method == "plain" or not smaller:
            return model
        if self._due is None:
            self._due = answers(self.model, self.layers, self._batches(self.images))
        divergence = self.divergence(model)
        for improve in (
            partial(refit, names=smaller, due=self._due, batches=self._batches(self.images)),
            partial(renew_norms, images=self.images),
        ):
            other = copy.deepcopy(model)
            if improve(other) and (reached := self.divergence(other)) < divergence:
                model, divergence = other, reached
        return model

    def replacement(self, name: str, choice: Choice) -> nn.Module:
        return filled(self.layers[name], choice, *self.decomposition(name, choice.form).weights(choice.ranks))

    def divergence(self, model: nn.Module, rows: Tensor | None = None) -> float:
        """Return the mean Kullback-Leibler divergence, in nats, of a network's outputs for the calibration images (or
        some of them) from the original's."""
        logits = self.logits if rows is None else self.logits[rows]
        found, due = F.log_softmax(self.answers(model, rows), 1), F.log_softmax(logits, 1)
        return float(F.kl_div(found, due, reduction="batchmean", log_target=True))

    def answers(self, model: nn.Module, rows: Tensor | None = None) -> Tensor:
        """Return the logits of the calibration images (or some of them), computed in batches."""
        with torch.no_grad():
            return torch.cat(
                [model(batch) for batch in self._batches(self.images if rows is None else self.images[rows])]
            )

    def _batches(self, images: Tensor) -> Sequence[Tensor]:
        return images.split(BATCH)  # type: ignore[no-any-return,no-untyped-call]


def choices_of_energy(menus: Mapping[str, Menu], energy: float) -> Choices:
    """Return, for each layer, the cheapest option of its first form that keeps this share of its energy."""
    found: Choices = {}
    for name, (_, *options) in menus.items():
        form = next((option.choice.form for option in options if option.choice), None)
        enough = [
            option for option in options if option.choice and option.choice.form == form and 1 - option.lost >= energy
        ]
        found[name] = min(enough, key=lambda option: option.cost).choice if enough else None
    return found


def _at(front: Sequence[Option], shares: Sequence[float], layer: Layer) -> list[Option]:
    """Return the largest options below these relative sizes of the layer, without repeats."""
    found = []
    for share in shares:
        within = [option for option in front if option.cost <= share * layer.weight.numel()]
        found.append(within[0] if within else front[-1])
    return list(dict.fromkeys(found))


def _shapes(model: nn.Module, layers: Mapping[str, Layer], image: Tensor) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Hook:
        return lambda _layer, given, _output: found.update({name: tuple(given[0].shape[1:])})

    watch(model, {layer: note(name) for name, layer in layers.items()}, [image])
    return found
