"""A network's outputs by name, from a tensor, a sequence or a mapping, with features if a task needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from zoo.api import FEATURES, MAIN_OUTPUT, Output
from zoo.errors import PluginError


class OutputReader:
    """Converts the return value of a network into `zoo.api.Outputs`.

    With ``features``, it adds the network's output of that kind, or else the input of ``head``, the module that
    computes the main output.
    """

    def __init__(
        self, declared: Sequence[Output] = (Output(),), head: str | None = None, features: bool = False
    ) -> None:
        self.declared = tuple(declared)
        named = next((self._given_as(output) for output in self.declared if output.kind == "features"), None)
        self._features = named if features else None
        self._head = head if features and named is None else None

    @property
    def reads_head(self) -> bool:
        """Whether the features are read at the head, as the network runs."""
        return self._head is not None

    @property
    def main(self) -> Output:
        return next(output for output in self.declared if output.auxiliary is None)

    @property
    def auxiliary(self) -> tuple[Output, ...]:
        return tuple(output for output in self.declared if output.auxiliary is not None)

    def _given_as(self, output: Output) -> str:
        return MAIN_OUTPUT if output == self.main else output.name

    def by_name(self, given: Any) -> dict[str, Tensor]:
        """Return the outputs by name, the main output first, as "output".

        A tensor is the main output. A sequence has the declared outputs in order; the last ones may be missing. Raises
        PluginError for anything else.
        """
        if isinstance(given, Tensor):
            return {MAIN_OUTPUT: given}
        names = [output.name for output in self.declared]
        named = dict(given) if isinstance(given, Mapping) else _by_place(names, given)
        tensors = all(isinstance(each, Tensor) for each in named.values())
        if self.main.name not in named or not set(named) <= set(names) or not tensors:
            found = ", ".join(map(str, named)) if named and tensors else _form_of(given)
            raise PluginError(f"the network returns {found}, but its spec declares {', '.join(names)}")
        return {MAIN_OUTPUT: named.pop(self.main.name), **named}

    def main_of(self, given: Any) -> Tensor:
        return self.by_name(given)[MAIN_OUTPUT]

    @contextmanager
    def reading(
        self, model: nn.Module, network: Callable[[Tensor], Any]
    ) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
        """Yield a function that returns the outputs of ``network`` by name.

        ``model`` holds the head; ``network`` is the model, or the part of it after a frozen backbone.
        """
        seen: list[Tensor] = []
        handle = None
        if self._head is not None:
            head = model.get_submodule(self._head)
            handle = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))

        def read(inputs: Tensor) -> dict[str, Tensor]:
            seen.clear()
            outputs = self.by_name(network(inputs))
            if self._features is not None:
                return {**outputs, FEATURES: outputs[self._features]}
            return {**outputs, FEATURES: seen[-1].flatten(1)} if seen else outputs

        try:
            yield read
        finally:
            if handle is not None:
                handle.remove()


def _by_place(names: Sequence[str], given: Any) -> dict[str, Any]:
    """Return outputs by name; empty unless ``given`` is a sequence of at most ``len(names)`` values."""
    in_row = isinstance(given, Sequence) and len(given) <= len(names)
    return dict(zip(names, given, strict=False)) if in_row else {}


def _form_of(given: Any) -> str:
    """Return the types of a network's return value, for an error message."""
    if isinstance(given, Mapping):
        return ", ".join(f"{name} ({type(each).__name__})" for name, each in given.items()) or "nothing"
    if isinstance(given, Sequence) and not isinstance(given, str):
        return f"{type(given).__name__} of {', '.join(type(each).__name__ for each in given) or 'nothing'}"
    return type(given).__name__


def due_shape(output: Output, num_outputs: int, samples: int) -> tuple[int | None, ...]:
    """Return the expected shape of an output for ``samples`` samples, with None for sides the network may choose."""
    match output.kind:
        case "vector":
            return samples, num_outputs
        case "map":
            return samples, num_outputs, None, None
        case _:
            return samples, None


def fits(given: torch.Size | tuple[int, ...], due: tuple[int | None, ...]) -> bool:
    return len(given) == len(due) and all(want in (None, have) for have, want in zip(given, due, strict=True))


def shown(due: tuple[int | None, ...]) -> str:
    """A shape for people, as ``(2, 10, H, W)``."""
    letters = iter("HW" if len(due) == 4 else "D")
    return f"({', '.join(next(letters) if side is None else str(side) for side in due)})"


def remove_head(model: nn.Module, head: str) -> None:
    """Replace the module ``head`` by the identity: the network's output becomes the features that the head was given,
    after the layers that follow the head, such as a pooling. Raises PluginError if there is no such module."""
    above, _, name = head.rpartition(".")
    try:
        model.get_submodule(head)
        setattr(model.get_submodule(above), name, nn.Identity())
    except AttributeError as error:
        raise PluginError(f"the network has no module '{head}', which is the head in its spec") from error
