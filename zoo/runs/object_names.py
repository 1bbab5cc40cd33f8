"""Names of Python objects that take the place of registered components: the name of a class or function, and a digest.

The digest of a network is one of its code, of its structure and of the plain attributes of its modules, but not of its
weights. So the same network has the same name in every process, and an edited one has another.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from types import CodeType
from typing import Any

DIGITS = 8
DIGEST = re.compile(rf"-[0-9a-f]{{{DIGITS}}}$")
REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
PLAIN = (bool, int, float, str, tuple, type(None))


def is_reference(text: object) -> bool:
    """Whether a text is ``"package.module:name"``."""
    return isinstance(text, str) and REFERENCE.fullmatch(text) is not None


def name_of(word: str, digest: str) -> str:
    """Return the name of a component: ``word`` in lower case, and the first digits of a hexadecimal ``digest``."""
    plain = re.sub(r"[^a-z0-9_]+", "-", word.lower()).strip("-_") or "object"
    return f"{plain[:80]}-{digest[:DIGITS]}"


def without_digest(name: str) -> str:
    return DIGEST.sub("", name)


def described(value: Any) -> str:
    """The class of a module, or the name of a function or class: ``"module.name"``."""
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def word_of(value: Any) -> str:
    """The last name of `described`."""
    return described(value).rpartition(".")[2]


def digest_of(value: Any) -> str:
    """Return the digest of a module, or of a function, a class or a reference that makes one."""
    facts = _module_facts(value) if hasattr(value, "named_modules") and not isinstance(value, type) else _facts(value)
    return hashlib.sha256("\n".join(facts).encode(errors="surrogatepass")).hexdigest()


def _facts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    if isinstance(value, functools.partial):
        yield f"{_plain(value.args)} {_plain(tuple(value.keywords.items()))}"
        value = value.func
    yield described(value)
    yield from _class_code(value) if isinstance(value, type) else _code(getattr(value, "__code__", None))


def _module_facts(module: Any) -> Iterator[str]:
    yield repr(module)
    for name, tensor in module.state_dict().items():
        yield f"{name} {getattr(tensor, 'dtype', '')} {tuple(getattr(tensor, 'shape', ()))}"
    seen: set[type] = set()
    for name, each in module.named_modules():
        kind = type(each)
        if kind.__module__.partition(".")[0] == "torch":
            continue
        yield f"{name}: {described(each)} {_plain_attributes(each)}"
        if kind not in seen:
            seen.add(kind)
            yield from _class_code(kind)


def _plain_attributes(module: Any) -> str:
    own = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    return " ".join(f"{name}={_plain(value)}" for name, value in sorted(own.items()))


def _plain(value: Any) -> str:
    """A number, text or tuple as it is; of anything else, its name."""
    if isinstance(value, tuple):
        return f"({', '.join(map(_plain, value))})"
    return repr(value) if isinstance(value, PLAIN) else described(value)


def _class_code(kind: type) -> Iterator[str]:
    for each in kind.__mro__:
        if each.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        for name, value in sorted(vars(each).items()):
            function = getattr(value, "__func__", value)
            if hasattr(function, "__code__"):
                yield name
                yield from _code(function.__code__)


def _code(code: CodeType | None) -> Iterator[str]:
    if code is None:
        return
    yield f"{code.co_code.hex()} {code.co_names}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif isinstance(constant, frozenset):  # its order differs from process to process
            yield repr(sorted(map(repr, constant)))
        else:
            yield repr(constant)
