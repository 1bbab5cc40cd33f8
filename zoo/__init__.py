"""Train any compatible combination of network, dataset and task, and export a file verified against PyTorch.

The public functions are loaded when they are first used (PEP 562), so that ``import zoo`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.support.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from zoo.exporting.export import export
    from zoo.registry.listing import (
        list_architectures,
        list_datasets,
        list_exporters,
        list_metrics,
        list_recipes,
        list_tasks,
    )
    from zoo.reporting.html_page import report
    from zoo.reporting.run_comparison import compare
    from zoo.runs.load_model import load
    from zoo.workflows.bench import benchmark
    from zoo.workflows.evaluate import evaluate_run as evaluate
    from zoo.workflows.predict import predict, predict_batches
    from zoo.workflows.run import run
    from zoo.workflows.seeds import run_seeds
    from zoo.workflows.tune import tune

_PUBLIC = {
    "benchmark": "zoo.workflows.bench:benchmark",
    "compare": "zoo.reporting.run_comparison:compare",
    "evaluate": "zoo.workflows.evaluate:evaluate_run",
    "export": "zoo.exporting.export:export",
    "list_architectures": "zoo.registry.listing:list_architectures",
    "list_datasets": "zoo.registry.listing:list_datasets",
    "list_exporters": "zoo.registry.listing:list_exporters",
    "list_metrics": "zoo.registry.listing:list_metrics",
    "list_recipes": "zoo.registry.listing:list_recipes",
    "list_tasks": "zoo.registry.listing:list_tasks",
    "load": "zoo.runs.load_model:load",
    "predict": "zoo.workflows.predict:predict",
    "predict_batches": "zoo.workflows.predict:predict_batches",
    "report": "zoo.reporting.html_page:report",
    "run": "zoo.workflows.run:run",
    "run_seeds": "zoo.workflows.seeds:run_seeds",
    "tune": "zoo.workflows.tune:tune",
}

__all__ = [
    "benchmark",
    "compare",
    "evaluate",
    "export",
    "list_architectures",
    "list_datasets",
    "list_exporters",
    "list_metrics",
    "list_recipes",
    "list_tasks",
    "load",
    "predict",
    "predict_batches",
    "report",
    "run",
    "run_seeds",
    "tune",
]

__getattr__, __dir__ = lazy_attributes(__name__, _PUBLIC)
