"""The vocabulary: names that users and plugins type are the field's."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path
from typing import get_args

import pytest

import zoo.api
import zoo.plugin
from zoo.api import Part
from zoo.config.run_config import RunConfig, TrainConfig
from zoo.registry.core_commands import COMMANDS
from zoo.registry.lookup import options_model, registry

NOT = {
    "accumulate", "bring", "cut", "decay", "departure", "ema", "exhibit", "exhibits", "foretell", "holdout", "job",
    "judge", "judged", "originals",
    "picture", "pictures", "rate", "rates", "report_part", "select", "structure", "telling", "trail", "trunk", "watch",
}  # fmt: skip
"""Words that the glossary replaces."""
ALLOWED = {
    "ExportJob": "what is to be exported; the word that is replaced was for the state of a training",
    "weight_decay": "torch's own name",
    "weight_decay_scope": "of weight_decay",
    "ema_decay": "timm's name",
    "layer_decay": "timm's name",
}


def words(name: str) -> set[str]:
    return set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"))


def public() -> dict[str, list[str]]:
    keys = [
        *RunConfig.model_fields,
        *TrainConfig.model_fields,
        *RunConfig.model_fields["dataset"].annotation.model_fields,
    ]  # type: ignore[union-attr]
    options = [
        name
        for kind in ("architecture", "dataset", "task")
        for item in registry().items(kind)
        for name in options_model(item).model_fields
    ]
    return {
        "zoo.api": list(zoo.api.__all__),
        "zoo.plugin": list(zoo.plugin.__all__),
        "the configuration": keys,
        "options of first-party components": options,
        "commands": list(COMMANDS),
    }


@pytest.mark.parametrize("where", list(public()))
def test_public_names_are_of_the_vocabulary(where: str) -> None:
    found = {name for name in public()[where] if words(name) & NOT and name not in ALLOWED}
    assert found == set()


def test_splits_have_their_usual_names() -> None:
    assert get_args(Part) == ("train", "val", "test", "predict")


def test_the_test_finds_a_word() -> None:
    assert words("DatasetHoldout") & NOT == {"holdout"} and words("weight_decay") & NOT == {"decay"}


# ---------------------------------------------------------------------------------------------------------------- prose

TOP = Path(__file__).parents[1]
PROSE = re.compile(
    r"\b(pictures?|judg(e[ds]?|ing|e?ments?)|proved|strangers?|foret(ell|old)|hold-?outs?|so many|likeliest|exhibits?"
    r"|departs?|departures?|drawn anew)\b",
    re.IGNORECASE,
)
"""What no help text, message, docstring, comment or page says: the glossary has the field's words for it."""


def texts() -> list[Path]:
    code = [file for root in ("zoo", "plugins", "examples", "benchmarks") for file in (TOP / root).rglob("*.py")]
    pages = [*(TOP / "docs").rglob("*.md"), *(TOP / "examples").rglob("*.md"), *(TOP / "zoo").rglob("*.j2")]
    return [*code, *pages, TOP / "README.md", TOP / "CONTRIBUTING.md"]


def test_no_text_has_a_word_that_the_glossary_replaces() -> None:
    stored = "zoo-svd-picture"  # an identifier inside files that were written before
    found = [
        f"{file.relative_to(TOP)}:{number}: {match[0]}"
        for file in texts()
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        for match in PROSE.finditer(line.replace(stored, "").replace("_", " "))
    ]
    assert found == []


def test_gray_and_grayscale_have_one_spelling() -> None:
    """As in torchvision and scikit-image; ``"grey"`` is a value in the descriptions of bundles."""
    found = [
        f"{file.relative_to(TOP)}:{number}: {line.strip()}"
        for file in texts()
        if not file.is_relative_to(TOP / "zoo" / "runtime")  # part of every published bundle
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        if re.search(r"(?<![\"`_])\bgrey(scale)?s?\b", line, re.IGNORECASE)
    ]
    assert found == []


# ------------------------------------------------------------------------------------------------ prose inside the code

PRIVATE = re.compile(
    r"\b(anew|somebody|cannot be had|learns? nothing|gives? something else|by hand|put aside|is told|tells"
    r"|(is|are) due|who brings|the story of)\b"
)
"""Phrases with a plain replacement: again, not available, frozen, returns, manually, printed, expected."""
ELSEWHERE = ("zoo/cli/", "zoo/registry/", "zoo/runtime/")
"""Not covered by this list yet; zoo/runtime is part of every published bundle."""


def sentences(source: str) -> list[tuple[int, str]]:
    """The docstrings, comments and texts of three words or more in Python source, each with its line."""
    found = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 2
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [*found, *((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)]


def test_no_docstring_or_message_is_in_the_private_english_of_before() -> None:
    found = [
        f"{name}:{line}: {match[0]}"
        for root in ("zoo", "plugins", "examples")
        for file in (TOP / root).rglob("*.py")
        if not (name := file.relative_to(TOP).as_posix()).startswith(ELSEWHERE)
        for line, text in sentences(file.read_text("utf-8"))
        for match in PRIVATE.finditer(" ".join(text.split()))
    ]
    assert found == []


def test_the_test_reads_comments_and_messages_but_no_names() -> None:
    source = 'anew = f"{anew} is not a float32"  # read anew\n'
    assert [bool(PRIVATE.search(text)) for _, text in sentences(source)] == [False, True]
