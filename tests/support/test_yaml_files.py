"""YAML in and out: plain data only, and a place for every fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo.errors import ConfigError
from zoo.support.yaml_files import MAX_BYTES, parse_yaml, read_yaml, write_yaml

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{below}'] * 10)}]\n" for below, this in zip("abcdefgh", "bcdefghi", strict=True)
)

FAULTS: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "", "is empty"),
    "comments only": (b"# nothing\n", "", "is empty"),
    "a bracket left open": (b"train:\n  lr: [1, 2\nseed: 1\n", ":3:5", "not valid"),
    "a tab as indentation": (b"train:\n\tlr: 1\n", ":2:1", "not valid"),
    "a quote left open": (b'name: "abc\n', ":2:1", "not valid"),
    "a duplicate key": (
        b"seed: 1\ntrain:\n  lr: 1\n  lr: 2\n",
        ":4:3",
        "the key 'lr' is given twice, in lines 3 and 4",
    ),
    "a duplicate section": (
        b"train: {lr: 1}\nseed: 1\ntrain:\n  epochs: 2\n",
        ":3:1",
        "the key 'train' is given twice, in lines 1 and 3",
    ),
    "a duplicate key on one line": (b"train: {lr: 1, lr: 2}\n", ":1:16", "the key 'lr' is given twice ("),
    "a number written in two ways": (b"a:\n  1: x\n  0x1: y\n", ":3:3", "the key 1 is given twice, in lines 2 and 3"),
    "a Python object": (b"name: !!python/object/apply:os.getcwd []\n", ":1:7", "python/object"),
    "a Python name": (b"name: !!python/name:os.system\n", ":1:7", "python/name"),
    "a tag of one's own": (b"name: !mine x\n", ":1:7", "!mine"),
    "an alias bomb": (BOMB.encode(), "", "aliases are expanded"),
    "an alias of itself": (b"a: &a [*a]\n", "", "aliases are expanded"),
    "a huge file": (b"#" * (MAX_BYTES + 1), "", "1,000,000 bytes"),
    "a list": (b"- 1\n- 2\n", "", "the configuration must be a mapping"),
    "a word": (b"hello\n", "", "the configuration must be a mapping"),
    "two documents": (b"a: 1\n---\nb: 2\n", ":2:1", "another document"),
    "no text": (b"a: \xff\xfe\n", "", "cannot be read"),
    "deep nesting": (b"[" * 20_000, "", "not valid"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_file_is_named_with_the_place_of_the_fault(tmp_path: Path, fault: str) -> None:
    content, place, words = FAULTS[fault]
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    message = str(caught.value)
    assert f"({path}{place})" in message
    assert words in message
    assert "\n" not in message
    assert caught.value.exit_code == 2
    assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_case_18_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E3", 1000.0),
        ("0.5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("null", None),
        ("12:30", "12:30"),
        ("[60, 120]", [60, 120]),
        ("{a: 1}", {"a": 1}),
        ("classics/cnn", "classics/cnn"),
        ("'1'", "1"),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    parsed = parse_yaml(text, where="here")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1, "b": [1, 2.5, None, True], "c": {"d": "text", "e": []}},
        {"numbers": [1e-3, 1e-10, 1e20, 0.1 + 0.2, 2**62, -0.0]},
        {
            "words": [
                "yes",
                "no",
                "1e-3",
                "0x1f",
                "null",
                "",
                " padded ",
                "a: b",
                "#",
                "new\nline",
                "Ünï ✓",
                "12:30",
                "*a",
                "!x",
            ]
        },
        {"z": 1, "a": 2},
    ],
)
def test_what_is_written_is_read_again_the_same(value: dict[str, Any]) -> None:
    again = parse_yaml(write_yaml(value), where="here")
    assert again == value
    assert list(again) == list(value)
    assert repr(again) == repr(value)


ODD = [
    "001",
    "1e3",
    "true",
    "True",
    "null",
    "~",
    "0x1",
    "0o7",
    "1_000",
    "+1",
    ".inf",
    "1.",
    "2020-01-01",
    "2020-01-01 10:00:00",
    "no",
]
"""Names that YAML would take for numbers, dates and the like, as they stand there."""


def test_under_text_keys_a_value_is_the_text_that_is_written() -> None:
    listed = ", ".join(ODD)
    assert parse_yaml(f"[{listed}]", where="here", text_keys=[()]) == ODD
    assert parse_yaml(
        f"{{a: {{names: [{listed}], sizes: [001]}}}}", where="here", text_keys=[("a", "names"), ("b",)]
    ) == {"a": {"names": ODD, "sizes": [1]}}
    assert parse_yaml(write_yaml({"names": ODD}), where="here") == {"names": ODD}
    assert parse_yaml("{a: 001, b: null, c: ~}", where="here", text_keys=[("a",), ("b",), ("c",)]) == {
        "a": "001",
        "b": None,
        "c": None,
    }
    assert parse_yaml("", where="here", text_keys=[()]) is None


def test_a_date_is_text() -> None:
    assert parse_yaml("[2020-01-01, 1]", where="here") == ["2020-01-01", 1]
