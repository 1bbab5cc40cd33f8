"""A network's anatomy as JSON data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from zoo.analysis.layer_table import Anatomy, blocks, hints


def as_json(found: Anatomy, classes: int) -> dict[str, Any]:
    layers = [{**asdict(layer), "steps": [_step(step) for step in layer.steps]} for layer in found.layers]
    return {
        **asdict(found),
        "classes": classes,
        "layers": layers,
        "blocks": dict(blocks(found.layers)),
        "hints": hints(found),
    }


def _step(step: Any) -> dict[str, Any]:
    formulas = {
        name: {
            "positions": window.positions_formula(step.before[name].side),
            "field": step.before[name].field_formula(window),
        }
        for name, window in step.windows.items()
    }
    return {**asdict(step), "formulas": formulas}
