"""Compare the installed plugins with those that a run was made with.

A run records the distribution and version of each plugin (``Record.plugins``). When a run is opened, a missing plugin
is an error with both, and another version is a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from zoo.errors import PluginError, UnknownNameError
from zoo.registry.catalogue import LOCAL, Plugin
from zoo.registry.lookup import Registry, registry
from zoo.runs.provided_objects import require_object
from zoo.runs.run_json import Record
from zoo.support.progress import announce

COMPONENTS = ("architecture", "dataset", "task")
"""Fields of a record that hold a canonical name, ``namespace/name``."""
SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99} [A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}")
"""A distribution and its version. A record may come from an untrusted source, so no other text is put into a suggested
command."""


class Origin(NamedTuple):
    """A plugin as recorded in a run; ``distribution`` and ``version`` are None if the record lacks them."""

    namespace: str
    distribution: str | None
    version: str | None

    def __str__(self) -> str:
        known = "" if self.distribution is None else f" ({self.distribution} {self.version})"
        return f"plugin '{self.namespace}'{known}"

    @property
    def install(self) -> str:
        if self.distribution is None:
            return f"install the package that provides plugin '{self.namespace}'"
        return f"pip install {self.distribution}=={self.version}"


def require_plugins(record: Record, catalogue: Registry, *kinds: str, recipe: str | None = None) -> None:
    """Raise PluginError if a component of a run is not available, because its plugin is missing or has changed.

    ``kinds`` are the required kinds of `COMPONENTS`; ``recipe`` is the run's recipe if that is required, too.
    """
    names = {**{kind: getattr(record, kind) for kind in kinds}, "recipe": recipe}
    for kind, name in names.items():
        if name is None:
            continue
        if name.startswith(f"{LOCAL}/"):
            require_object(record, catalogue, kind, name)
            continue
        problem = _plugin_problem(origin_of(record, name), catalogue)
        if problem is not None:
            raise problem
        try:
            getattr(catalogue, kind)(name)
        except UnknownNameError as error:
            raise explain_missing(record, name, error, catalogue) from error


def plugin_problems(record: Record, catalogue: Registry) -> list[PluginError]:
    """Return an error for each plugin of the run that is missing or cannot be used; components are not looked up."""
    found = (_plugin_problem(origin, catalogue) for origin in _origins(record))
    return [problem for problem in found if problem is not None]


def version_notes(record: Record, catalogue: Registry) -> list[str]:
    """Return a line for each distribution that is installed in another version than the run's."""
    lines = []
    for origin in _origins(record):
        plugin = _plugin(catalogue, origin.namespace)
        if plugin is None or plugin.state != "ok" or origin.distribution is None:
            continue
        here = f"{plugin.distribution} {plugin.version}"
        if here != f"{origin.distribution} {origin.version}":
            lines.append(
                f"the run was made with {origin.distribution} {origin.version}, but {here} is installed: results may "
                "differ"
            )
    return list(dict.fromkeys(lines))


def announce_versions(record: Record, catalogue: Registry) -> None:
    """Print `version_notes` on stderr."""
    for line in version_notes(record, catalogue):
        announce(f"note: {line}")


def notes_of(record: Record) -> list[str]:
    """Return a line for each difference, for commands that only show a run and do not need its plugins."""
    catalogue = registry()
    return [*map(str, plugin_problems(record, catalogue)), *version_notes(record, catalogue)]


def explain_missing(record: Record, name: str, error: UnknownNameError, catalogue: Registry) -> PluginError:
    """Return the error for a component that the installed version of its plugin no longer has."""
    origin, plugin = origin_of(record, name), _plugin(catalogue, name.partition("/")[0])
    here = "" if plugin is None else f", and {plugin.distribution} {plugin.version} is installed"
    return PluginError(
        f"{error.what}: the run was made with {origin}{here}, which does not have it",
        where=record.id,
        fix=origin.install,
    )


def origin_of(record: Record, name: str) -> Origin:
    """Return the plugin of a canonical name, as recorded in the run."""
    namespace = name.partition("/")[0]
    written = record.plugins.get(namespace, "")
    if SAFE.fullmatch(written) is None:
        return Origin(namespace, None, None)
    distribution, _, version = written.partition(" ")
    return Origin(namespace, distribution, version)


def _origins(record: Record) -> Iterator[Origin]:
    """Yield each plugin of the run once."""
    names = [getattr(record, kind) for kind in COMPONENTS]
    named = [name for name in names if name is not None and "/" in name and not name.startswith(f"{LOCAL}/")]
    yield from dict.fromkeys(origin_of(record, name) for name in named)


def _plugin(catalogue: Registry, namespace: str) -> Plugin | None:
    found = [plugin for plugin in catalogue.plugins if plugin.namespace == namespace]
    return next((plugin for plugin in found if plugin.state == "ok"), found[0] if found else None)


def _plugin_problem(origin: Origin, catalogue: Registry) -> PluginError | None:
    plugin = _plugin(catalogue, origin.namespace)
    if plugin is None:
        return PluginError(f"the run was made with {origin}, which is not installed", fix=origin.install)
    if plugin.state == "ok":
        return None
    return plugin.unavailable(f"the run was made with {origin}", fix=origin.install)
