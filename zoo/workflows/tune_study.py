"""The trials of `zoo tune`, as ``tune.json`` has them, and what Optuna proposes after them.

Optuna keeps nothing: for each trial, a study is built from tune.json, and the sampler's seed follows from the seed of
the tuning and the number of the trial. So a tuning that was stopped proposes the same values as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from zoo.errors import CheckpointError, SetupError
from zoo.support.atomic_files import write_json
from zoo.support.untrusted_files import read_bytes
from zoo.workflows.search_space import Interval, Scalar, Space, parse_space

if TYPE_CHECKING:
    import optuna

FILE = "tune.json"
LIMIT = 50_000_000
ENOUGH = 10
"""Finished trials from which importances are computed; those of fewer are noise."""
RUNG = "completed_rung_"
"""Begins the names under which Optuna's HyperbandPruner keeps the values of a trial."""
Pruner = Literal["median", "hyperband", "none"]


class TrialRecord(BaseModel):
    """A trial: its values, its run directory, and the validation metric of each epoch.

    ``value`` is the best of them. A trial that diverged, or for which the memory was too small, has ``failed`` and the
    error.
    """

    model_config = ConfigDict(extra="forbid")

    number: int
    """From 1."""
    params: dict[str, Scalar]
    run: str
    state: Literal["running", "finished", "pruned", "failed"] = "running"
    values: dict[int, float] = {}
    rungs: dict[str, float] = {}
    value: float | None = None
    error: str | None = None


class StudyRecord(BaseModel):
    """``tune.json``. ``config`` is the resolved configuration without the searched values."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    name: str | None
    config_file: str | None
    overrides: dict[str, Any]
    space: dict[str, str]
    config: dict[str, Any]
    metric: str
    mode: Literal["max", "min"]
    pruner: Pruner
    seed: int
    wanted: int
    """The number of trials asked for."""
    has_test: bool
    """Whether the dataset has a test split."""
    trials: list[TrialRecord] = []
    best: int | None = None
    """The number of the best finished trial."""
    test: dict[str, float] | None = None
    """The metrics of the best trial on the test split."""
    command: str | None = None
    """The command line that repeats the best trial."""
    importances: dict[str, float] = {}
    """See `importances`."""

    @property
    def finished(self) -> list[TrialRecord]:
        """The finished trials, best first; of equal ones, the earlier first."""
        sign = -1 if self.mode == "max" else 1
        known = [each for each in self.trials if each.state == "finished" and each.value is not None]
        return sorted(known, key=lambda each: (sign * (each.value or 0.0), each.number))

    def best_of(self, values: Sequence[float]) -> float | None:
        return (max if self.mode == "max" else min)(values) if values else None


def read_study(folder: Path) -> StudyRecord:
    """Read tune.json. Raises CheckpointError if it is missing, damaged, or has values outside of its search space."""
    try:
        record = StudyRecord.model_validate_json(read_bytes(folder / FILE, LIMIT))
    except (OSError, ValidationError) as error:
        raise CheckpointError(
            "this is not the folder of a tuning, or its tune.json is damaged",
            where=folder,
            fix="start a new `zoo tune`",
        ) from error
    space = parse_space(record.space)
    for place, trial in enumerate(record.trials, 1):
        whole = trial.number == place and trial.run == run_name(place) and trial.params.keys() == space.keys()
        if not whole or not all(space[key].contains(value) for key, value in trial.params.items()):
            raise CheckpointError(f"trial {place} in tune.json is damaged", where=folder, fix="restore tune.json")
    return record


def write_study(folder: Path, record: StudyRecord) -> None:
    write_json(folder / FILE, record.model_dump(mode="json"))


def run_name(number: int) -> str:
    return f"trial-{number:03d}"


def require_optuna() -> None:
    """Raise SetupError if Optuna is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise SetupError("zoo tune needs the package optuna", fix="pip install 'torch-zoo[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)


class Proposal:
    """The next trial: its values, and the decision of the pruner after an epoch.

    Given ``params``, it is a trial that was stopped, which goes on with its values.
    """

    def __init__(
        self, record: StudyRecord, space: Space, epochs: int, params: Mapping[str, Scalar] | None = None
    ) -> None:
        import optuna

        before = [each for each in record.trials if each.state != "running"]
        self._record, self._reported = record, set[int]()
        study = optuna.create_study(
            study_name="zoo",
            direction="maximize" if record.mode == "max" else "minimize",
            sampler=optuna.samplers.TPESampler(seed=(record.seed * 1_000_003 + len(before)) % 2**32),
            pruner=_pruner(record.pruner, epochs),
        )
        distributions = {key: _distribution(each) for key, each in space.items()}
        study.add_trials([_frozen(each, distributions) for each in before])
        if params is not None:
            study.enqueue_trial(dict(params))
        self._study = study
        self._trial = study.ask(distributions)
        self.params: dict[str, Scalar] = dict(self._trial.params)

    def prunes(self, values: Mapping[int, float]) -> bool:
        """Return whether a trial with these values, by epoch, should stop."""
        stops = False
        for epoch in sorted(values.keys() - self._reported):
            self._trial.report(values[epoch], epoch)
            self._reported.add(epoch)
            stops = bool(self._trial.should_prune())
        return stops

    @property
    def rungs(self) -> dict[str, float]:
        """Return what the pruner keeps of this trial to compare later ones with."""
        kept = self._study.get_trials(deepcopy=False)[-1].system_attrs
        return {name: value for name, value in kept.items() if name.startswith(RUNG)}


def importances(record: StudyRecord, space: Space) -> dict[str, float]:
    """Return the importance of each searched key, largest first: its share of the variance of the metric among the
    finished trials, by a random forest. They add up to 1.

    F. Hutter, H. Hoos, K. Leyton-Brown: An efficient approach for assessing hyperparameter importance (fANOVA), 2014.
    Empty for one key, for fewer than `ENOUGH` finished trials, and if all have the same metric.
    """
    import optuna

    finished = record.finished
    if len(space) < 2 or len(finished) < ENOUGH or len({each.value for each in finished}) == 1:
        return {}
    study = optuna.create_study(direction="maximize" if record.mode == "max" else "minimize")
    # Optuna's fANOVA weights intervals by their length, also those of a logarithmic scale: they are given as exponents.
    logarithmic = {key for key, each in space.items() if isinstance(each, Interval) and each.kind == "log"}
    distributions = {key: _distribution(each) for key, each in space.items()}
    for key in logarithmic:
        ends = distributions[key]
        distributions[key] = optuna.distributions.FloatDistribution(math.log(ends.low), math.log(ends.high))
    for trial in sorted(finished, key=lambda each: each.number):  # the forest draws from them in their order
        exponents = {key: math.log(float(trial.params[key] or 0)) for key in logarithmic}
        study.add_trial(
            optuna.trial.create_trial(
                params=trial.params | exponents, distributions=distributions, value=trial.value or 0.0
            )
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=record.seed % 2**32)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {key: float(value) for key, value in found.items()}


def _pruner(name: Pruner, epochs: int) -> optuna.pruners.BasePruner:
    import optuna

    if name == "none":
        return optuna.pruners.NopPruner()
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs)
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)  # not after the first epoch


def _distribution(space: Any) -> optuna.distributions.BaseDistribution:
    import optuna

    if isinstance(space, Interval):
        if space.kind == "int":
            return optuna.distributions.IntDistribution(int(space.low), int(space.high))
        return optuna.distributions.FloatDistribution(space.low, space.high, log=space.kind == "log")
    return optuna.distributions.CategoricalDistribution(space.values)


def _frozen(trial: TrialRecord, distributions: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    """Return a trial as Optuna has it. A failed trial counts as pruned: it is among the worst."""
    import optuna

    complete = trial.state == "finished"
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.PRUNED,
        value=trial.value if complete else None,
        params=trial.params,
        distributions=dict(distributions),
        intermediate_values=trial.values,
        system_attrs=dict(trial.rungs),
    )
