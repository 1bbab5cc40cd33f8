"""Networks and data that are passed from Python, as components of this process: ``local/NAME``.

A module, a function that returns one, or arrays are registered like a plugin's component; the rest of zoo does not
know the difference. A run records what they were. To open it in another process, they are passed again, or imported if
they were given as ``"package.module:name"``. Zoo imports only references that the caller passes, or whose module
``ZOO_IMPORTS`` names: a run directory from other people can execute nothing.
"""

from __future__ import annotations

import copy
import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo.api import ArchitectureSpec, Dataset, DatasetSpec, DatasetStore, Options, Output, OutputKind, Target
from zoo.contract.targets import TargetKind
from zoo.errors import DataError, UsageError, ZooError
from zoo.registry.catalogue import LOCAL, Item
from zoo.registry.lookup import Registry
from zoo.registry.plugin_isolation import describe
from zoo.runs.object_names import described, digest_of, name_of, word_of

if TYPE_CHECKING:
    from torch import nn

    from zoo.data.memory_dataset import MemoryDataset


SIDE = 224
"""The default size of the network's images if those of the data vary."""


@dataclass(frozen=True)
class Network:
    """The builder of an architecture that is a Python object: a module, or what returns one. ``origin`` is its
    reference, or the name of its class."""

    source: Any
    origin: str

    def __call__(self, options: Options, *, in_channels: int, num_outputs: int, image_size: tuple[int, int]) -> Any:
        """Return a copy of the module on the CPU, so that the caller's stays as it is; or a new one, made with those of
        the arguments that the function takes."""
        from torch import nn

        if isinstance(self.source, nn.Module):
            return _copied(self.source)
        given = {"in_channels": in_channels, "num_outputs": num_outputs, "image_size": image_size}
        return self.source(**_taken(self.source, given))


@dataclass(frozen=True)
class Opener:
    """The opener of a dataset that is passed from Python."""

    dataset: MemoryDataset
    origin: str

    def __call__(self, options: Options, store: DatasetStore) -> Dataset:
        if self.dataset.rounded:
            store.note("float images from 0 to 1 are rounded to 8 bits")
        return self.dataset


def imported(reference: str) -> Any:
    """Import a ``"package.module:name"`` that the caller named. Raises UsageError if that fails."""
    module, _, name = reference.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module raises
        raise UsageError(
            f"'{reference}' cannot be imported: {describe(error)}",
            fix=f"check the name; {module} must be installed, or in a folder of PYTHONPATH",
        ) from error


def register_network(
    catalogue: Registry,
    model: nn.Module | Any,
    *,
    shape: Sequence[int | None],
    output: OutputKind,
    name: str | None = None,
) -> Item[ArchitectureSpec]:
    """Register a module, a function or class that makes one, or a reference to it, as an architecture of this process.

    ``shape`` (C, H, W) is that of the data's images, ``output`` the kind that the task needs. ``name`` is that in an
    earlier run (None: a new one).
    """
    source = imported(model) if isinstance(model, str) else model
    if not callable(source):
        raise UsageError(
            f"model is a {type(source).__name__}",
            fix='pass an nn.Module, a function that returns one, or "package.module:function"',
        )
    origin = model if isinstance(model, str) else described(source)
    name = name or name_of(word_of(source), digest_of(model if isinstance(model, str) else source))
    channels, height, width = (side or default for side, default in zip(shape, (3, SIDE, SIDE), strict=True))
    reference = reference_of("architecture", name)
    spec = ArchitectureSpec(
        name=name,
        summary=f"{origin}, passed from Python"[:200],
        target=reference,
        input=(channels, height, width),
        outputs=(Output(kind=output),),
    )
    return catalogue.register("architecture", spec, {reference: Network(source, origin)})


def register_data(
    catalogue: Registry,
    data: Any,
    *,
    target: TargetKind | Target | None = None,
    names: Sequence[str] | None = None,
    accepts: Sequence[TargetKind] = (),
    expected: str | None = None,
) -> Item[DatasetSpec]:
    """Register arrays, tensors or torch Datasets (see `zoo.data.memory_dataset`), a function that returns them, or a
    reference to it, as a dataset of this process.

    ``expected`` is the fingerprint in an earlier run; raises DataError if it differs.
    """
    from zoo.data.memory_dataset import memory_dataset  # with numpy, which commands that only list do without

    origin, value = "arrays", data
    if isinstance(data, str):
        origin, value = data, imported(data)
    if callable(value) and not hasattr(value, "__getitem__"):
        origin = origin if isinstance(data, str) else described(value)
        value = _called(value, origin)
    opened = memory_dataset(value, target=target, names=names, accepts=accepts)
    if expected is not None and opened.fingerprint != expected:
        counts = ", ".join(f"{part} {len(opened.load(part).images):,}" for part in opened.parts)
        raise DataError(
            f"the data ({counts} images) differs from that of the run",
            where=f"fingerprint {opened.fingerprint[:8]}, not {expected[:8]}",
            fix="pass the arrays, splits and targets of the run, or start a new one",
        )
    name = name_of("data", opened.fingerprint)
    reference = reference_of("dataset", name)
    return catalogue.register("dataset", opened.spec(name, reference), {reference: Opener(opened, origin)})


def _called(function: Any, origin: str) -> Any:
    try:
        return function()
    except ZooError:
        raise
    except Exception as error:  # whatever a user's function raises
        raise UsageError(f"{origin} raised {describe(error)}", where="data", fix="correct the function") from error


def origins(items: Mapping[str, Item[Any] | None]) -> dict[str, str]:
    """Return what each component that is a Python object was, by its kind, for the record of a run."""
    found = {}
    for kind, item in items.items():
        source = None if item is None else item.plugin.objects.get(str(item.spec.implementation))
        if isinstance(source, Network | Opener):
            found[kind] = source.origin
    return found


def output_of_task(needs: Sequence[OutputKind] | None) -> OutputKind:
    """The kind of main output that a task with these ``needs`` reads."""
    return "map" if needs and "map" in needs else "vector"


def reference_of(kind: str, name: str) -> str:
    return f"{LOCAL}:{kind}_{''.join(char if char.isalnum() else '_' for char in name)}"


def _copied(module: Any) -> Any:
    try:
        return copy.deepcopy(module).to("cpu")
    except Exception as error:  # whatever the class of a user's module raises
        raise UsageError(
            f"the module cannot be copied: {' '.join(str(error).split())}",
            where=described(module),
            fix="pass a function that returns a new one: model=factory",
        ) from error


def _taken(function: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return dict(given)
    return {name: value for name, value in given.items() if name in parameters}
