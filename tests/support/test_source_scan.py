"""What a package defines, read without importing it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from zoo.support.decorated_functions import decorated_functions

PLAIN = """
from registry import register, other

@register
def plain(): ...

@register()
def called(): ...

@other
@register(name="x")
def one_of_two(): ...

@other
def another(): ...

def bare(): ...

class Net:
    @register
    def inside(self): ...

raise RuntimeError("never imported")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "zoo_test_package"
    for file, source in {
        "nets/first.py": PLAIN,
        "nets/second.py": "@register\ndef second(): ...\n",
        "nets/deep/third.py": PLAIN,
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(source, encoding="utf-8")
    (root / "__init__.py").write_text("raise RuntimeError('never imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return root.name


def test_decorated_functions_at_the_top_of_a_folder_s_modules(package: str) -> None:
    assert decorated_functions(package, "nets", "register") == ["called", "one_of_two", "plain", "second"]
    assert decorated_functions(package, "nets", "no_such_decorator") == []
    assert decorated_functions(package, "no_such_folder", "register") == []
    assert package not in sys.modules


@pytest.mark.parametrize("name", ["zoo_no_such_package", "zoo_single_module"])
def test_what_is_no_package_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zoo_single_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match=f"no package is called '{name}'"):
        decorated_functions(name, "models", "register")
