"""The words of augmentation: forms that mean the same, defaults filled in, every fault told."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from zoo.config.augmentation_options import build_steps, canonical, parse_augment
from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import resolve


@pytest.mark.parametrize(
    "value",
    [
        "flip, crop: 4",
        "[flip, crop: 4]",
        ["flip", {"crop": 4}],
        [{"flip": {}}, {"crop": {"padding": 4}}],
        ["flip", {"crop": {"fill": "black"}}],
    ],
    ids=str,
)
def test_forms_that_mean_the_same(value) -> None:
    assert canonical(value) == [{"flip": {"p": 0.5, "axis": "horizontal"}}, {"crop": {"padding": 4, "fill": "black"}}]


def test_the_canonical_form_is_its_own_canonical_form() -> None:
    names = [item.spec.name for item in registry().items("augmentation")]
    every = canonical(names)
    assert canonical(every) == every
    assert [item.spec.name for item, _ in build_steps(every)] == names
    assert [{item.spec.name: options.model_dump(mode="json")} for item, options in build_steps(every)] == every


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flp", "did you mean flip"),
        ("wobble", "known: flip, shift"),
        ("crop: 0", "greater than or equal to 1"),
        ("flip: 2", "less than or equal to 1"),
        ("rotate: lots", "valid number"),
        ("crop: {pading: 4}", "known options: padding, fill"),
        ("resized_crop: {scale: [1, 0.5]}", "the smaller first"),
        ("trivial_augment: 3", "trivial_augment has no options"),
        ("3", "3 is not a step"),
        ("crop: [", "not a list of steps"),
        ("flp, crop: 0", "flip.*; .*crop.padding"),
    ],
)
def test_faults_are_told_in_one_line(text, words) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_augment(text)
    assert "\n" not in str(caught.value)


def test_a_configuration_holds_every_option_and_can_be_read_again() -> None:
    config = resolve(registry(), "cnn_digits", overrides={"train": {"augment": "shift: 0.2"}}).config
    assert config.train.augment == [{"shift": {"fraction": 0.2}}]
    assert resolve(registry(), overrides=config.as_dict()).config == config
    with pytest.raises(UsageError, match=r"train\.augment: unknown augmentation 'flipp'; did you mean flip"):
        resolve(registry(), "cnn_digits", overrides={"train": {"augment": "flipp"}})


def test_the_words_cost_no_torch() -> None:
    code = (
        "import sys; from zoo.config.augmentation_options import canonical; canonical('flip, crop: 4, erase');"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_step_says_what_it_does() -> None:
    assert all(re.match(r"[A-Z].+\.$", item.spec.summary) for item in registry().items("augmentation"))
