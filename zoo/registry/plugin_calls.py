"""Calls into plugins: what a spec names is imported, what a plugin changes in the process is restored and reported, and
its errors name it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

from zoo import api
from zoo.errors import PluginError, ZooError, report_to
from zoo.registry.catalogue import Item
from zoo.registry.plugin_isolation import Escaped, describe, isolated
from zoo.support.progress import announce


def load_object(reference: str, item: Item[Any]) -> Any:
    """Import ``"module:attribute"`` for an item, unless its plugin has the object; raises PluginError naming the plugin
    and the cause."""
    if reference in item.plugin.objects:
        return item.plugin.objects[reference]
    module, _, attribute = reference.partition(":")
    try:
        with in_plugin(item, f"importing {module}"):
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise blame(item, "could not be loaded", error, reference) from error


_report: ContextVar[Callable[[str], object] | None] = ContextVar("report", default=None)


@contextmanager
def changes_reported(report: Callable[[str], object]) -> Iterator[None]:
    """While it lasts, what plugins change in the process goes to ``report`` in place of stderr."""
    token = _report.set(report)
    try:
        yield
    finally:
        _report.reset(token)


def _say(text: str) -> None:
    report = _report.get()
    if report is None:
        announce(f"warning: {text}")
    else:
        report(text)


def in_plugin(item: Item[Any], doing: str) -> AbstractContextManager[None]:
    """Around a call into the plugin that an item comes from; what it changed in the process is restored and named on
    stderr."""
    return isolated(item.plugin.namespace, doing, _say)


@contextmanager
def calls_of(items: Sequence[Item[Any]], doing: str, report: Callable[[str], object] | None = None) -> Iterator[None]:
    """Around work that calls ``items`` of plugins.

    Raises PluginError where one would have ended the command by SystemExit or KeyboardInterrupt; its other errors pass.
    What they changed in the process is restored and goes to ``report``, by default to stderr.
    """
    namespaces = ", ".join(dict.fromkeys(item.plugin.namespace for item in items))
    try:
        with isolated(namespaces, doing, report or _say):
            yield
    except Escaped as error:
        names = " or ".join(f"{item.kind} '{item.canonical}'" for item in items)
        distributions = [item.plugin.distribution for item in items]
        raise PluginError(f"{names} tried to end {doing}: {error}", fix=report_to(*distributions)) from error


@contextmanager
def faults_named(item: Item[Any], what: str) -> Iterator[None]:
    """Around a call into a plugin: an error of its own is a PluginError that names it; ``what`` could not be done."""
    try:
        yield
    except (ZooError, MemoryError):
        raise
    except Exception as error:
        raise blame(item, f"could not be {what}", error, str(item.spec.implementation)) from error


def blame(item: Item[Any], what: str, error: BaseException, reference: str) -> PluginError:
    return PluginError(
        f"{item.kind} '{item.canonical}' {what}: {describe(error)}",
        where=reference,
        fix=report_to(item.plugin.distribution),
    )


def options_model(item: Item[Any]) -> type[api.Options]:
    """The model of an item's options; an empty one where it has none."""
    reference = getattr(item.spec, "options", None)
    if reference is None:
        return api.Options
    model = load_object(reference, item)
    if not (isinstance(model, type) and issubclass(model, api.Options)):
        raise PluginError(
            f"the options of {item.kind} '{item.canonical}' are no zoo.api.Options",
            where=reference,
            fix="derive the model from it",
        )
    return model
