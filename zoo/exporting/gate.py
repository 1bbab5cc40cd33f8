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
from zoo.errors import CheckpointError, ExportError, report_to
from zoo.exporting.decision_rules import TOLERANCE, as_json, compared, layer_tolerance
from zoo.exporting.opening import opened
from zoo.exporting.output_comparison import Comparison
from zoo.exporting.reference_outputs import SEED, random_inputs, shaded_inputs
from zoo.runtime import INPUT, OUTPUT

if TYPE_CHECKING:
    from pathlib import Path

    from zoo.api import Exporter, ExportJob, FileFacts, Runner
    from zoo.exporting.samples import Samples
    from zoo.runs.load_model import LoadedModel

BATCHES = (1, 2, 7)
"""The batch sizes for a file with a dynamic batch: 1, which may be special; 2, which was traced; and another one."""
LARGEST_BATCH = 128
NOT_PUBLISHED = "nothing was published"
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


def prepare(loaded: LoadedModel) -> list[str]:
    """Bring the model to eval mode and the CPU, and return a line for each change."""
    notes = []
    training = [name or "the network" for name, module in loaded.model.named_modules() if module.training]
    if training:
        notes.append(f"set to evaluation mode: {', '.join(training[:5])}{' …' if len(training) > 5 else ''}")
    loaded.model.to("cpu").eval()
    return notes


def require(loaded: LoadedModel) -> None:
    """Check the model before it is written. Raises CheckpointError if a weight is not finite, and ExportError if the
    model does not fit its input or its decision."""
    for name, tensor in (*loaded.model.named_parameters(), *loaded.model.named_buffers()):
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"the weight '{name}' has values that are not finite",
                where=loaded.name,
                fix="train again, with a smaller --lr",
            )
    _require_input(loaded)


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
class Candidate:
    """An exported file, and what it is verified against."""

    loaded: LoadedModel
    exporter: Exporter[Any]
    path: Path
    job: ExportJob
    samples: Samples
    provider: str
    verdict: str = NOT_PUBLISHED
    """What follows from a difference."""

    @property
    def fix(self) -> str:
        return look_there(self.exporter, self.verdict)


def look_there(exporter: Exporter[Any], verdict: str = NOT_PUBLISHED) -> str:
    """The fix of a file that differs; what else to try depends on the format."""
    other = f", or {exporter.alternative}" if exporter.alternative else ""
    return f"{verdict}; look at that layer{other}"


def verify(candidate: Candidate, known: FileFacts | None = None) -> tuple[FileFacts, dict[str, Any]]:
    """Verify a written file against the PyTorch model, and return its facts and the result as JSON.

    ``known`` are the facts of a file that zoo did not write, which need not be the one that the job describes.

    Raises ExportError with the first layer that differs.
    """
    facts = known or candidate.exporter.check(candidate.path, candidate.job)
    batches = (candidate.job.batch,) if candidate.job.batch else BATCHES
    decision, samples = candidate.loaded.decision, candidate.samples
    random, real = Comparison(decision), Comparison(decision, samples.ignore)
    with opened(candidate.exporter, candidate.path, candidate.provider) as runner:
        _check_metadata(runner, candidate.job)
        shape = candidate.loaded.preprocessing.shape
        for drawn in (*random_inputs(shape, batches), shaded_inputs(shape, batches[-1])):
            _compare(candidate, runner, torch.from_numpy(drawn), random, f"random samples, batch {len(drawn)}")
        for inputs in _first_real_inputs(samples, batches):
            _compare(candidate, runner, inputs, Comparison(decision), f"{samples.dataset}, batch {len(inputs)}")
        for inputs, targets in _all_real_inputs(samples, candidate.job.batch):
            _compare(candidate, runner, inputs, real, samples.dataset, targets)
        ran = {"runtime": runner.runtime, "provider": runner.provider}
    _refuse_drop(candidate, real)
    return facts, {
        **ran,
        "precision": "fp32",
        "tolerance": {"relative": TOLERANCE, "rule": RULES[decision.kind]},
        "batches": list(batches),
        "form": as_form(facts),
        "random": {"seed": SEED, **random.facts()},
        "real": _real_facts(candidate, real),
    }


def as_form(facts: FileFacts) -> dict[str, Any]:
    """The facts of a file, as in verify.json."""
    return {"size_bytes": facts.size_bytes, **facts.details}


def verify_against_pytorch(
    model: torch.nn.Module,
    exporter: Exporter[Any],
    path: Path,
    job: ExportJob,
    batches: Iterable[torch.Tensor],
    provider: str = "cpu",
) -> dict[str, Any]:
    """Verify an exported file against ``model`` on these batches: its format, and its outputs (B, …) of any shape.

    Returns the result as JSON. Raises ExportError with the first layer that differs.
    """
    facts, comparison = exporter.check(path, job), Comparison(Raw())
    with opened(exporter, path, provider) as runner:
        _check_metadata(runner, job)
        for inputs in batches:
            with torch.inference_mode():
                expected = model(inputs.clone()).numpy()
            fault = comparison.add(expected, runner({INPUT: inputs.numpy()})[OUTPUT])
            if fault is not None:
                layer = exporter.first_mismatch(path, model, inputs.clone(), TOLERANCE) or "no layer by itself"
                raise ExportError(
                    f"the exported model is not the PyTorch model: {fault}; first mismatch: {layer}",
                    where=path.name,
                    fix=look_there(exporter),
                )
        ran = {"runtime": runner.runtime, "provider": runner.provider}
    found = {name: value for name, value in comparison.facts().items() if not name.startswith("decisions")}
    return {
        **ran,
        "precision": "fp32",
        "tolerance": {"relative": TOLERANCE},
        "form": as_form(facts),
        **found,
    }


def _check_metadata(runner: Runner, job: ExportJob) -> None:
    """A format that stores no text has none; one that does must have stored all of it."""
    for key, value in job.metadata.items():
        if runner.metadata and runner.metadata.get(key) != value:
            state = "altered in" if key in runner.metadata else "missing from"
            raise ExportError(f"the metadata '{key}' is {state} the file", fix=report_to())


def _refuse_drop(candidate: Candidate, real: Comparison) -> None:
    fault = real.drop()
    if fault is not None:
        raise ExportError(
            f"the exported model is worse than the PyTorch model: {fault}",
            where=candidate.samples.dataset,
            fix=candidate.fix,
        )


def _real_facts(candidate: Candidate, real: Comparison) -> dict[str, Any]:
    samples = candidate.samples
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
    candidate: Candidate,
    runner: Runner,
    inputs: torch.Tensor,
    comparison: Comparison,
    where: str,
    targets: np.ndarray | None = None,
) -> None:
    """Run one batch with both engines, and compare the outputs.

    If the batch size is fixed, a smaller last batch is padded; the padding is not compared.
    """
    count, fixed = len(inputs), candidate.job.batch
    if fixed and count < fixed:
        inputs = torch.cat([inputs, inputs[:1].expand(fixed - count, *inputs.shape[1:])])
    with torch.inference_mode():
        expected = candidate.loaded.model(inputs.clone()).numpy()  # a layer may work in place
    try:
        found = runner({INPUT: inputs.numpy()})[OUTPUT]
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(
            f"the exported model fails at batch {len(inputs)}: {reason}", where=where, fix=candidate.fix
        ) from error
    fault = comparison.add(expected[:count], found[:count], targets)
    if fault is not None:
        layer = _first_mismatch(candidate, inputs, expected)
        said = f"the exported model is not the PyTorch model: {fault}; first mismatch: {layer}"
        own = _own_uncertainty(candidate.loaded.model, inputs, candidate.loaded.decision)
        if own > TOLERANCE:
            said += (
                f"; in PyTorch itself, float32 differs from float64 by {own:.2g} relative: the network amplifies "
                "rounding errors"
            )
            raise ExportError(
                said, where=where, fix=f"{candidate.verdict}; train it longer, or with more samples a step"
            )
        raise ExportError(said, where=where, fix=candidate.fix)


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


def _first_mismatch(candidate: Candidate, inputs: torch.Tensor, expected: np.ndarray) -> str:
    """Return the first layer that differs. Layers are compared without centring; if none differs, they are compared
    again with the tolerance of the centred outputs."""
    found = (
        candidate.exporter.first_mismatch(candidate.path, candidate.loaded.model, inputs.clone(), each)
        for each in (TOLERANCE, layer_tolerance(expected, candidate.loaded.decision))
    )
    return next((layer for layer in found if layer), "no layer by itself")


def _first_real_inputs(samples: Samples, batches: tuple[int, ...]) -> Iterator[torch.Tensor]:
    for batch in batches:
        yield next(iter(samples.view.batches_of(np.arange(batch) % len(samples.view), batch))).inputs


def _all_real_inputs(samples: Samples, fixed: int | None) -> Iterator[tuple[torch.Tensor, np.ndarray | None]]:
    """Yield all inputs, with targets if they are of the model's kind and names."""
    for batch in samples.view.batches(fixed or LARGEST_BATCH):
        yield batch.inputs, batch.targets.numpy() if samples.scored and batch.targets is not None else None
