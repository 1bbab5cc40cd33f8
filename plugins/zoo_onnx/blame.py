"""Turn failures of torch's exporter into one-line errors with the operator and its module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from zoo.errors import ExportError

OPERATOR = re.compile(r"OpOverload\(op='([\w.]+)'")
NODE = re.compile(r"Error when translating node %(\w+) .*?target=torch\.ops\.([\w.]+)\]")
SPECIALISED = re.compile(r"specialized it to be a constant \((\d+)\)")


def export_error(
    error: Exception, model: nn.Module, inputs: Tensor, shapes: Any, program: torch.export.ExportedProgram | None
) -> ExportError:
    """``program`` is the traced network where tracing was not what failed."""
    if program is None:
        return _tracing_error(error, model, inputs, shapes)
    texts = [str(link) for link in _chain(error)]
    node = next((found for text in texts if (found := NODE.search(text))), None)
    operator = next(
        (found[1] for text in texts if (found := OPERATOR.search(text))),
        node[2].removesuffix(".default") if node else None,
    )
    if operator is None:
        return ExportError(
            f"torch's exporter failed: {_one_line(error)}",
            fix="try another opset (--set export.opset=N), or change the network",
        )
    reason = (
        "" if any("No ONNX function found" in text for text in texts) else f": {_one_line(list(_chain(error))[-1])}"
    )
    return ExportError(
        f"the operator {operator} has no ONNX equivalent{reason}",
        where=_module_of(program, node[1] if node else "", operator, model),
        fix="replace it by other operators in the network",
    )


def _tracing_error(error: Exception, model: nn.Module, inputs: Tensor, shapes: Any) -> ExportError:
    fixed = SPECIALISED.search(str(error))
    if fixed:
        return ExportError(
            f"the network works only for a batch of {fixed[1]}",
            fix=f"export with --batch {fixed[1]}, or change the network",
        )
    where = _failing_module(model, inputs, shapes)
    if any(isinstance(link, GuardOnDataDependentSymNode) for link in _chain(error)):
        return ExportError(
            "the network has data-dependent control flow, which a graph cannot represent",
            where=where,
            fix="use torch.where or torch.cond in place of `if` or `while` on a tensor",
        )
    return ExportError(
        f"the network cannot be traced: {_one_line(error)}",
        where=where,
        fix="change the network so that torch.export can trace it",
    )


def _failing_module(model: nn.Module, inputs: Tensor, shapes: Any) -> str:
    """Trace again while noting which modules are entered and left: the innermost that was not left is where it
    fails."""
    entered: list[str] = []
    hooks = []
    for path, module in model.named_modules():
        label = describe(model, path)
        hooks.append(module.register_forward_pre_hook(lambda *_, label=label: entered.append(label)))
        hooks.append(module.register_forward_hook(lambda *_: entered.pop() and None))
    try:
        torch.export.export(model, (inputs,), dynamic_shapes=shapes, strict=False)
    except Exception:
        return entered[-1] if entered else describe(model, "")
    finally:
        for hook in hooks:
            hook.remove()
    return describe(model, "")


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
                return describe(model, stack[-1][0].partition("@")[0])
    return describe(model, "")


def describe(model: nn.Module, path: str) -> str:
    """``"features.2 (Conv2d)"``; the network itself is named by its class."""
    try:
        kind = type(model.get_submodule(path)).__name__
    except AttributeError:
        return path
    return f"{path} ({kind})" if path else kind


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
