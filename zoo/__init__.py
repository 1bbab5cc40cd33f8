"""Train any compatible combination of network, dataset and task, and export a file verified against PyTorch.

The public functions are loaded when they are first used (PEP 562), so that ``import zoo`` costs next to nothing. Their
errors name arguments in place of the options of commands (`zoo.support.python_words`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.support.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from zoo.analysis.layer_math import arithmetic
    from zoo.errors import ZooError
    from zoo.exporting.export import export
    from zoo.registry.listing import (
        list_architectures,
        list_datasets,
        list_exporters,
        list_metrics,
        list_recipes,
        list_tasks,
    )
    from zoo.registry.register import register
    from zoo.reporting.html_page import report
    from zoo.reporting.run_comparison import compare
    from zoo.workflows.bench import benchmark
    from zoo.workflows.build import build
    from zoo.workflows.evaluate import evaluate_run as evaluate
    from zoo.workflows.gradients import gradients
    from zoo.workflows.info import info
    from zoo.workflows.load import Model, load
    from zoo.workflows.lr_range import lr_range
    from zoo.workflows.matrix import matrix
    from zoo.workflows.open_data import open_data
    from zoo.workflows.predict import predict, predict_batches
    from zoo.workflows.run import run
    from zoo.workflows.seeds import run_seeds
    from zoo.workflows.show import show
    from zoo.workflows.tune import tune

    __version__: str

_PUBLIC = {
    "Model": "zoo.workflows.load:Model",
    "ZooError": "zoo.errors:ZooError",
    "arithmetic": "zoo.analysis.layer_math:arithmetic",
    "benchmark": "zoo.workflows.bench:benchmark",
    "build": "zoo.workflows.build:build",
    "compare": "zoo.reporting.run_comparison:compare",
    "evaluate": "zoo.workflows.evaluate:evaluate_run",
    "export": "zoo.exporting.export:export",
    "gradients": "zoo.workflows.gradients:gradients",
    "info": "zoo.workflows.info:info",
    "list_architectures": "zoo.registry.listing:list_architectures",
    "list_datasets": "zoo.registry.listing:list_datasets",
    "list_exporters": "zoo.registry.listing:list_exporters",
    "list_metrics": "zoo.registry.listing:list_metrics",
    "list_recipes": "zoo.registry.listing:list_recipes",
    "list_tasks": "zoo.registry.listing:list_tasks",
    "load": "zoo.workflows.load:load",
    "lr_range": "zoo.workflows.lr_range:lr_range",
    "matrix": "zoo.workflows.matrix:matrix",
    "open_data": "zoo.workflows.open_data:open_data",
    "predict": "zoo.workflows.predict:predict",
    "predict_batches": "zoo.workflows.predict:predict_batches",
    "register": "zoo.registry.register:register",
    "report": "zoo.reporting.html_page:report",
    "run": "zoo.workflows.run:run",
    "run_seeds": "zoo.workflows.seeds:run_seeds",
    "show": "zoo.workflows.show:show",
    "tune": "zoo.workflows.tune:tune",
    "__version__": "zoo.support.version:VERSION",
}

__all__ = [
    "Model",
    "ZooError",
    "arithmetic",
    "benchmark",
    "build",
    "compare",
    "evaluate",
    "export",
    "gradients",
    "info",
    "list_architectures",
    "list_datasets",
    "list_exporters",
    "list_metrics",
    "list_recipes",
    "list_tasks",
    "load",
    "lr_range",
    "matrix",
    "open_data",
    "predict",
    "predict_batches",
    "register",
    "report",
    "run",
    "run_seeds",
    "show",
    "tune",
]

__getattr__, __dir__ = lazy_attributes(__name__, _PUBLIC, wrapper="zoo.support.python_words:public")
