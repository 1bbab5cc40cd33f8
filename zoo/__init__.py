"""A model zoo made of plugins: train any registered combination, ship a proved ONNX file.

The public functions are loaded when they are first used (PEP 562), so that ``import zoo`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.catalogue import list_architectures, list_datasets, list_exporters, list_recipes, list_tasks
    from zoo.comparing import compare
    from zoo.evaluation import evaluate_run as evaluate
    from zoo.exporting import export
    from zoo.loading import load
    from zoo.page import report
    from zoo.prediction import predict
    from zoo.runner import run
    from zoo.seeds import run_seeds

_PUBLIC = {
    "compare": "zoo.comparing:compare",
    "evaluate": "zoo.evaluation:evaluate_run",
    "export": "zoo.exporting:export",
    "list_architectures": "zoo.catalogue:list_architectures",
    "list_datasets": "zoo.catalogue:list_datasets",
    "list_exporters": "zoo.catalogue:list_exporters",
    "list_recipes": "zoo.catalogue:list_recipes",
    "list_tasks": "zoo.catalogue:list_tasks",
    "load": "zoo.loading:load",
    "predict": "zoo.prediction:predict",
    "report": "zoo.page:report",
    "run": "zoo.runner:run",
    "run_seeds": "zoo.seeds:run_seeds",
}

__all__ = [
    "compare",
    "evaluate",
    "export",
    "list_architectures",
    "list_datasets",
    "list_exporters",
    "list_recipes",
    "list_tasks",
    "load",
    "predict",
    "report",
    "run",
    "run_seeds",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
