"""Helper functions for plugins. With `zoo.api` and `zoo.errors`, these are the only modules of zoo a plugin may import.

Names are stable within a major version. Each is imported on first use, so that importing this module is cheap.

    Output     `echo`, `tracked` (a progress bar), `plural`, `figure`, `without_surrogates`
    Files      `write_csv`, `write_image`, `write_bytes`, `write_json`, `storage_errors`,
               `temporary_folder`, `user_path`
    Untrusted  `read_bytes`, `open_regular`, `check_regular` (for libraries that open a path themselves)
    Images     `IMAGE_SUFFIXES`, `is_image`, `find_images`, `warp_images` (bilinear, by the matrices of
               `zoo.api.Augmentation.geometry`), `to_device` (copies without waiting for the device)
    Networks   `count_macs`, `count_parameters`, `softmax`, `decide` (applies a decision to outputs),
               `MetricEvaluator` (applies torchmetrics to the result),
               `remove_head` (the network's output becomes its features)
    Reports    `plot_confusion`, `plot_masks`, `plot_predictions`, `save_figure`
    Registry   `registry`, `Item`, `load_object`, `options_model`, `decorated_functions` (names that a library defines,
               read from its source without importing it)
    Export     `build_exporter`, `verify_against_pytorch`, `runtime` (the module that bundles have as
               ``zoo_runtime.py``), `runtime_source` (its text), `trace` (a network by torch.export), `quiet` (no output
               of torch's exporter), `find_first_mismatch`, `GraphStep`, `module_label`; `causes` and `first_line` of an
               error
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.support.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from zoo import runtime
    from zoo.cli.output import say as echo
    from zoo.config.item_options import build_exporter
    from zoo.data.to_device import to_device
    from zoo.data.warp import warp_images
    from zoo.exporting.client_files import runtime_source
    from zoo.exporting.gate import verify_against_pytorch
    from zoo.exporting.layer_comparison import GraphStep, find_first_mismatch
    from zoo.exporting.tracing import module_label, quiet, trace
    from zoo.models.building import count_macs, count_parameters
    from zoo.models.decided import decide
    from zoo.models.named_outputs import remove_head
    from zoo.registry.lookup import Item, load_object, options_model, registry
    from zoo.reporting.mask_plots import compared_masks as plot_masks
    from zoo.reporting.plots import confusion as plot_confusion
    from zoo.reporting.plots import predictions as plot_predictions
    from zoo.reporting.plots import save as save_figure
    from zoo.runtime import SUFFIXES as IMAGE_SUFFIXES
    from zoo.runtime import find_images, is_image, softmax
    from zoo.support.atomic_files import storage_errors, write_bytes, write_csv, write_image, write_json
    from zoo.support.decorated_functions import decorated_functions
    from zoo.support.formatting import causes, figure, first_line, plural, without_surrogates
    from zoo.support.paths import user_path
    from zoo.support.progress import tracked
    from zoo.support.temporary_folders import temporary_folder
    from zoo.support.untrusted_files import check_regular, open_regular, read_bytes
    from zoo.training.metric_evaluator import MetricEvaluator

_TOOLS = {
    "GraphStep": "zoo.exporting.layer_comparison:GraphStep",
    "IMAGE_SUFFIXES": "zoo.runtime:SUFFIXES",
    "Item": "zoo.registry.lookup:Item",
    "MetricEvaluator": "zoo.training.metric_evaluator:MetricEvaluator",
    "build_exporter": "zoo.config.item_options:build_exporter",
    "causes": "zoo.support.formatting:causes",
    "check_regular": "zoo.support.untrusted_files:check_regular",
    "count_macs": "zoo.models.building:count_macs",
    "count_parameters": "zoo.models.building:count_parameters",
    "decide": "zoo.models.decided:decide",
    "decorated_functions": "zoo.support.decorated_functions:decorated_functions",
    "echo": "zoo.cli.output:say",
    "figure": "zoo.support.formatting:figure",
    "find_first_mismatch": "zoo.exporting.layer_comparison:find_first_mismatch",
    "first_line": "zoo.support.formatting:first_line",
    "find_images": "zoo.runtime:find_images",
    "is_image": "zoo.runtime:is_image",
    "load_object": "zoo.registry.lookup:load_object",
    "module_label": "zoo.exporting.tracing:module_label",
    "open_regular": "zoo.support.untrusted_files:open_regular",
    "options_model": "zoo.registry.lookup:options_model",
    "plot_confusion": "zoo.reporting.plots:confusion",
    "plot_masks": "zoo.reporting.mask_plots:compared_masks",
    "plot_predictions": "zoo.reporting.plots:predictions",
    "plural": "zoo.support.formatting:plural",
    "quiet": "zoo.exporting.tracing:quiet",
    "read_bytes": "zoo.support.untrusted_files:read_bytes",
    "registry": "zoo.registry.lookup:registry",
    "remove_head": "zoo.models.named_outputs:remove_head",
    "runtime": "zoo.runtime",
    "runtime_source": "zoo.exporting.client_files:runtime_source",
    "save_figure": "zoo.reporting.plots:save",
    "softmax": "zoo.runtime:softmax",
    "storage_errors": "zoo.support.atomic_files:storage_errors",
    "temporary_folder": "zoo.support.temporary_folders:temporary_folder",
    "trace": "zoo.exporting.tracing:trace",
    "to_device": "zoo.data.to_device:to_device",
    "tracked": "zoo.support.progress:tracked",
    "user_path": "zoo.support.paths:user_path",
    "verify_against_pytorch": "zoo.exporting.gate:verify_against_pytorch",
    "warp_images": "zoo.data.warp:warp_images",
    "without_surrogates": "zoo.support.formatting:without_surrogates",
    "write_bytes": "zoo.support.atomic_files:write_bytes",
    "write_csv": "zoo.support.atomic_files:write_csv",
    "write_image": "zoo.support.atomic_files:write_image",
    "write_json": "zoo.support.atomic_files:write_json",
}

__all__ = [
    "IMAGE_SUFFIXES",
    "GraphStep",
    "Item",
    "MetricEvaluator",
    "build_exporter",
    "causes",
    "check_regular",
    "count_macs",
    "count_parameters",
    "decide",
    "decorated_functions",
    "echo",
    "figure",
    "find_first_mismatch",
    "find_images",
    "first_line",
    "is_image",
    "load_object",
    "module_label",
    "open_regular",
    "options_model",
    "plot_confusion",
    "plot_masks",
    "plot_predictions",
    "plural",
    "quiet",
    "read_bytes",
    "registry",
    "remove_head",
    "runtime",
    "runtime_source",
    "save_figure",
    "softmax",
    "storage_errors",
    "temporary_folder",
    "to_device",
    "trace",
    "tracked",
    "user_path",
    "verify_against_pytorch",
    "warp_images",
    "without_surrogates",
    "write_bytes",
    "write_csv",
    "write_image",
    "write_json",
]

__getattr__, __dir__ = lazy_attributes(__name__, _TOOLS)
