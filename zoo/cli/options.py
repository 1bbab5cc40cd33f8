"""A command's options as one object, and those of them that are keys of a run's configuration as one layer of it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from typer.models import OptionInfo

from zoo.errors import UsageError
from zoo.runs.resolve_config import SECTIONS, Whole, merge, parse_assignment

T = TypeVar("T")


@dataclass(frozen=True)
class ConfigKey:
    """Stands in the annotation of an option that gives this key of a `RunConfig`, which also checks the value: the
    option takes text, so that every wrong value is reported in the same words.
    """

    path: str


def takes(options: type[T]) -> Callable[[Callable[[T], None]], Callable[..., None]]:
    """Make a typer command of a function that takes one object of the dataclass ``options``: each field is a parameter,
    annotated as typer has it."""

    def decorate(function: Callable[[T], None]) -> Callable[..., None]:
        hints = get_type_hints(options, include_extras=True)

        @functools.wraps(function)
        def command(**given: Any) -> None:
            function(options(**given))

        parameters = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default,
                annotation=hints[field.name],
            )
            for field in dataclasses.fields(options)  # type: ignore[arg-type]
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = hints
        del command.__wrapped__  # whose signature is another
        return command

    return decorate


def keys_of(options: type[Any]) -> Iterator[tuple[str, str, str]]:
    """The name, the flag and the configuration key of each field that has such a key.

    (In an annotation, typer has the first flag as the default.)
    """
    for name, hint in get_type_hints(options, include_extras=True).items():
        facts = get_args(hint)[1:]
        for key in facts:
            if isinstance(key, ConfigKey):
                yield name, next(str(each.default) for each in facts if isinstance(each, OptionInfo)), key.path


def overrides_of(options: Any, assignments: list[str] | None) -> dict[str, Any]:
    """Options with a `ConfigKey` that were given, and ``--set`` assignments, as one layer of a `RunConfig`.

    Raises UsageError where two of them give the same key.
    """
    spoken: dict[str, str] = {}
    overrides: dict[str, Any] = {}
    for name, flag, path in keys_of(type(options)):
        value = getattr(options, name)
        if value is not None and value is not False:
            _take(overrides, spoken, _nest(path, "true" if value is True else value), flag)
    for text in assignments or []:
        layer = parse_assignment(text)
        for section in SECTIONS:  # `--set dataset=mnist` says the same as `--set dataset.name=mnist`
            if isinstance(layer.get(section), str):
                layer[section] = {"name": layer[section]}
        _take(overrides, spoken, layer, f"--set {text.partition('=')[0].strip()}")
    return overrides


def _take(overrides: dict[str, Any], spoken: dict[str, str], layer: dict[str, Any], speaker: str) -> None:
    for path in _paths(layer):
        for known, other in spoken.items():
            if path == known or path.startswith(f"{known}.") or known.startswith(f"{path}."):
                raise UsageError(f"{other} and {speaker} both give {min(path, known, key=len)}", fix="keep one of them")
        spoken[path] = speaker
    merge(overrides, layer)


def _paths(value: Any, above: str = "") -> Iterator[str]:
    """Dotted names of everything in a nested mapping; one that replaces what is below it is a single thing."""
    if not isinstance(value, dict) or isinstance(value, Whole) or not value:
        yield above
    else:
        for key, inner in value.items():
            yield from _paths(inner, f"{above}.{key}" if above else str(key))


def _nest(path: str, value: str) -> dict[str, Any]:
    nested: Any = value
    for key in reversed(path.split(".")):
        nested = {key: nested}
    return nested  # type: ignore[no-any-return]
