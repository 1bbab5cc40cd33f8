"""`zoo lr-range`: the learning rate range test of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.registry.lookup import registry
from zoo.runs.python_arguments import Objects, as_layer, with_objects
from zoo.runs.resolve_config import resolve
from zoo.support.paths import check_drawing, optional_path

if TYPE_CHECKING:
    from zoo.analysis.lr_range import LrRange

LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100


def lr_range(
    name: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    lowest: float = LOWEST,
    highest: float = HIGHEST,
    steps: int = STEPS,
    set: Mapping[str, Any] | None = None,  # noqa: A002
    plot: str | Path | None = None,
    **settings: Any,
) -> LrRange:
    """Return the losses of training steps with growing learning rates, and a suggested learning rate.

    The other arguments are those of `zoo.run`. ``plot`` is a file for a drawing. No run is written.

    Raises UsageError if the task is not trained or the loss diverges at once, and the errors of a run.
    """
    layer = with_objects(registry(), name, None, as_layer(set, settings), Objects(model, data))
    return tested(name, layer, lowest, highest, steps, optional_path(plot))


def tested(
    name: str | None, overrides: Mapping[str, Any], lowest: float, highest: float, steps: int, plot: Path | None = None
) -> LrRange:
    """Like `lr_range`, for a layer of the configuration."""
    check_drawing(plot)
    plan = resolve(registry(), name, overrides=overrides)
    from zoo.analysis.lr_range import lr_range as test  # with torch: a wrong name is refused without it

    result = test(plan, lowest, highest, steps)
    if plot is not None:
        from zoo.analysis.lr_range_plot import draw
        from zoo.support.atomic_files import storage_errors

        with storage_errors(plot):
            draw(plot, result, f"{name or plan.config.task.name}: learning rate range test")
    return result
