"""Open what gives a vector for each image: an embedding (a run or an exported model), or the features of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo.workflows.open_predictor import Predictor, open_predictor

EMBEDDING = {"kind": "vector", "decision": {"kind": "embedding", "gallery": None}}


def open_embedder(
    target: str | Path, *, weights: str | None = None, weights_key: str | None = None, provider: str = "cpu"
) -> Predictor:
    """Open a model as `open_predictor` does, with L2-normalised vectors as its predictions.

    If its decision is not an embedding, its vectors are the features of its network: its output without the head.
    Raises UsageError for an exported file, whose head cannot be removed, and for a network without a known head.
    """
    found = open_predictor(target, weights=weights, weights_key=weights_key, provider=provider)
    embedding = found.decision["kind"] == "embedding"
    if not embedding:
        if found.network is None:
            raise UsageError(
                f"this exported file gives a {found.decision['kind']} prediction, and its features are not an output",
                where=target,
                fix="use the run that it was exported from, or export a run of an embedding",
            )
        model, head = found.network
        if head is None:
            raise UsageError(
                "the spec of this architecture does not name its head, so its features are unknown",
                where=target,
                fix="choose another architecture (see `zoo list architectures`)",
            )
        from zoo.models.named_outputs import remove_head

        remove_head(model, head)
    output: dict[str, Any] = EMBEDDING | ({"kind": found.description["output"]["kind"]} if embedding else {})
    return found._replace(description={**found.description, "output": output})


def identity_of(embedder: Predictor) -> str:
    """Return a sha256 that is equal for equal vectors of the same images: of the weights and the preprocessing."""
    spec = {name: value for name, value in embedder.spec.items() if name not in ("max_pixels", "batch", "steps")}
    plain = {"input": spec, "output": embedder.description["output"]}
    return embedder._replace(description=plain).identity()
