"""YAML 1.2 in and out, as plain data: no tags, no duplicate keys, no bombs.

(1e-3 is a number, `no` is a word, and so is a date.)

Under ``text_keys`` a value, or each item of a list, is the text that stands there: of a class called 001 the zeros are
part of its name.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.tag import Tag

from zoo.errors import ConfigError
from zoo.support.untrusted_files import UnsuitableFileError, read_text

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
TAG = "tag:yaml.org,2002:"


class _Constructor(SafeConstructor):
    """A date is text: nothing in a configuration is one."""


_Constructor.add_constructor(f"{TAG}timestamp", SafeConstructor.construct_yaml_str)


def read_yaml(path: Path, text_keys: Iterable[Sequence[str]] = ()) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError with line and column."""
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise ConfigError(["the configuration file does not exist; fix: check the path"], where=path) from error
    except OSError as error:
        raise ConfigError(
            [f"the configuration file cannot be read: {_reason(error)}; fix: check the path and the file"], where=path
        ) from error
    value = parse_yaml(text, where=path, text_keys=text_keys)
    if value is None:
        raise ConfigError(["the configuration file is empty; fix: start from the config.yaml of a run"], where=path)
    if not isinstance(value, dict):
        raise ConfigError([f"a mapping of keys is due at the top, not a {type(value).__name__}"], where=path)
    return value


def parse_yaml(text: str, *, where: object, text_keys: Iterable[Sequence[str]] = ()) -> Any:
    """One YAML value as plain data; each of ``text_keys`` is the keys that lead to a text, none for the value itself.

    Raises ConfigError naming the fault, its line and its column.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    yaml.Constructor = _Constructor
    try:
        node = yaml.compose(text)
        if node is None:
            return None
        for keys in text_keys:
            _read_as_text(node, keys)
        value = yaml.constructor.construct_document(node)
    except DuplicateKeyError as error:
        raise ConfigError([f"the same key stands twice: {error.problem}"], where=_place(where, error)) from error
    except MarkedYAMLError as error:
        raise ConfigError([f"not valid here: {error.problem}"], where=_place(where, error)) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([f"not valid YAML: {' '.join(str(error).split())[:200]}"], where=where) from error
    _count(value, where)
    return value


def _read_as_text(node: Node, keys: Sequence[str]) -> None:
    """Make text of the scalars under these keys: a value (unless it is null), or each of a list."""
    for key in keys:
        below = node.value if isinstance(node, MappingNode) else []
        found = [value for name, value in below if isinstance(name, ScalarNode) and name.value == key]
        if not found:
            return
        node = found[-1]
    if isinstance(node, ScalarNode) and node.tag != f"{TAG}null":
        _make_text(node)
    for each in node.value if isinstance(node, SequenceNode) else []:
        if isinstance(each, ScalarNode):
            _make_text(each)


def _make_text(node: ScalarNode) -> None:
    if node.tag is not None and node.tag.startswith(TAG):  # others are refused, here as everywhere
        node.ctag = Tag(suffix=f"{TAG}str")


def write_yaml(value: dict[str, Any]) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _reason(error: OSError) -> str:
    return f"it {error}" if isinstance(error, UnsuitableFileError) else getattr(error, "strerror", None) or str(error)


def _place(where: object, error: MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else str(where)


def _count(value: Any, where: object) -> None:
    """Refuse what aliases blow up: every node counts as often as it is reached."""
    stack, seen = [value], 0
    while stack:
        node = stack.pop()
        seen += 1
        if seen > MAX_NODES:
            raise ConfigError([f"more than {MAX_NODES:,} values once its aliases are expanded"], where=where)
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
