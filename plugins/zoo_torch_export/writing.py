"""Write an `nn.Module` as an archive of torch.export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.fx import GraphModule

from zoo.api import ExportJob
from zoo.plugin import quiet, storage_errors, trace

KEPT = ("nn_module_stack", "val")
"""The metadata of nodes that are written: the modules that called them, and their shapes."""


def write(job: ExportJob, path: Path) -> None:
    """Trace the network and save it. Raises ExportError naming the module that cannot be traced.

    The archive has no example inputs, which are a pickle, and no stack traces, which name folders of this machine. Two
    archives of one network are byte-identical if their names are equal: torch writes the name into the archive.
    """
    program = trace(job)
    program.example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            for node in module.graph.nodes:
                node.meta = {key: value for key, value in node.meta.items() if key in KEPT}
    with quiet(), storage_errors(path):
        torch.export.save(program, path, extra_files=dict(job.metadata))
