"""The checks of an export: of the model before it, and of the written file before it is published."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from zoo import runtime
from zoo.contract.decisions import Decision, Raw
from zoo.errors import CheckpointError, ExportError
from zoo.exporting.decision_rules import TOLERANCE, as_json, compared, layer_tolerance
from zoo.exporting.output_comparison import Comparison

if TYPE_CHECKING:
    from pathlib import Path

    from zoo.api import EmitRequest, Exporter, Runner
    from zoo.exporting.samples import Samples
    from zoo.runs.load_model import LoadedModel

BATCHES = (1, 2, 7)
"""The batch sizes for a file with a dynamic batch: 1, which may be special; 2, which was traced; and another one."""
LARGEST_BATCH = 128
SEED = 20_011
CENTRED = "outputs centred over the classes; |Δ| ≤ relative · max|y| per batch"
EQUAL = "equal where the margin exceeds twice that; all finite; accuracy lower by no more than smaller margins explain"
PLAIN = "|Δ| ≤ relative · max|y| per batch; all finite"
RULES = {
    "softmax": f"{CENTRED}; top-1 {EQUAL}",
    "sigmoid": f"|Δ| ≤ relative · max|y| per batch; labels {EQUAL}",
    "affine": f"{PLAIN}; the same after the link",
    "pixel_argmax": f"{CENTRED}; the class of each pixel {EQUAL}",
    "embedding": f"outputs divided by the L2 norm of each row; {PLAIN}",
    "raw": PLAIN,
}
"""The criterion of `Comparison`, by the kind of the decision."""
NOTHING = "nothing was published; look at that layer, or try another --opset"


def require(loaded: LoadedModel) -> list[str]:
    """Prepare the model for export (eval mode, CPU), and return a line for each change.

    Raises CheckpointError if a weight is not finite.
    """
    notes = []
    training = [name or "the network" for name, module in loaded.model.named_modules() if module.training]
    if training:
        notes.append(f"set to evaluation mode: {', '.join(training[:5])}{' …' if len(training) > 5 else ''}")
    loaded.model.to("cpu").eval()
    for name, tensor in (*loaded.model.named_parameters(), *loaded.model.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"the weight '{name}' has values that are not finite",
                where=loaded.name,
                fix="train again, with a smaller --lr",
            )
    _require_input(loaded)
    return notes


def _require_input(loaded: LoadedModel) -> None:
    """Check that the model accepts inputs of its preprocessing's shape, and that its outputs fit its decision."""
    shape = loaded.preprocessing.shape
    try:
        with torch.inference_mode():
            outputs = loaded.model(torch.zeros(2, *shape))
    except Exception as error:
        raise ExportError(
            f"the model fails for its own input shape {shape}: {type(error).__name__}: {error}", where=loaded.name
        ) from error
    decision, kind = as_json(loaded.decision), loaded.output.kind
    if kind not in runtime.OUTPUT_KINDS[decision["kind"]]:
        raise ExportError(f"a {kind} output has no decision {decision['kind']}", where=loaded.name)
    given, due = tuple(getattr(outputs, "shape", ())), runtime.due_shape(decision, kind, (2, *shape))
    if not isinstance(outputs, torch.Tensor):
        raise ExportError(f"the model returns a {type(outputs).__name__}, expected a tensor", where=loaded.name)
    if not runtime.has_shape(given, due):
        raise ExportError(f"the model does not fit: {runtime.wrong_shape(given, due, decision)}", where=loaded.name)


@dataclass(frozen=True)
class Proof:
    """The inputs of the verification of one export."""

    loaded: LoadedModel
    exporter: Exporter
    path: Path
    request: EmitRequest
    samples: Samples
    provider: str


def ensure(proof: Proof) -> dict[str, Any]:
    """Verify the file at ``proof.path``, and return the result as JSON.

    Raises ExportError with the first layer that differs.
    """
    form = proof.exporter.check(proof.path, proof.request)
    runner = proof.exporter.runner(proof.path, proof.provider)
    batches = (proof.request.batch,) if proof.request.batch else BATCHES
    decision = proof.loaded.decision
    random, real = Comparison(decision), Comparison(decision, proof.samples.ignore)
    for inputs in _random_inputs(proof.loaded.preprocessing.shape, batches):
        _compare(proof, runner, inputs, random, f"random samples, batch {len(inputs)}")
    for inputs in _first_real_inputs(proof.samples, batches):
        _compare(proof, runner, inputs, Comparison(decision), f"{proof.samples.dataset}, batch {len(inputs)}")
    for inputs, targets in _all_real_inputs(proof.samples, proof.request.batch):
        _compare(proof, runner, inputs, real, proof.samples.dataset, targets)
    _refuse_drop(proof.samples, real)
    return {
        "provider": runner.provider,
        "precision": "fp32",
        "tolerance": {"relative": TOLERANCE, "rule": RULES[decision.kind]},
        "batches": list(batches),
        "form": form,
        "random": {"seed": SEED, **random.facts()},
        "real": _real_facts(proof, real),
    }


def prove(
    model: torch.nn.Module,
    exporter: Exporter,
    path: Path,
    request: EmitRequest,
    batches: Iterable[torch.Tensor],
    provider: str,
) -> dict[str, Any]:
    """Verify an exported file against ``model`` on these batches: its format, and its outputs (B, …) of any shape.

    Returns the result as JSON. Raises ExportError with the first layer that differs.
    """
    form, runner, comparison = exporter.check(path, request), exporter.runner(path, provider), Comparison(Raw())
    for inputs in batches:
        with torch.inference_mode():
            expected = model(inputs.clone()).numpy()
        fault = comparison.add(expected, runner(inputs.numpy()))
        if fault is not None:
            layer = exporter.first_mismatch(path, model, inputs.clone(), TOLERANCE) or "no layer by itself"
            raise ExportError(
                f"the exported model is not the PyTorch model: {fault}; first mismatch: {layer}",
                where=path.name,
                fix=NOTHING,
            )
    facts = {name: value for name, value in comparison.facts().items() if not name.startswith("decisions")}
    return {
        "provider": runner.provider,
        "precision": "fp32",
        "tolerance": {"relative": TOLERANCE},
        "form": form,
        **facts,
    }


def _refuse_drop(samples: Samples, real: Comparison) -> None:
    fault = real.drop()
    if fault is not None:
        raise ExportError(
            f"the exported model is worse than the PyTorch model: {fault}", where=samples.dataset, fix=NOTHING
        )


def _real_facts(proof: Proof, real: Comparison) -> dict[str, Any]:
    samples = proof.samples
    facts = {
        "dataset": samples.dataset,
        "part": samples.part,
        "fingerprint": samples.fingerprint,
        "why": samples.why,
        **real.facts(),
    }
    measured = {"accuracy": real.accuracy(), "mean_absolute_error": real.mean_absolute_error()}
    return {**facts, **{name: found for name, found in measured.items() if found is not None}}


def _compare(
    proof: Proof,
    runner: Runner,
    inputs: torch.Tensor,
    comparison: Comparison,
    where: str,
    targets: np.ndarray | None = None,
) -> None:
    """Run one batch with both engines, and compare the outputs.

    If the batch size is fixed, a smaller last batch is padded; the padding is not compared.
    """
    count, fixed = len(inputs), proof.request.batch
    if fixed and count < fixed:
        inputs = torch.cat([inputs, inputs[:1].expand(fixed - count, *inputs.shape[1:])])
    with torch.inference_mode():
        expected = proof.loaded.model(inputs.clone()).numpy()  # a layer may work in place
    try:
        found = runner(inputs.numpy())
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"the exported model fails at batch {len(inputs)}: {reason}", where=where, fix=NOTHING
        ) from error
    fault = comparison.add(expected[:count], found[:count], targets)
    if fault is not None:
        layer = _first_mismatch(proof, inputs, expected)
        said = f"the exported model is not the PyTorch model: {fault}; first mismatch: {layer}"
        own = _own_uncertainty(proof.loaded.model, inputs, proof.loaded.decision)
        if own > TOLERANCE:
            said += (
                f"; in PyTorch itself, float32 differs from float64 by {own:.2g} relative: the network amplifies "
                "rounding errors"
            )
            raise ExportError(
                said, where=where, fix="nothing was published; train it longer, or with more samples a step"
            )
        raise ExportError(said, where=where, fix=NOTHING)


def _own_uncertainty(model: torch.nn.Module, inputs: torch.Tensor, decision: Decision) -> float:
    """Return the difference between outputs in float32 and float64, relative to the largest; 0 if float64 fails.

    After only a few training steps, batch norms can amplify rounding errors a million times; a large common offset of
    the logits rounds away their differences. Then no two engines agree, and neither is wrong.
    """
    try:
        with torch.inference_mode():
            exact = compared(copy.deepcopy(model).double()(inputs.double()).numpy(), decision)
            single = compared(model(inputs.clone()).numpy(), decision)
            return float(np.abs(single - exact).max() / np.abs(exact).max())
    except Exception:  # only used for the error message
        return 0.0


def _first_mismatch(proof: Proof, inputs: torch.Tensor, expected: np.ndarray) -> str:
    """Return the first layer that differs. Layers are compared without centring; if none differs, they are compared
    again with the tolerance of the centred outputs."""
    found = (
        proof.exporter.first_mismatch(proof.path, proof.loaded.model, inputs.clone(), each)
        for each in (TOLERANCE, layer_tolerance(expected, proof.loaded.decision))
    )
    return next((layer for layer in found if layer), "no layer by itself")


def _random_inputs(shape: tuple[int, int, int], batches: tuple[int, ...]) -> Iterator[torch.Tensor]:
    """Yield standard normal inputs, which resemble normalised images."""
    generator = torch.Generator().manual_seed(SEED)
    for batch in batches:
        yield torch.randn(batch, *shape, generator=generator)


def _first_real_inputs(samples: Samples, batches: tuple[int, ...]) -> Iterator[torch.Tensor]:
    for batch in batches:
        yield next(iter(samples.view.batches_of(np.arange(batch) % len(samples.view), batch))).inputs


def _all_real_inputs(samples: Samples, fixed: int | None) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
    """Yield all inputs, with targets if they are of the model's kind and names."""
    for batch in samples.view.batches(fixed or LARGEST_BATCH):
        yield batch.inputs, batch.targets.numpy() if samples.scored and batch.targets is not None else None
