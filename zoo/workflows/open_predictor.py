"""Open what predicts: an exported model in its runtime, without torch, or a run or pretrained weights in PyTorch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo import runtime
from zoo.errors import CheckpointError, DataError, UsageError
from zoo.exporting.opening import check_no_device, check_provider, exported_at, runtime_errors
from zoo.support.atomic_files import sha256

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zoo.contract.decisions import Decision
    from zoo.contract.targets import Output
    from zoo.data.preprocessing import Preprocessing

Run = Callable[[np.ndarray], np.ndarray]
Network = tuple["nn.Module", "str | None"]
"""A model, and the name of its head, or None."""


class Predictor(NamedTuple):
    """An opened model: the function for inputs, its description, the name of the engine and, for PyTorch, the
    network. ``digest`` returns a sha256 that changes with the model's weights."""

    run: Run
    description: dict[str, Any]
    engine: str
    network: Network | None
    digest: Callable[[], str]
    notes: tuple[str, ...] = ()

    @property
    def decision(self) -> dict[str, Any]:
        return runtime.decision_of(self.description)

    @property
    def spec(self) -> dict[str, Any]:
        """The preprocessing, the ``input`` part of the description."""
        return dict(self.description["input"])

    def identity(self) -> str:
        """Return a sha256 of the weights and the description."""
        text = json.dumps([self.digest(), self.description], sort_keys=True)
        return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def open_predictor(
    target: str | Path,
    *,
    weights: str | None = None,
    weights_key: str | None = None,
    max_pixels: int | None = None,
    window: float | None = None,
    provider: str = "cpu",
    threads: int | None = None,
    device: str = "cpu",
) -> Predictor:
    """Open a bundle's folder, an exported model, a run or, with ``weights``, an architecture (see
    `zoo.workflows.predict.predict`)."""
    if weights is None:
        found = _open(target, provider, threads, device)
    else:
        found = _open_in_torch(target, weights, weights_key, device)
    if window is not None:
        found = _with_window(found, window)
    if max_pixels is None:
        return found
    limited = {**found.description["input"], "max_pixels": max_pixels}
    return found._replace(description={**found.description, "input": limited})


def _with_window(found: Predictor, window: float) -> Predictor:
    """Return a predictor that slides over the whole of each image. Raises UsageError if it cannot."""
    try:
        runtime.check_window(window, found.decision)
    except ValueError as error:
        raise UsageError(str(error), where="--window", fix="remove it, or use a share such as 0.25") from error
    return found._replace(description={**found.description, "window": window})


def _open(target: str | Path, provider: str, threads: int | None, device: str) -> Predictor:
    exported = exported_at(Path(target))
    if exported is None:
        if provider != "cpu":
            raise UsageError(
                "a run is predicted by PyTorch, which has no providers", where="--provider", fix="use an exported model"
            )
        return _open_in_torch(target, device=device)
    check_no_device(device)
    check_provider(exported.exporter, provider, exported.item.spec.name)
    exported.exporter.require(None, provider)
    notes: list[str] = []
    with runtime_errors():
        found = runtime.open_model(
            exported.model, lambda path: exported.exporter.open(path, provider, threads), notes.append
        )
    engine = found.runner.runtime if provider == "cpu" else f"{found.runner.runtime} on {found.runner.provider}"
    return Predictor(found.run, found.description, engine, None, lambda: _file_digest(exported.model), tuple(notes))


def _open_in_torch(
    name: str | Path, weights: str | None = None, key: str | None = None, device: str = "cpu"
) -> Predictor:
    """A run, a recipe without a run for its pretrained weights, or an architecture or recipe with ``weights``."""
    from zoo.registry.lookup import registry
    from zoo.runs.run_directory import RunDir
    from zoo.workflows.model_argument import find_model, loaded_model

    found = find_model(name, weights, key)
    if isinstance(found, RunDir):
        from zoo.runs.load_model import require_network

        require_network(found)
    from zoo.training.devices import choose_device

    place = choose_device(device)
    with loaded_model(found, device=place) as loaded:
        model, architecture = loaded.model, loaded.config.architecture
        head = None if architecture is None else registry().architecture(architecture.name).spec.head
        description = _description(loaded.preprocessing, loaded.decision, loaded.output)
        if loaded.gallery is not None:
            description["output"]["decision"]["gallery"] = str(loaded.gallery.absolute())
        engine = loaded.engine if place.type == "cpu" else f"{loaded.engine} on {place}"
        engine = engine if loaded.run is not None else f"{loaded.label}, {engine}"
        return Predictor(_by_torch(model, place), description, engine, (model, head), lambda: _state_digest(model))


def _file_digest(model: Path) -> str:
    """The sha256 of an exported file; with a bundle.json, of the digests in it, which were checked on opening."""
    if not (model.parent / runtime.INDEX).is_file():
        return sha256(model)
    index = runtime.read_index(model.parent)
    loaded = index.get("model_files") or (model.name, f"{model.name}.data")
    files = {name: facts["sha256"] for name, facts in index["files"].items() if name in loaded}
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _state_digest(model: nn.Module) -> str:
    """The sha256 of the names and bytes of all weights and buffers."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _by_torch(model: nn.Module, device: torch.device) -> Run:
    import torch

    def run(inputs: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model(torch.from_numpy(inputs).to(device)).float().cpu().numpy())

    return run


def _description(preprocessing: Preprocessing, decision: Decision, output: Output) -> dict[str, Any]:
    """Return the description in the form of a bundle."""
    return {
        "input": preprocessing.describe(),
        "output": {"kind": output.kind, "decision": decision.model_dump(mode="json")},
    }


@contextmanager
def data_errors(fix: str = "repair, convert or remove the image") -> Iterator[None]:
    """Turn the errors of `zoo.runtime` in finding, reading and predicting images into zoo's."""
    try:
        yield
    except runtime.ModelError as error:
        raise CheckpointError(str(error), fix="export again") from error
    except (ValueError, OSError) as error:
        cause = error.__cause__
        limit = isinstance(cause, runtime.OutsideLimitError) and cause.option == "max_pixels"
        raise DataError(str(error), fix="use a smaller image, or raise --max-pixels" if limit else fix) from error
