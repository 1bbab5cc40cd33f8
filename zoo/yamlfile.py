"""YAML 1.2 in and out, as plain data: no tags, no duplicate keys, no bombs. (1e-3 is a number, `no` is a word.)"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from zoo.errors import ConfigError
from zoo.safe_files import UnsuitableFileError, read_text

MAX_BYTES = 1_000_000
MAX_NODES = 100_000


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ConfigError with line and column."""
    try:
        text = read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise ConfigError(["the configuration file does not exist; fix: check the path"], where=path) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"the configuration file cannot be read: {_reason(error)}; fix: check the path and the file"], where=path) from error
    value = parse_yaml(text, where=path)
    if value is None:
        raise ConfigError(["the configuration file is empty; fix: start from the config.yaml of a run"], where=path)
    if not isinstance(value, dict):
        raise ConfigError([f"a mapping of keys is due at the top, not a {type(value).__name__}"], where=path)
    return value


def parse_yaml(text: str, *, where: object) -> Any:
    """One YAML value as plain data. Raises ConfigError naming the fault, its line and its column."""
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    try:
        value = yaml.load(text)
    except DuplicateKeyError as error:
        raise ConfigError([f"the same key stands twice: {error.problem}"], where=_place(where, error)) from error
    except MarkedYAMLError as error:
        raise ConfigError([f"not valid here: {error.problem}"], where=_place(where, error)) from error
    except (YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([f"not valid YAML: {' '.join(str(error).split())[:200]}"], where=where) from error
    _count(value, where)
    return value


def write_yaml(value: dict[str, Any]) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    stream = io.StringIO()
    yaml.dump(value, stream)
    return stream.getvalue()


def _reason(error: OSError | UnicodeDecodeError) -> str:
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
