"""Turn failures of torch's translation to ONNX into one-line errors with the operator and its module."""

from __future__ import annotations

import re

import torch
from torch import nn

from zoo.errors import ExportError
from zoo.plugin import causes, first_line, module_label

OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")
NODE = re.compile(r"Error when translating node %(\w+) .*?target=torch\.ops\.([\w.]+)\]")


def translation_error(error: Exception, model: nn.Module, program: torch.export.ExportedProgram) -> ExportError:
    """Return the error for a traced network that cannot be translated."""
    texts = [str(link) for link in causes(error)]
    node = next((found for text in texts if (found := NODE.search(text))), None)
    operator = next(
        (found[1] for text in texts if (found := OPERATOR.search(text))),
        node[2].removesuffix(".default") if node else None,
    )
    if operator is None:
        return ExportError(
            f"torch's exporter failed: {first_line(error)}",
            fix="try another opset (--set export.opset=N), or change the network",
        )
    reason = (
        "" if any("No ONNX function found" in text for text in texts) else f": {first_line(list(causes(error))[-1])}"
    )
    return ExportError(
        f"the operator {operator} has no ONNX equivalent{reason}",
        where=_module_of(program, node[1] if node else "", operator, model),
        fix="replace it by other operators in the network",
    )


def _module_of(program: torch.export.ExportedProgram, node: str, operator: str, model: nn.Module) -> str:
    """The module in which a node of the traced network (or of its decomposition) was called."""
    for traced in (program, program.run_decompositions()):
        nodes = list(traced.graph.nodes)
        found = [each for each in nodes if each.name == node] or [
            each for each in nodes if str(each.target).startswith(operator)
        ]
        for each in found:
            stack = list((each.meta.get("nn_module_stack") or {}).values())
            if stack:
                return module_label(model, stack[-1][0].partition("@")[0])
    return module_label(model, "")
