"""Read and write YAML 1.2 as plain data, without tags, duplicate keys or alias bombs.

(1e-3 is a number; `no` and dates are strings.) Values under ``text_keys``, or each item of a list there, are read as
strings, so that a class called 001 keeps its zeros.
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
    """Reads dates as strings, because no configuration key is a date, and says where a duplicate key was given."""

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key not in mapping:
            return True
        first = next(each for each, _ in node.value if self.construct_object(each, deep=True) == key)
        lines = [each.start_mark.line + 1 for each in (first, key_node)]
        place = f", in lines {lines[0]} and {lines[1]}" if lines[0] != lines[1] else ""
        raise DuplicateKeyError(None, None, f"the key {key!r} is given twice{place}", key_node.start_mark)


_Constructor.add_constructor(f"{TAG}timestamp", SafeConstructor.construct_yaml_str)


def read_yaml(path: Path, text_keys: Iterable[Sequence[str]] = ()) -> dict[str, Any]:
    """Return the mapping in a YAML file. Raises ConfigError with line and column."""
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
        raise ConfigError([f"the configuration must be a mapping, not a {type(value).__name__}"], where=path)
    return value


def parse_yaml(text: str, *, where: object, text_keys: Iterable[Sequence[str]] = ()) -> Any:
    """Return a YAML value as plain data; each of ``text_keys`` is the path of keys to a string (empty: the value).

    Raises ConfigError with line and column.
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
        raise ConfigError([f"{error.problem}; fix: keep one of them"], where=_place(where, error)) from error
    except MarkedYAMLError as error:
        raise ConfigError([f"not valid here: {error.problem}"], where=_place(where, error)) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([f"not valid YAML: {' '.join(str(error).split())[:200]}"], where=where) from error
    _count(value, where)
    return value


def _read_as_text(node: Node, keys: Sequence[str]) -> None:
    """Read the scalars under these keys as strings: a value (unless it is null), or each item of a list."""
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
    """Refuse alias bombs: every node counts as often as it is referenced."""
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
