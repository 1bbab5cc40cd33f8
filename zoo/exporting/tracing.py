"""Trace a network with torch.export for an exporter, with one-line errors that name the module."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from zoo.errors import ExportError
from zoo.support.formatting import causes, first_line

if TYPE_CHECKING:
    from zoo.contract.export import ExportJob

SPECIALISED = re.compile(r"specialized it to be a constant \((\d+)\)")


def trace(job: ExportJob) -> torch.export.ExportedProgram:
    """Return the network as a graph of ATen operators, each with its ``nn_module_stack``.

    The input has the shape of ``job.example``; its batch is dynamic, or ``job.batch``. Raises ExportError that names
    the module which cannot be traced.
    """
    inputs = job.example if job.batch is None else job.example[:1].repeat(job.batch, 1, 1, 1)
    shapes = ({0: torch.export.Dim("batch")},) if job.batch is None else None
    try:
        with quiet(), torch.no_grad():
            return torch.export.export(job.model, (inputs,), dynamic_shapes=shapes, strict=False)
    except Exception as error:
        with quiet():
            raise _export_error(error, job.model, inputs, shapes) from error


def module_label(model: nn.Module, path: str) -> str:
    """Return ``"features.2 (Conv2d)"`` for the dotted path of a module; the network itself is named by its class."""
    try:
        kind = type(model.get_submodule(path)).__name__
    except AttributeError:
        return path
    return f"{path} ({kind})" if path else kind


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress the output, logs and warnings of torch's exporter; zoo raises errors for what matters."""
    before: Any = logging.root.manager.disable
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


def _export_error(error: Exception, model: nn.Module, inputs: Tensor, shapes: Any) -> ExportError:
    fixed = SPECIALISED.search(str(error))
    if fixed:
        return ExportError(
            f"the network works only for a batch of {fixed[1]}",
            fix=f"export with --batch {fixed[1]}, or change the network",
        )
    where = _failing_module(model, inputs, shapes)
    if any(isinstance(link, GuardOnDataDependentSymNode) for link in causes(error)):
        return ExportError(
            "the network has data-dependent control flow, which a graph cannot represent",
            where=where,
            fix="use torch.where or torch.cond in place of `if` or `while` on a tensor",
        )
    return ExportError(
        f"the network cannot be traced: {first_line(error)}",
        where=where,
        fix="change the network so that torch.export can trace it",
    )


def _failing_module(model: nn.Module, inputs: Tensor, shapes: Any) -> str:
    """Trace again while noting which modules are entered and left: the innermost that was not left is where it
    fails."""
    entered: list[str] = []
    hooks = []
    for path, module in model.named_modules():
        label = module_label(model, path)
        hooks.append(module.register_forward_pre_hook(lambda *_, label=label: entered.append(label)))
        hooks.append(module.register_forward_hook(lambda *_: entered.pop() and None))
    try:
        torch.export.export(model, (inputs,), dynamic_shapes=shapes, strict=False)
    except Exception:
        return entered[-1] if entered else module_label(model, "")
    finally:
        for hook in hooks:
            hook.remove()
    return module_label(model, "")
