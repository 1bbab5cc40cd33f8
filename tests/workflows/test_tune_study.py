"""What is proposed is a function of tune.json alone; the pruner is compared with the median, computed by numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.errors import CheckpointError
from zoo.workflows.search_space import parse_space
from zoo.workflows.tune_study import (
    ENOUGH,
    Proposal,
    StudyRecord,
    TrialRecord,
    importances,
    read_study,
    require_optuna,
    write_study,
)

pytest.importorskip("optuna", reason="optuna is not installed (pip install 'torch-zoo[tune]')")

SPACE = {"train.lr": "log(1e-4, 1e-1)", "train.batch_size": "choice(16, 32)", "train.epochs": "int(2, 8)"}


def study(trials: int = 0, **changes: Any) -> StudyRecord:
    """A record whose trials have made-up validation accuracies over three epochs."""
    require_optuna()
    generator = np.random.default_rng(0)
    record = StudyRecord(
        **{
            "name": "cnn_digits",
            "config_file": None,
            "overrides": {},
            "space": SPACE,
            "config": {},
            "metric": "val_accuracy",
            "mode": "max",
            "pruner": "median",
            "seed": 0,
            "wanted": 20,
            "has_test": True,
        }
        | changes
    )
    for number in range(1, trials + 1):
        params = Proposal(record, parse_space(SPACE), 8).params
        values = {epoch: float(value) for epoch, value in enumerate(np.sort(generator.random(3)), 1)}
        record.trials.append(
            TrialRecord(
                number=number,
                params=params,
                run=f"trial-{number:03d}",
                state="finished",
                values=values,
                value=max(values.values()),
            )
        )
    return record


def test_a_tuning_that_was_stopped_proposes_what_one_that_was_not_does(tmp_path: Path) -> None:
    record = study(12)
    write_study(tmp_path, record)
    assert read_study(tmp_path) == record
    space = parse_space(SPACE)
    again = Proposal(read_study(tmp_path), space, 8)
    assert Proposal(record, space, 8).params == again.params
    assert all(space[key].contains(value) for key, value in again.params.items())
    assert len({str(each.params) for each in record.trials}) == 12
    assert Proposal(record.model_copy(update={"seed": 1}), space, 8).params != again.params


def test_a_trial_that_goes_on_keeps_its_values() -> None:
    record = study(3)
    params = {"train.lr": 0.01, "train.batch_size": 32, "train.epochs": 5}
    assert Proposal(record, parse_space(SPACE), 8, params).params == params


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_median_pruner_stops_what_is_below_the_median_of_the_others(mode: str) -> None:
    record, space = study(6, mode=mode), parse_space(SPACE)
    sign = 1 if mode == "max" else -1
    # the pruner compares the best value so far with the median of the others' values at that epoch
    median = float(np.median([each.values[2] for each in record.trials]))
    better, worse = median + sign * 0.01, median - sign * 0.01
    assert not Proposal(record, space, 8).prunes({1: better, 2: better})
    proposal = Proposal(record, space, 8)
    assert not proposal.prunes({1: worse})  # the first epoch is never compared
    assert proposal.prunes({1: worse, 2: worse})
    assert not Proposal(record.model_copy(update={"pruner": "none"}), space, 8).prunes({1: worse, 2: worse})
    assert not Proposal(study(4, mode=mode), space, 8).prunes({1: worse, 2: -sign * 9.0})  # too few to compare with


def test_hyperband_stops_the_worst_of_its_bracket_at_a_rung() -> None:
    record, space = study(pruner="hyperband"), parse_space(SPACE)
    stopped = []
    for number in range(1, 13):
        proposal, value = Proposal(record, space, 8), 1.0 - 0.01 * number  # each is worse than those before
        stopped.append(proposal.prunes({1: value}))
        assert not proposal.prunes({1: value})  # of an epoch that was reported before, nothing is decided
        record.trials.append(
            TrialRecord(
                number=number,
                params=proposal.params,
                run=f"trial-{number:03d}",
                state="pruned" if stopped[-1] else "finished",
                values={1: value},
                rungs=proposal.rungs,
                value=value,
            )
        )
    assert any(stopped) and not stopped[0]
    assert {"completed_rung_0"} == {name for each in record.trials for name in each.rungs}


def test_the_best_is_the_first_of_equal_finished_trials() -> None:
    record = study(3)
    record.trials[0].value, record.trials[1].value, record.trials[2].value = 0.5, 0.9, 0.9
    assert [each.number for each in record.finished] == [2, 3, 1]
    record.trials[1].state = "pruned"
    assert [each.number for each in record.finished] == [3, 1]
    assert [each.number for each in record.model_copy(update={"mode": "min"}).finished] == [1, 3]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_importances_are_the_shares_of_the_variance(mode: str) -> None:
    """Against the exact shares of an additive function of two keys, with a third that has no effect."""
    record, space = study(60, mode=mode), parse_space(SPACE)
    generator = np.random.default_rng(1)
    for trial in record.trials:  # spread evenly, which fANOVA assumes, and not where the metric is best
        trial.params = {
            "train.lr": float(10 ** generator.uniform(-4, -1)),
            "train.batch_size": int(generator.choice([16, 32])),
            "train.epochs": int(generator.integers(2, 9)),
        }
        place = (np.log10(float(trial.params["train.lr"])) + 4) / 3
        trial.value = float(place + 0.5 * (trial.params["train.batch_size"] == 32))
    variances = {"train.lr": 1 / 12, "train.batch_size": 0.5**2 / 4}  # of a uniform and of a fair binary variable
    found = importances(record, space)
    assert found == importances(record.model_copy(deep=True), space)
    assert sum(found.values()) == pytest.approx(1) and found.keys() == space.keys()
    for key, variance in variances.items():
        assert found[key] == pytest.approx(variance / sum(variances.values()), abs=0.08)
    assert found["train.epochs"] < 0.05 and list(found)[-1] == "train.epochs"


def test_there_are_no_importances_of_what_says_nothing() -> None:
    space = parse_space(SPACE)
    assert importances(study(ENOUGH - 1), space) == {}
    equal = study(ENOUGH)
    assert importances(equal, space)
    for trial in equal.trials:
        trial.value = 0.5
    assert importances(equal, space) == {}


@pytest.mark.parametrize(
    "damage",
    [
        lambda facts: facts["trials"][1]["params"].update({"train.lr": 7.0}),
        lambda facts: facts["trials"][1]["params"].pop("train.lr"),
        lambda facts: facts["trials"][1].update(run="../elsewhere"),
        lambda facts: facts.update(format=2),
        lambda facts: facts.update(more=1),
    ],
)
def test_a_damaged_file_is_an_error_of_one_line(damage: Any, tmp_path: Path) -> None:
    write_study(tmp_path, study(2))
    facts = json.loads((tmp_path / "tune.json").read_text())
    damage(facts)
    (tmp_path / "tune.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="damaged"):
        read_study(tmp_path)
