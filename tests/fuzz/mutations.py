"""Ways to damage bytes, text and JSON, drawn from a seeded generator."""

from __future__ import annotations

import json
import random
from typing import Any

NASTY = (
    "", " ", "-", "--", "0", "-1", "1e999", "nan", "inf", "true", "null", "none", "auto", "~", "1.5",
    "99999999999999999999", "0x10", "1_000", "٣",
    "a=b", "=", ".", "..", "../..", "/", "/dev/null", "/dev/zero", "/proc/self/mem", "folder:", "folder:.",
    "folder:/dev/null", "images:*",
    "images:/dev/zero", "[1", "{a: 1", "[]", "{}", "[[[[]]]]", "!!python/object:os.system", "*a", "&a [*a]",
    "x" * 5000, "é", "e\u0301", "日本",
    "\u202eabc", "\x1b[31mred\x1b[0m", "\x07", "\udce9", "a\nb", "a\tb", "%s%n", "${HOME}", "$(touch it)", "`touch it`",
    "'; touch it", "<script>",
    "=1+1", "@x", "lookahead_adam", "timm/*", "timm/", "torchvision/resnet18", "cuda:99", "meta", "12:34", "2026-01-01",
    "NaN", "\ufeff", "a/b/c",
)  # fmt: skip
NUMBERS = (0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 1e308, 0.5, float("inf"), float("nan"))


class Mutator:
    """Draws everything from one generator, so that an input is a function of its number."""

    def __init__(self, generator: random.Random) -> None:
        self.random = generator

    def word(self) -> str:
        return self.random.choice(NASTY)

    def some(self, values: Any, most: int = 3) -> list[Any]:
        values = list(values)
        return self.random.sample(values, min(len(values), self.random.randint(0, most)))

    def bytes(self, content: bytes) -> bytes:
        """Flip, cut, repeat, insert, overwrite or drop a piece; once in a while something else altogether."""
        data = bytearray(content)
        for _ in range(self.random.choice((1, 1, 1, 2, 5))):
            at = self.random.randrange(len(data) + 1)
            length = self.random.choice((1, 1, 2, 4, 8, 64, 1000))
            match self.random.randrange(8):
                case 0 if data:
                    data[min(at, len(data) - 1)] ^= 1 << self.random.randrange(8)
                case 1:
                    del data[at:]
                case 2:
                    del data[at : at + length]
                case 3:
                    data[at:at] = self.random.randbytes(length)
                case 4:
                    data[at : at + length] = bytes([self.random.choice((0, 255, 127, 128))]) * length
                case 5:
                    data[at:at] = data[at : at + length] * self.random.randint(1, 4)
                case 6:
                    data[at : at + 4] = self.random.choice(
                        (b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00")
                    )
                case _:
                    data[at : at + length] = self.random.randbytes(min(length, len(data) - at) or 1)
        return (
            bytes(data)
            if self.random.random() < 0.97
            else self.random.choice((b"", b"\x00", b"{}", b"[]", b"null", b"\x80\x04.", b"<html>", b"\xff" * 64))
        )

    def text(self, content: str) -> str:
        """Change lines and words of a text."""
        lines = content.splitlines(keepends=True)
        for _ in range(self.random.choice((1, 1, 2, 4))):
            at = self.random.randrange(len(lines)) if lines else 0
            match self.random.randrange(6):
                case 0 if lines:
                    del lines[at]
                case 1 if lines:
                    lines.insert(at, lines[self.random.randrange(len(lines))])
                case 2 if lines:
                    words = lines[at].split(" ")
                    words[self.random.randrange(len(words))] = self.word()
                    lines[at] = " ".join(words)
                case 3 if lines:
                    head, separator, _ = lines[at].partition(self.random.choice((":", ",", "=")))
                    lines[at] = f"{head}{separator} {self.word()}\n"
                case 4:
                    lines.insert(at, self.word() + "\n")
                case _ if lines:
                    lines[at] = lines[at][: self.random.randrange(len(lines[at]) + 1)]
        return "".join(lines)

    def json(self, content: str) -> str:
        """Change one value of a JSON document: another type, a number out of range, a key removed or added, a deep
        nest; or its text."""
        if self.random.random() < 0.2:
            return self.text(content)
        try:
            value = json.loads(content)
        except ValueError:
            return self.text(content)
        holders = list(_holders(value))
        if not holders:
            return content
        holder, key = self.random.choice(holders)
        match self.random.randrange(6):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[self.word()] = holder[key]
            case 2:
                holder[key] = self.random.choice(NUMBERS)
            case 3:
                nested: Any = 1
                for _ in range(self.random.choice((3, 50, 900))):
                    nested = [nested]
                holder[key] = nested
            case 4:
                holder[key] = self.random.choice(([], {}, None, True, "", [None], {"a": {}}))
            case _:
                holder[key] = self.word()
        return json.dumps(value)


def _holders(value: Any) -> Any:
    """Every (container, key) in a JSON value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _holders(value[key])
