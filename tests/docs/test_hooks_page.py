"""docs/hooks.md lists the hooks that there are, with what they take and give."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from zoo import api, hookspecs
from zoo.contract import events
from zoo.registry import catalogue

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text(encoding="utf-8")
ROWS = {row[0]: row[1] for row in re.findall(r"^\| `(zoo_\w+)` \| ([^|]*) \|", PAGE, re.M)}
HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("zoo_")}


def test_the_page_lists_every_hook_and_no_other_in_their_order() -> None:
    assert list(ROWS) == list(HOOKS)


@pytest.mark.parametrize("name", HOOKS)
def test_the_page_says_what_a_hook_takes_and_gives(name) -> None:
    arguments = list(inspect.signature(HOOKS[name]).parameters)
    if name.startswith("zoo_register_"):
        names = {"Sequence": Sequence, **{each: getattr(api, each) for each in api.__all__}}
        (given,) = get_args(get_type_hints(HOOKS[name], localns=names)["return"])
        assert (arguments, ROWS[name].strip()) == ([], f"`{given.__name__}`")
    else:
        assert re.findall(r"`(\w+)`", ROWS[name]) == arguments


def test_the_page_knows_every_state_of_a_plugin() -> None:
    listed = re.findall(r"^\| (\w+) \|", PAGE.partition("## States of a plugin")[2], re.M)
    assert listed == ["state", *get_args(catalogue.State)]


def test_the_page_lists_the_fields_of_every_event() -> None:
    columns = re.findall(r"^\| `(zoo_\w+)` \| `event` \| ([^|]*) \|", PAGE, re.M)
    listed = {hook: re.findall(r"`(\w+)`", cell) for hook, cell in columns}
    kinds = [getattr(events, name) for name in events.__dict__ if getattr(getattr(events, name), "hook", "")]
    for kind in kinds:
        assert sorted(listed[kind.hook]) == sorted(each.name for each in fields(kind) if each.name != "record")
    assert len(kinds) == len(listed)
