"""`zoo.open_data`: open a dataset, ready to be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from zoo.api import Target, TargetKind
from zoo.data.data_loader import Data
from zoo.data.data_loader import open_data as opened
from zoo.registry.lookup import registry
from zoo.runs.python_objects import register_data
from zoo.runs.resolve_config import dataset_section


def open_data(
    data: Any,
    *,
    splits: Sequence[str] | None = None,
    target: TargetKind | Target | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    **options: Any,
) -> Data:
    """Open a dataset by name (``"digits"``, ``"folder:PATH"``), or arrays, tensors and torch Datasets as `zoo.run`
    takes them (then with ``target`` and ``names``).

    ``splits`` limits what is loaded: train, val, test, predict. ``options`` are keys of the section ``dataset``, such
    as ``resize=28`` or ``val_fraction=0.1``, which is drawn by ``seed``.

    The result has ``target``, ``classes``, ``samples``, ``fingerprint`` and ``parts``; a part has ``targets``,
    ``names``, ``images_of(indices)``, uint8 (n, H, W, C), and ``batches(batch_size)`` with normalised inputs, float32
    (B, C, H, W). Missing files are downloaded.

    Raises UsageError for a name or split that does not exist, DataError for missing or invalid files.
    """
    catalogue = registry()
    name = data if isinstance(data, str) else register_data(catalogue, data, target=target, names=names).canonical
    section = dataset_section(catalogue, name, **options)
    return opened(catalogue, section, torch.device("cpu"), parts=splits, seed=seed)
