"""`zoo gradients`: gradient norms of a network before training, for one or several settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import UsageError
from zoo.registry.lookup import registry
from zoo.runs.python_arguments import Objects, as_layer, with_objects
from zoo.runs.resolve_config import merge, resolve
from zoo.support.paths import check_drawing, optional_path

if TYPE_CHECKING:
    from zoo.analysis.gradients import Gradients


def gradients(
    name: str | None = None,
    *,
    model: Any = None,
    data: Any = None,
    versus: Sequence[Mapping[str, Any]] = (),
    set: Mapping[str, Any] | None = None,  # noqa: A002
    plot: str | Path | None = None,
    **settings: Any,
) -> list[Gradients]:
    """Return the gradient norms of the layers for the first training batch, before the first step.

    The arguments are those of `zoo.run`. ``versus`` lists changed settings, such as
    ``[{"task.label_smoothing": 0.1}]``; each adds a result for the same network with these changes. ``plot`` is a file
    for a drawing.

    Raises UsageError for a network without layers that the loss reaches, and the errors of a run.
    """
    layer = with_objects(registry(), name, None, as_layer(set, settings), Objects(model, data))
    changes = [(", ".join(f"{key}={value}" for key, value in each.items()), as_layer(each)) for each in versus]
    return compared(name, layer, changes, optional_path(plot))


def compared(
    name: str | None,
    overrides: Mapping[str, Any],
    changes: Sequence[tuple[str, Mapping[str, Any]]],
    plot: Path | None = None,
    note: Callable[[str], object] = lambda _: None,
) -> list[Gradients]:
    """Like `gradients`, for layers of a configuration with their labels; ``note`` receives a line for each network."""
    check_drawing(plot)
    catalogue, found = registry(), []
    plans = [
        (label, resolve(catalogue, name, overrides=merge(merge({}, overrides), change)))
        for label, change in [("", {}), *changes]
    ]
    own = name or plans[0][1].config.task.name
    from zoo.analysis.gradients import gradients as measure  # with torch: a wrong name is refused without it

    for label, plan in plans:
        config, title = plan.config, label or own
        note(f"{title}: one batch of {config.dataset.name}, batch size {config.train.batch_size}, seed {config.seed}")
        found.append(measure(plan, title))
        for each in found[-1].notes:
            note(f"note: {each}")
        if not found[-1].norms:
            raise UsageError(
                f"{title} has no layer with a weight that the loss reaches", fix="choose another architecture"
            )
    if plot is not None:
        from zoo.analysis.gradient_plot import draw
        from zoo.support.atomic_files import storage_errors

        with storage_errors(plot):
            draw(plot, found, f"{own}: gradients before training")
    return found
