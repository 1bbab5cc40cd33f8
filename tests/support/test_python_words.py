"""What a Python caller reads: arguments in place of options, functions in place of commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import zoo
from zoo.errors import ConfigError, UsageError
from zoo.support.python_words import in_python, public, python_errors


@pytest.mark.parametrize(
    ("told", "due"),
    [
        ("add --data NAME (see `zoo list datasets`)", "add data=NAME (see zoo.list_datasets())"),
        ("set a supported size: --set dataset.resize=N", 'set a supported size: set={"dataset.resize": N}'),
        ("add --weights imagenet or --weights FILE, or --weights none", None),
        ("continue with `zoo run --resume runs/cnn/night`", 'continue with zoo.run(resume="runs/cnn/night")'),
        ("see what can be set with `zoo info NAME`", "see what can be set with zoo.info(NAME)"),
        ("choose another --name or --out, or --resume it", 'choose another set={"name": …} or out=, or resume= it'),
        ("add --inexact to resume anyway", "add inexact= to resume anyway"),
        ("use --batch dynamic, or a number from 1", "use batch=None, or a number from 1"),
        ("--batch-size 32 is too large", "batch_size=32 is too large"),
        ("run `zoo data download mnist --force` first", "run `zoo data download mnist --force` first"),
        ("leave --arch out", "leave architecture= out"),
        ("add --weights mnist", 'add weights="mnist"'),
        ("add --weights imagenet1k_v1, or --weights FILE", 'add weights="imagenet1k_v1", or weights=FILE'),
        ("add --data digits or --data NAME", 'add data="digits" or data=NAME'),
        ("use --device cuda:1", None),
        ("leave out --weights, or --data to change it", "leave out weights=, or data= to change it"),
        ("add --seed 1, or train it: zoo run cnn --data D", "add seed=1, or train it: zoo run cnn --data D"),
        ("pip install a-b --upgrade-x", None),
        ("nothing to change: a -- b", "nothing to change: a -- b"),
    ],
)
def test_options_become_arguments(told: str, due: str | None) -> None:
    found = in_python(told)
    assert found == due if due is not None else "--" not in found


def test_an_error_is_rewritten_on_its_way_to_the_caller() -> None:
    @python_errors
    def refuse() -> None:
        raise UsageError("--batch must be at least 1", where="--batch", fix="add --batch N")

    with pytest.raises(UsageError) as refused:
        refuse()
    assert str(refused.value) == "batch= must be at least 1 (batch=); fix: add batch=N"
    assert (refused.value.what, refused.value.where, refused.value.fix) == (
        "batch= must be at least 1",
        "batch=",
        "add batch=N",
    )

    @python_errors
    def list_problems() -> None:
        raise ConfigError(["no dataset is given; add --data NAME", "seed: wrong"])

    with pytest.raises(ConfigError) as listed:
        list_problems()
    assert listed.value.problems == ["no dataset is given; add data=NAME", "seed: wrong"]
    assert str(listed.value).splitlines()[1] == "  - no dataset is given; add data=NAME"


def test_generators_speak_python_too() -> None:
    @python_errors
    def numbers() -> Iterator[int]:
        yield 1
        raise UsageError("a fault", fix="leave --top out")

    found = numbers()
    assert next(found) == 1
    with pytest.raises(UsageError, match="leave top= out"):
        next(found)


def test_the_public_functions_are_wrapped_and_the_modules_are_not() -> None:
    from zoo.workflows import run

    assert zoo.run is public(run.run) and zoo.run is not run.run and zoo.run.__doc__ == run.run.__doc__
    with pytest.raises(UsageError, match=r"add data=NAME \(see zoo\.list_datasets\(\)\)"):
        zoo.run("cnn")
    with pytest.raises(UsageError, match="add --data NAME"):
        run.run("cnn")
    assert zoo.__version__.count(".") == 2
