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
from zoo.data.memory_dataset import MemoryDataset, memory_dataset
from zoo.errors import DataError, UnknownNameError, UsageError, ZooError
from zoo.registry.catalogue import LOCAL, Item
from zoo.registry.lookup import Registry
from zoo.registry.plugin_isolation import describe
from zoo.runs.object_names import described, digest_of, is_reference, name_of, word_of
from zoo.support.paths import setting

if TYPE_CHECKING:
    from torch import nn

    from zoo.runs.run_json import Record

IMPORTS = "ZOO_IMPORTS"
SIDE = 224
"""The default size of the network's images if those of the data vary."""
ROLES = {"architecture": "network", "dataset": "data"}
ARGUMENTS = {"architecture": "model", "dataset": "data"}


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


@dataclass(frozen=True)
class Absent:
    """The opener of data that was not passed again; a model can be loaded without it."""

    error: UsageError

    def __call__(self, options: Options, store: DatasetStore) -> Dataset:
        raise DataError(self.error.what, where=self.error.where, fix=self.error.fix)


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
            fix='pass an nn.Module, a function that returns one, or "package.module:factory"',
        )
    origin = model if isinstance(model, str) else described(source)
    name = name or name_of(word_of(source), digest_of(model if isinstance(model, str) else source))
    channels, height, width = (side or default for side, default in zip(shape, (3, SIDE, SIDE), strict=True))
    reference = _reference("architecture", name)
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
    reference = _reference("dataset", name)
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


def provide(catalogue: Registry, record: Record, model: Any = None, data: Any = None) -> None:
    """Register the Python objects of a run again, under its names; the weights are checked when they are loaded.

    Raises UsageError for a component that is no Python object, DataError if the data differs.
    """
    for kind, value in (("architecture", model), ("dataset", data)):
        name = str(getattr(record, kind))
        if value is not None and not name.startswith(f"{LOCAL}/"):
            raise UsageError(
                f"the {ROLES[kind]} of this run is {name}, no Python object",
                where=record.id,
                fix=f"leave {ARGUMENTS[kind]}= out",
            )
    if data is not None:
        register_data(catalogue, data, target=record.target, expected=record.fingerprint)
    if model is not None:
        _register_again(catalogue, record, model)


def _register_again(catalogue: Registry, record: Record, model: Any) -> None:
    register_network(
        catalogue,
        model,
        shape=record.preprocessing.shape,
        output=_output_of(catalogue, record),
        name=str(record.architecture).removeprefix(f"{LOCAL}/"),
    )


def fix_of_mismatch(record: Record) -> str:
    """The fix if the weights of a run do not fit its network."""
    if "architecture" in record.python:
        return "pass the module that the run was trained with, built with the same arguments"
    return "check architecture and options"


def require_object(record: Record, catalogue: Registry, kind: str, name: str) -> None:
    """Make sure that ``name``, ``local/…``, is registered; import it if that is allowed.

    Data that is missing is registered as absent, because a model can be loaded without it. Raises UsageError for a
    missing network or any other component.
    """
    try:
        getattr(catalogue, kind)(name)
        return
    except UnknownNameError:
        pass
    origin = record.python.get(kind)
    missing = _missing(record, kind, name, origin)
    if origin is not None and _allowed(origin):
        provide(catalogue, record, **{ARGUMENTS[kind]: origin})
    elif kind == "dataset":
        _register_absent(catalogue, record, missing)
    else:
        raise missing


def _allowed(origin: str) -> bool:
    modules = [each.strip() for each in setting(IMPORTS).split(",") if each.strip()]
    module = origin.partition(":")[0]
    return is_reference(origin) and any(module == each or module.startswith(f"{each}.") for each in modules)


def _missing(record: Record, kind: str, name: str, origin: str | None) -> UsageError:
    if origin is None:
        return UsageError(
            f"{kind} {name} of this run was registered in another process",
            where=record.id,
            fix="register it again with zoo.register, or make a plugin of it",
        )
    role, argument = ROLES[kind], ARGUMENTS[kind]
    if is_reference(origin):
        return UsageError(
            f"the {role} of this run is made by {origin}, which zoo does not import unless you allow it",
            where=record.id,
            fix=f"if you trust that code: {IMPORTS}={origin.partition(':')[0]}, or in Python zoo.load(RUN, "
            f'{argument}="{origin}")',
        )
    return UsageError(
        f"the {role} of this run is a Python object ({origin})",
        where=record.id,
        fix=f'pass it again in Python: zoo.load(RUN, {argument}=…); a run of {argument}="package.module:factory" can '
        "be opened anywhere",
    )


def _register_absent(catalogue: Registry, record: Record, missing: UsageError) -> None:
    name, used = record.dataset.removeprefix(f"{LOCAL}/"), record.preprocessing
    reference = _reference("dataset", name)
    spec = DatasetSpec(
        name=name,
        summary="Data that was passed from Python in another process",
        target=reference,
        targets=(record.target.kind,),
        classes=record.classes,
        shape=used.shape,
        mean=used.mean,
        std=used.std,
        licence="not stated",
    )
    catalogue.register("dataset", spec, {reference: Absent(missing)})


def _output_of(catalogue: Registry, record: Record) -> OutputKind:
    from zoo.runs.task_plan import plan_task_for

    plan = plan_task_for(catalogue, catalogue.task(record.task), (record.target.kind,), record.dataset)
    return output_of_task(None if plan.learned is None else plan.learned.spec.needs)


def output_of_task(needs: Sequence[OutputKind] | None) -> OutputKind:
    """The kind of main output that a task with these ``needs`` reads."""
    return "map" if needs and "map" in needs else "vector"


def _reference(kind: str, name: str) -> str:
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
