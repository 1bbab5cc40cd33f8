"""Files of vectors with names, as safetensors that `zoo.runtime.read_gallery` reads: galleries and indexes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from safetensors.numpy import save

from zoo.runtime import normalise_rows
from zoo.support.formatting import without_surrogates


def gallery_bytes(
    vectors: np.ndarray, names: Sequence[str], labels: Sequence[str], more: Mapping[str, str] | None = None
) -> bytes:
    """Return the file for vectors (N, D), which are stored L2-normalised, as float32; ``more`` is further metadata."""
    unit = np.ascontiguousarray(normalise_rows(vectors), np.float32)
    told = {
        "names": json.dumps([without_surrogates(name) for name in names], ensure_ascii=False),
        "labels": json.dumps(list(labels), ensure_ascii=False),
        **(more or {}),
    }
    return bytes(save({"vectors": unit}, told))
