"""What is printed where stdout's encoding lacks most characters, as cp1252 does, which pipes have on Windows."""

from __future__ import annotations

import io
import json
import sys

import pytest

from zoo.cli.output import say_json

VALUE = {"classes": ["caf€", "é", "😀", "ж"], "bidi": "\u202e", "line\nbreak": 1.5}


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "utf-8"])
def test_json_is_json_in_any_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace", newline="")
    monkeypatch.setattr(sys, "stdout", stream)
    say_json(VALUE)
    stream.flush()
    text = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert json.loads(text) == VALUE
    assert "\u202e" not in text
    assert ("😀" in text) == (encoding == "utf-8")
