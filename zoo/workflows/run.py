"""``zoo run``: names and paths are resolved first, without torch; then its stages are carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import CheckpointError, ConfigError, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.plan import RunPlan
from zoo.runs.plugin_check import COMPONENTS, announce_versions, require_plugins
from zoo.runs.provided_objects import provide
from zoo.runs.python_arguments import Objects, as_layer, with_objects
from zoo.runs.resolve_config import is_own_data, merge, require_path, resolve
from zoo.runs.root_json import differences
from zoo.runs.run_directory import RunDir, find, label_of, new_path, run_id
from zoo.support.formatting import label, plural, value
from zoo.support.paths import optional_path
from zoo.support.untrusted_files import check_own_folders

if TYPE_CHECKING:
    from torch import nn

    from zoo.api import Target, TargetKind
    from zoo.workflows.run_result import RunResult


def run(
    name: str | None = None,
    *,
    model: nn.Module | Any = None,
    data: Any = None,
    target: TargetKind | Target | None = None,
    names: Sequence[str] | None = None,
    config_file: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    set: Mapping[str, Any] | None = None,  # noqa: A002
    out: str | Path | None = None,
    resume: str | Path | None = None,
    inexact: bool = False,
    dry_run: bool = False,
    quality: bool = False,
    quiet: bool = False,
    console: Console | None = None,
    **settings: Any,
) -> RunResult:
    """Train, evaluate and report one configuration.

    ``name`` is a recipe, an architecture, or a user's own data (``folder:PATH``). ``model`` is an
    nn.Module, a function that returns one (called with those of ``in_channels``, ``num_outputs`` and ``image_size``
    that it takes), a reference ``"package.module:function"`` to
    such a function, or the name of an architecture. The module is copied; it stays as it is.

    ``data`` is (train, val, test), (train, test), a mapping of these names, a single split, of which a fixed fifth is
    the test split, a function that returns these, a reference ``"package.module:function"``, or the name of a dataset.
    A split is (X, y) of arrays or tensors, or a torch Dataset of such pairs. X is uint8 or float from 0 to 1,
    (N, H, W), (N, C, H, W) or (N, H, W, C) with 1 or 3 channels. y is recognised by its type and shape: integers or
    strings (N,) are classes, floats (N,) or (N, D) values, zeros and ones (N, K) labels, integers (N, H, W) masks;
    ``target`` is the kind or the target itself if it is another. ``names`` are those of classes, labels or values.

    ``settings`` and ``set`` are keys of the configuration: dotted (``set={"train.lr": 0.1}``), or those of the top and
    of ``train`` as keywords (``seed=1, epochs=5``). ``overrides`` is a nested partial `RunConfig`. ``quality``,
    for a user's own data, takes longer for a better model. ``quiet`` prints nothing.

    ``resume`` continues a stopped run: settings must then agree with its configuration, and a ``model`` and ``data``
    that were Python objects are passed again; their tensors and fingerprint are checked.

    Raises ZooError; the traceback is in the run's error.log.
    """
    console, config_file, out = console or Console(quiet=quiet), optional_path(config_file), optional_path(out)
    layer = merge(merge({}, overrides or {}), as_layer(set, settings))
    objects = Objects(model, data, target, names)
    if resume is not None:
        return _resume(resume, name, config_file, layer, objects, inexact, console)
    plan = resolve(
        registry(),
        name,
        file=config_file,
        overrides=with_objects(registry(), name, config_file, layer, objects),
        quality=quality,
    )
    require_path(registry(), plan.config.dataset)
    where = None if dry_run else new_path(plan.config, out)
    from zoo.workflows import run_stages  # with torch: what is wrong with the names is said without it

    if where is None:
        return run_stages.dry_run(plan, console)
    result = run_stages.start(plan, where, console)
    if name is not None and is_own_data(registry(), name):
        for split, intervals in result.record.intervals.items():
            for metric, (low, high) in intervals.items():
                console.print(
                    f"{label(metric)} on other images like these: {value(metric, low)} to {value(metric, high)} "
                    f"(95% interval, {plural(result.record.samples[split], 'image')} of the {split} split)"
                )
        console.print(f"export it with: zoo export {run_id(where)}")
    return result


def _resume(
    resume: str | Path,
    name: str | None,
    config_file: Path | None,
    overrides: Mapping[str, Any],
    objects: Objects,
    inexact: bool,
    console: Console,
) -> RunResult:
    where = find(resume)
    check_own_folders(where.path)
    provide(registry(), where.record, objects.model, objects.data)
    config = where.config
    if config_file is not None:
        raise UsageError("--resume uses the configuration of the run", where="--config", fix="remove --config")
    require_plugins(where.record, registry(), *COMPONENTS, recipe=config.recipe)
    announce_versions(where.record, registry())
    try:
        plan = resolve(registry(), overrides=config.as_dict())  # options newer than the run get their defaults
    except ConfigError as error:  # the installed plugin lacks an option of the run
        raise ConfigError(error.problems, where=where.path) from error
    _refuse_changes(plan, name, overrides)
    if where.record.status == "finished" and _is_whole(where):
        raise UsageError(
            "this run is finished: there is nothing to resume", where=where.path, fix="start a new one with `zoo run`"
        )
    from zoo.workflows import run_stages

    return run_stages.go_on(where, plan, console, inexact=inexact)


def _is_whole(where: RunDir) -> bool:
    """Return whether the checkpoint of a run's results is undamaged; otherwise a finished run can be resumed from an
    earlier checkpoint."""
    from zoo.runs import checkpoints

    try:
        checkpoints.chosen(where)
    except CheckpointError:
        return False
    return True


def _refuse_changes(plan: RunPlan, name: str | None, overrides: Mapping[str, Any]) -> None:
    """Raise UsageError with each option that differs from the run's configuration."""
    config = plan.config
    before, asked = config.as_dict(), config.as_dict()
    if overrides:
        asked = resolve(registry(), overrides=merge(config.as_dict(), overrides)).config.as_dict()
    changed = [f"{key} is {old!r} in the run, not {new!r}" for key, old, new in differences(before, asked)]
    if name is not None and registry().runnable(name).canonical not in (
        config.recipe,
        config.architecture and config.architecture.name,
        config.task.name,
    ):
        changed.insert(0, f"the run is {label_of(config)}, not {name}")
    if changed:
        raise UsageError(
            f"--resume cannot change a run: {'; '.join(changed)}", fix="remove these options, or start a new run"
        )
