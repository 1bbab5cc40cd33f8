"""The activations that a network keeps for the backward pass, by module, measured in one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves

from zoo.training.split_point import left_as_it_was

Storages = dict[int, int]
"""Bytes of tensors by the identity of their memory: what two operations keep together counts once."""


@dataclass
class Activations:
    """What one module keeps for the backward pass, and what it is called with."""

    kept: Storages = field(default_factory=dict)
    """Kept by the operations of the module itself, not by those of modules that it calls."""
    inputs: Storages = field(default_factory=dict)
    changing: set[str] = field(default_factory=set)
    """Names of the module's buffers that the forward pass changes, such as running statistics."""
    inputs_change: bool = False
    """Whether its inputs are modified in place, by itself or later: tensors, or lists of them."""


def measure(network: nn.Module, inputs: Tensor, set_train_mode: Callable[[], None]) -> dict[nn.Module, Activations]:
    """Return the activations of each module that a forward pass in training mode calls.

    Parameters and buffers are not counted. Modes, buffers and random generators of ``network`` are restored.
    """
    with left_as_it_was(network), same_buffers(network), torch.enable_grad():
        set_train_mode()
        recorder = _Recorder(network)
        with recorder.attached():
            outputs = network(inputs.clone())
        found = recorder.result()
        del outputs  # with the graph, which keeps the memory of all activations until here
        return found


@contextmanager
def same_buffers(network: nn.Module) -> Iterator[None]:
    """Restore the buffers that a forward pass replaces by new tensors."""
    before = [(module, dict(module._buffers)) for module in network.modules()]
    try:
        yield
    finally:
        for module, buffers in before:
            module._buffers.update(buffers)


class _Recorder:
    def __init__(self, network: nn.Module) -> None:
        self._network, self._found = network, dict[nn.Module, Activations]()
        self._running: list[nn.Module] = []
        self._alive: list[Tensor] = []
        """Memory that is freed could be given to another tensor, with the same identity."""
        self._given: list[tuple[nn.Module, Any, list[Any], list[int]]] = []
        """Modules with the arguments of a call, their leaves at its start, and the versions of those."""
        own = [*network.parameters(), *network.buffers()]
        self._own = {_storage(each)[0] for each in own}
        self._buffers = [
            (module, name, buffer, buffer.clone())
            for module in network.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]

    @contextmanager
    def attached(self) -> Iterator[None]:
        with ExitStack() as stack:
            for module in self._network.modules():
                handles = (
                    module.register_forward_pre_hook(self._enter, with_kwargs=True),
                    module.register_forward_hook(self._leave, prepend=True),
                )
                for handle in handles:
                    stack.callback(handle.remove)
            stack.enter_context(saved_tensors_hooks(self._keep, lambda tensor: tensor))
            yield

    def result(self) -> dict[nn.Module, Activations]:
        for module, given, leaves, versions in self._given:
            same = [id(each) for each in tree_leaves(given)] == [id(each) for each in leaves]
            self._found[module].inputs_change |= not same or _versions(leaves) != versions
        for module, name, buffer, before in self._buffers:
            if module in self._found and not (module._buffers[name] is buffer and unchanged(buffer, before)):
                self._found[module].changing.add(name)
        return self._found

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        found = self._found.setdefault(module, Activations())
        self._running.append(module)
        leaves = tree_leaves((args, kwargs))
        self._given.append((module, (args, kwargs), leaves, _versions(leaves)))
        found.inputs.update(_storage(each) for each in leaves if isinstance(each, Tensor))

    def _leave(self, _module: nn.Module, _args: Any, _outputs: Any) -> None:
        self._running.pop()

    def _keep(self, tensor: Tensor) -> Tensor:
        storage, count = _storage(tensor)
        if storage not in self._own and self._running:
            self._alive.append(tensor)
            self._found[self._running[-1]].kept[storage] = count
        return tensor


def _storage(tensor: Tensor) -> tuple[int, int]:
    storage = tensor.untyped_storage()
    return storage._cdata, storage.nbytes()


def _versions(leaves: Sequence[Any]) -> list[int]:
    return [each._version for each in leaves if isinstance(each, Tensor)]


def unchanged(buffer: Tensor, before: Tensor) -> bool:
    """By value, because batch norm does not count its changes as in-place operations."""
    return torch.equal(buffer, before)
