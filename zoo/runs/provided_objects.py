"""Open a run whose network or data was a Python object: pass it again, or import it if that is allowed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.api import Dataset, DatasetSpec, DatasetStore, Options, OutputKind
from zoo.errors import DataError, UnknownNameError, UsageError
from zoo.registry.catalogue import LOCAL
from zoo.registry.lookup import Registry, registry
from zoo.runs.object_names import is_reference
from zoo.runs.python_objects import output_of_task, reference_of, register_data, register_network
from zoo.runs.run_directory import find
from zoo.support.paths import setting

if TYPE_CHECKING:
    from zoo.runs.run_json import Record

IMPORTS = "ZOO_IMPORTS"
ROLES = {"architecture": "network", "dataset": "data"}
ARGUMENTS = {"architecture": "model", "dataset": "data"}


@dataclass(frozen=True)
class Absent:
    """The opener of data that was not passed again; a model can be loaded without it."""

    error: UsageError

    def __call__(self, options: Options, store: DatasetStore) -> Dataset:
        raise DataError(self.error.what, where=self.error.where, fix=self.error.fix)


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


def provide_again(target: str | Path, model: Any = None, data: Any = None) -> None:
    """Register the Python objects of the run ``target`` again if some are given; see `provide`.

    Raises UsageError if it is no run.
    """
    if model is not None or data is not None:
        provide(registry(), find(target).record, model, data)


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
        fix=f'pass it again in Python: zoo.load(RUN, {argument}=…); a run of {argument}="package.module:function" can '
        "be opened anywhere",
    )


def _register_absent(catalogue: Registry, record: Record, missing: UsageError) -> None:
    name, used = record.dataset.removeprefix(f"{LOCAL}/"), record.preprocessing
    reference = reference_of("dataset", name)
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
