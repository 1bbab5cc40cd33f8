"""Gradient checkpointing: activations are not kept for the backward pass, but computed there a second time (T. Chen et
al.: Training deep nets with sublinear memory cost, 2016).

Which modules are recomputed follows from the activations that each keeps (`zoo.training.activation_memory`), so that it
works for any network. Modules with much to keep are divided: an `nn.Sequential` into runs of its children, others into
the modules that they call. Of the divisions with different limits, the one with the lowest peak is used: the inputs of
the recomputed modules, what is not recomputed, and the activations of the largest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import CheckpointError, checkpoint

from zoo.errors import UsageError
from zoo.training.activation_memory import Activations, Storages, measure, same_buffers
from zoo.training.split_point import close, left_as_it_was

LIMITS = tuple(2 ** (-step / 4) for step in range(1, 41))
"""The limits that are tried for the activations of one recomputed module, as shares of all activations."""
WORTHWHILE = 0.9
"""The peak, as a share of all activations, above which recomputing does not pay."""
GAIN = 1.2
"""A segment is recomputed only if it keeps more than this many times the bytes of its inputs."""
NAMED = 3

Forward = Callable[..., Any]
Buffers = list[tuple[nn.Module, str]]


class Segment(NamedTuple):
    """A module that is recomputed, or the children ``first`` to ``last`` of an `nn.Sequential`."""

    owner: nn.Module
    children: tuple[nn.Module, ...] = ()
    first: int = 0

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        return self.children or (self.owner,)


@dataclass(frozen=True)
class Checkpointing:
    """The segments of a network that are recomputed, and a sentence about them."""

    segments: Sequence[Segment]
    changing: Buffers
    told: str

    def applied(self, network: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        """Return a function that computes the outputs of ``network`` and recomputes the segments in backward.

        The modules are changed only while it runs: evaluations and copies of the network are plain.
        """
        forwards = [(owner, self._forward(owner)) for owner in dict.fromkeys(each.owner for each in self.segments)]

        def run(inputs: Tensor) -> Any:
            with _in_place_of_forward(forwards):
                return network(inputs)

        return run

    def _forward(self, owner: nn.Module) -> Forward:
        own = [each for each in self.segments if each.owner is owner]
        if not own[0].children:
            return _recomputed(owner.forward, self._buffers_of(own[0]))
        parts: list[Forward] = list(owner._modules.values())  # type: ignore[arg-type]
        for each in reversed(own):
            run = _recomputed(partial(_in_order, each.children), self._buffers_of(each))
            parts[each.first : each.first + len(each.children)] = [run]
        return partial(_in_order, parts)

    def _buffers_of(self, segment: Segment) -> Buffers:
        inside = {each for module in segment.modules for each in module.modules()}
        return [(module, name) for module, name in self.changing if module in inside]


def choose(network: nn.Module, inputs: Tensor, set_train_mode: Callable[[], None]) -> Checkpointing | None:
    """Return the segments of ``network`` with the lowest peak of activations for ``inputs``, a few samples; None if
    there is nothing worth recomputing."""
    found = measure(network, inputs, set_train_mode)
    names = {module: name for name, module in network.named_modules()}
    search = _Search(network, found)
    peak, segments = search.best()
    if peak > WORTHWHILE * search.total:
        return None
    texts = [_name(each, names) for each in segments]
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    told = (
        f"gradient checkpointing: the activations of {', '.join(texts[:NAMED])}{more} are recomputed in the backward "
        f"pass; at the peak, activations take {peak / search.total:.0%} of the memory"
    )
    changing = [(module, name) for module, each in found.items() for name in sorted(each.changing)]
    return Checkpointing(segments, changing, told)


def require(found: Checkpointing | None) -> Checkpointing:
    """Return ``found``. Raises UsageError if there is nothing worth recomputing."""
    if found is None:
        raise UsageError(
            "this network has no activations that could be recomputed to save memory",
            where="train.gradient_checkpointing",
            fix="leave it out; a smaller --batch-size or train.micro_batches saves memory, too",
        )
    return found


def _name(segment: Segment, names: dict[nn.Module, str]) -> str:
    named = [names[module] or "the network" for module in segment.modules]
    return named[0] if len(named) == 1 else f"{named[0]} to {named[-1]}"


# --------------------------------------------------------------------------------------------------------- the segments


class _Search:
    """The division of a network into segments."""

    def __init__(self, network: nn.Module, found: dict[nn.Module, Activations]) -> None:
        self._network, self._found = network, found
        self._under = {
            module: _union(found[each].kept for each in module.modules() if each in found) for module in found
        }
        self.total = sum(self._under[network].values())

    def best(self) -> tuple[float, list[Segment]]:
        """Return the lowest peak in bytes, and its segments; of equal peaks, the one with the fewest segments."""
        divisions = [list(self._divide(self._network, self.total * share)) for share in LIMITS]
        ranked = min(((self._peak(each), len(each), place) for place, each in enumerate(divisions)))
        return ranked[0], divisions[ranked[2]]

    def _divide(self, module: nn.Module, limit: float) -> Iterator[Segment]:
        if self._fits([module], limit):
            if self._gains([module]):
                yield Segment(module)
        elif module in self._found and type(module).forward is nn.Sequential.forward:
            yield from self._runs(module, limit)
        else:
            for child in module.children():
                yield from self._divide(child, limit)

    def _runs(self, owner: nn.Module, limit: float) -> Iterator[Segment]:
        """Divide the children of a sequential module into runs, each as long as the limit allows."""
        children = [each for each in owner._modules.values() if each is not None]
        first = 0
        while first < len(children):
            last = first
            while last < len(children) and self._fits(children[first : last + 1], limit):
                last += 1
            run = tuple(children[first:last])
            if run and self._gains(run):
                yield Segment(owner, run, first)
            elif not run:
                yield from self._divide(children[first], limit)
            first = max(last, first + 1)

    def _fits(self, modules: Sequence[nn.Module], limit: float) -> bool:
        """Return whether modules can be recomputed together: their inputs are left alone, and there is not too much."""
        known = all(each in self._found for each in modules)
        return known and not self._found[modules[0]].inputs_change and _bytes(self._kept(modules)) <= limit

    def _gains(self, modules: Sequence[nn.Module]) -> bool:
        return _bytes(self._kept(modules)) > GAIN * _bytes(self._found[modules[0]].inputs)

    def _kept(self, modules: Sequence[nn.Module]) -> Storages:
        return _union(self._under[each] for each in modules)

    def _peak(self, segments: Sequence[Segment]) -> float:
        if not segments:
            return self.total
        inside = {each for segment in segments for module in segment.modules for each in module.modules()}
        plain = [each.kept for module, each in self._found.items() if module not in inside]
        held = _union([*plain, *(self._found[segment.modules[0]].inputs for segment in segments)])
        again = (self._kept(segment.modules) for segment in segments)
        return _bytes(held) + max(
            _bytes({key: size for key, size in each.items() if key not in held}) for each in again
        )


def _union(each: Iterable[Storages]) -> Storages:
    found: Storages = {}
    for storages in each:
        found.update(storages)
    return found


def _bytes(storages: Storages) -> int:
    return sum(storages.values())


# -------------------------------------------------------------------------------------------------------- recomputation


@contextmanager
def _in_place_of_forward(forwards: Sequence[tuple[nn.Module, Forward]]) -> Iterator[None]:
    before = [(module, module.__dict__.get("forward")) for module, _ in forwards]
    try:
        for module, forward in forwards:
            module.forward = forward
        yield
    finally:
        for module, own in before:
            if own is None:
                module.__dict__.pop("forward", None)
            else:
                module.forward = own


def _in_order(parts: Sequence[Forward], value: Any) -> Any:
    for part in parts:
        value = part(value)
    return value


def _recomputed(function: Forward, changing: Buffers) -> Forward:
    """Return ``function``, of which only the inputs are kept for the backward pass.

    Random numbers, such as the masks of dropout, are the same when it is computed again, by the state of torch's
    generators. So are buffers, which are left alone then.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return function(*args, **kwargs)
        if torch.compiler.is_compiling():  # the compiler recomputes values only, not changes of buffers
            return checkpoint(function, *args, use_reentrant=False, **kwargs)
        return checkpoint(function, *args, use_reentrant=False, context_fn=partial(_contexts, changing), **kwargs)

    return forward


def _contexts(changing: Buffers) -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
    """Return the contexts of the forward pass and of the recomputation, which has copies of the buffers as they are
    now."""
    before = [
        (module, name, buffer.clone()) for module, name in changing if (buffer := module._buffers[name]) is not None
    ]
    return nullcontext(), _with_buffers(before)


@contextmanager
def _with_buffers(given: Sequence[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    own = [(module, name, module._buffers[name]) for module, name, _ in given]
    try:
        for module, name, buffer in given:
            module._buffers[name] = buffer
        yield
    finally:
        for module, name, kept in own:
            module._buffers[name] = kept


def check_equal(
    network: nn.Module, checkpointing: Checkpointing, inputs: Tensor, set_train_mode: Callable[[], None]
) -> None:
    """Raise UsageError if gradients or buffers differ from those without recomputation: a network may keep state that
    torch does not know of."""
    try:
        plain, again = (
            _after_a_pass(network, run, inputs, set_train_mode) for run in (network, checkpointing.applied(network))
        )
        equal = all(torch.equal(one, other) or close(one, other) for one, other in zip(plain, again, strict=True))
    except CheckpointError:  # other tensors than in the forward pass
        equal = False
    if not equal:
        raise UsageError(
            "the network computes something else when its activations are recomputed: it keeps state other than "
            "buffers, or draws random numbers outside torch",
            where="train.gradient_checkpointing",
            fix="leave it out",
        )


def _after_a_pass(
    network: nn.Module, run: Callable[[Tensor], Any], inputs: Tensor, set_train_mode: Callable[[], None]
) -> list[Tensor]:
    """Return the gradients of a function of the outputs, and the buffers after a forward and backward pass."""
    with left_as_it_was(network), same_buffers(network), torch.enable_grad():
        set_train_mode()
        outputs = [each for each in tree_leaves(run(inputs.clone())) if isinstance(each, Tensor) and each.requires_grad]
        value = torch.stack([each.sin().sum() for each in outputs]).sum()
        parameters = [each for each in network.parameters() if each.requires_grad]
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        return [*(each for each in gradients if each is not None), *(each.clone() for each in network.buffers())]
