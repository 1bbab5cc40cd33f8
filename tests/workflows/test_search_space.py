"""Search spaces are checked, value by value, before anything starts."""

from __future__ import annotations

import pytest

from zoo.errors import UsageError, ZooError
from zoo.workflows.search_space import Choice, Interval, check_space, is_expression, parse_space, with_params


def test_the_forms_of_a_search_space() -> None:
    found = parse_space(
        {
            "train.lr": "log(1e-4,1e-1)",
            "train.momentum": "uniform(0, 0.9)",
            "train.epochs": "int(1, 4)",
            "train.optimizer": "choice(adam, sgd)",
            "train.clip_norm": "choice(null, 1.0)",
        }
    )
    assert found == {
        "train.lr": Interval("log", 1e-4, 1e-1),
        "train.momentum": Interval("uniform", 0.0, 0.9),
        "train.epochs": Interval("int", 1, 4),
        "train.optimizer": Choice(("adam", "sgd")),
        "train.clip_norm": Choice((None, 1.0)),
    }
    assert not is_expression("0.1") and not is_expression("adam") and is_expression(" log (1, 2) ")


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("train.lr", "log(0, 1)", "starts above 0"),
        ("train.lr", "log(1, 0.1)", "1 is not below 0.1"),
        ("train.lr", "uniform(0, .inf)", "is not below"),
        ("train.lr", "uniform(0)", "takes two numbers"),
        ("train.lr", "uniform(a, b)", "takes two numbers"),
        ("train.epochs", "int(1, 2.5)", "takes two whole numbers"),
        ("train.epochs", "int(true, 2)", "takes two whole numbers"),
        ("train.batch_size", "choice(16)", "two or more different values"),
        ("train.batch_size", "choice(16, 16)", "two or more different values"),
        ("train.augment", "choice([flip], [])", "two or more different values"),
        ("train.lr", "normal(0, 1)", "this is not a search space"),
        ("seed", "int(0, 9)", "seed cannot be searched"),
        ("dataset.val_fraction", "uniform(0.1, 0.5)", "compared on one validation split"),
    ],
)
def test_a_wrong_search_space_is_an_error_of_one_line(key: str, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_space({key: text})
    assert "; fix: " in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"train.lr": "uniform(-1, 1)"}, "train.lr"),
        ({"train.lrr": "uniform(0.1, 1)"}, "train.lrr"),
        ({"train.momentum": "uniform(0, 1)"}, r"train.momentum=1.0 is not possible"),
        ({"train.optimizer": "choice(adam, 3)"}, "train.optimizer=3 is not possible"),
        ({"train.optimizer.lr": "log(1e-4, 1e-1)"}, "train.optimizer"),
        ({"architecture.n_feature": "int(1, 2)"}, "n_feature"),
    ],
)
def test_every_bound_and_choice_is_checked_against_the_configuration(space: dict[str, str], told: str) -> None:
    with pytest.raises(ZooError, match=told):
        check_space(parse_space(space), "cnn_digits", None, {})


def test_the_values_of_a_trial_are_set_over_the_overrides() -> None:
    overrides = {"train": {"epochs": 2, "lr": 1.0}}
    assert with_params(overrides, {"train.lr": 0.5, "architecture.n_features": 3}) == {
        "train": {"epochs": 2, "lr": 0.5},
        "architecture": {"n_features": 3},
    }
    assert overrides == {"train": {"epochs": 2, "lr": 1.0}}
