"""What a frozen backbone makes of each image, computed once and kept: later epochs, and later runs, pay for the rest
of the network alone.

Kept in the cache (`zoo.data.dataset_cache`) under a digest of all it depends on: the backbone's operations and weights,
the inputs as the network gets them, and the precision. So a run that changes the learning rate, the seed or the head
finds its features there already.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import Batch, Part
from zoo.config.run_config import TrainConfig
from zoo.data import dataset_cache
from zoo.data.data_loader import AnyPart, Data
from zoo.data.loaded_part import RESIDENT_BYTES, Augment
from zoo.registry.lookup import Registry
from zoo.support.formatting import size
from zoo.support.progress import tracked
from zoo.training.backbone_pass import Chosen, fastest_pass
from zoo.training.devices import Engine
from zoo.training.split_point import SplitPoint, find_split_point

KEPT: tuple[Part, ...] = ("train", "val")
"""The parts that every epoch looks at. The test split is evaluated once, by the network itself."""
LARGEST = 4
"""Largest ratio of an image's features to its own floats: beyond, to read them costs as much as to compute them."""
PROBE = 8
"""Images that ways to run the backbone are tried on."""
PASS_BATCH = 16
"""Images at a time on the CPU, where more are no faster."""
SAY_FROM_SECONDS = 5.0


class FeaturePart:
    """One part as a backbone's features, float32 (N, …); what the trainer and a task need of a part."""

    def __init__(self, part: AnyPart, features: np.ndarray) -> None:
        tensor = torch.from_numpy(features)
        self._features = tensor.to(part.device) if tensor.nbytes <= RESIDENT_BYTES else tensor
        targets = part.targets
        self._targets = None if targets is None else torch.from_numpy(targets).to(self._features.device)
        self.device, self.names, self.targets = part.device, part.names, targets
        self.targets_of, self.images_of = part.targets_of, part.images_of
        self._part = part

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        return self._part.raw_images

    def __len__(self) -> int:
        return len(self._features)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in order."""
        return self.batches_of(np.arange(len(self)), batch_size)

    def batches_of(
        self, indices: np.ndarray, batch_size: int, first: int = 0, augment: Augment | None = None
    ) -> Iterator[Batch]:
        """Batches of ``indices``, in their order, from batch ``first`` on; copies, since a network may work in
        place."""
        if augment is not None:
            raise TypeError("features cannot be augmented")
        for rows in torch.from_numpy(np.ascontiguousarray(indices)).split(batch_size)[first:]:  # type: ignore[no-untyped-call]
            here = rows.to(self._features.device)
            targets = None if self._targets is None else self._targets[here].to(self.device)
            yield Batch(self._features.index_select(0, here).to(self.device), targets, rows.to(self.device))


@dataclass
class Features:
    """The parts of the data as features, and the rest of the network, which takes them.

    ``engine`` says what computed them.
    """

    parts: Mapping[Part, FeaturePart]
    head_of: Callable[[nn.Module], nn.Module]
    engine: str


def keep_features(
    train: TrainConfig,
    model: nn.Module,
    data: Data,
    engine: Engine,
    catalogue: Registry,
    head: str | None,
    train_mode: Callable[[nn.Module], None],
    note: Callable[[str], None],
) -> Features | None:
    """The features of ``data``'s parts before what ``model`` learns, or None, with a note where that may surprise.

    ``train_mode`` puts the model into the mode it is trained in; ``head`` names the module that gives its logits, where
    that is known.
    """
    if not train.cache_features or all(parameter.requires_grad for parameter in model.parameters()):
        return None
    changing = [name for name in ("augment", "mixup", "cutmix") if getattr(train, name)]
    if changing:
        note(f"note: the frozen layers are run in every epoch, since train.{changing[0]} changes the images")
        return None
    model.to(engine.device, memory_format=engine.memory_format)  # type: ignore[call-overload]
    point = find_split_point(model, _example(data), head, train_mode)
    if point is None:
        note("note: the frozen layers are run in every epoch: nothing before what learns is the same each time")
        return None
    shape = point.shape
    if int(np.prod(shape)) > LARGEST * int(np.prod(data.preprocessing.shape)):
        note(
            f"note: the frozen layers are run in every epoch: what {point.layer} gives is too large to keep "
            f"({'×'.join(map(str, shape))} an image)"
        )
        return None
    wanted = {name: data.parts[name] for name in KEPT if name in data.parts}
    needed = 4 * int(np.prod(shape)) * sum(map(len, wanted.values()))
    if needed > dataset_cache.limit():
        note(
            f"note: the frozen layers are run in every epoch: what {point.layer} gives would take {size(needed)} (see "
            "ZOO_CACHE_LIMIT)"
        )
        return None
    return _computed(point, shape, wanted, data.name, engine, catalogue, note)


def _computed(
    point: SplitPoint,
    shape: tuple[int, ...],
    wanted: Mapping[Part, AnyPart],
    name: str,
    engine: Engine,
    catalogue: Registry,
    note: Callable[[str], None],
) -> Features:
    """The features of each part from the cache; what is not there is computed, by one pass for all of it."""
    backbone_digest = _digest_of(point, engine)
    keys = {
        part: hashlib.blake2b(f"{backbone_digest} {view.content}".encode(), digest_size=16).hexdigest()
        for part, view in wanted.items()
    }
    missing = sum(len(view) for part, view in wanted.items() if not dataset_cache.described(keys[part]))
    batch = PASS_BATCH if engine.device.type == "cpu" else 4 * PASS_BATCH
    parts, engines, how = {}, [], "found in the cache"
    with ExitStack() as opened:

        @functools.cache
        def chosen() -> Chosen:
            first = next(wanted["train"].batches(min(PROBE, len(wanted["train"])))).inputs
            return opened.enter_context(fastest_pass(point.backbone, first, missing, engine, catalogue))

        for part, view in wanted.items():
            facts: dict[str, Any] = {
                "dataset": name,
                "part": part,
                "features": "×".join(map(str, shape)),
                "of": point.layer,
            }
            fill = partial(_write_features, chosen, view, batch, facts)
            parts[part] = FeaturePart(
                view, dataset_cache.open_or_build(keys[part], (len(view), *shape), facts, fill, np.float32)
            )
            engines.append(str(dataset_cache.described(keys[part]).get("by")))
            if "by" in facts:
                how = f"computed {chosen().told}"
    values = f"{int(np.prod(shape)):,} values an image"
    note(f"frozen layers: what {point.layer} gives ({values}) is kept for {' and '.join(parts)}, {how}")
    return Features(parts, point.head_of, " and ".join(dict.fromkeys(engines)))


def _write_features(
    chosen: Callable[[], Chosen], view: AnyPart, batch: int, facts: dict[str, Any], array: np.memmap[Any, Any]
) -> None:
    """Compute a part's features into ``array``, and add to ``facts`` by what."""
    way, _, seconds = chosen()
    facts["by"] = way.name
    starts: Iterable[int] = range(0, len(view), batch)
    if seconds > SAY_FROM_SECONDS:
        starts = tracked(
            range(0, len(view), batch), f"running the frozen layers over {len(view):,} images, once, by {way.name}"
        )
    with torch.no_grad():
        for start, images in zip(starts, view.batches(batch), strict=True):
            array[start : start + batch] = way.run(images.inputs).cpu().numpy()


def _example(data: Data) -> Tensor:
    """Three different images (3, C, H, W): the first of train, and changed copies where there are fewer."""
    train = data.part("train")
    first = next(train.batches(min(3, len(train)))).inputs
    while len(first) < 3:
        first = torch.cat([first, first[-1:].flip(-1) + 0.5])
    return first


def _digest_of(point: SplitPoint, engine: Engine) -> str:
    """Of a backbone's operations and weights, and the precision it is run in."""
    operations = getattr(point.backbone, "code", point.backbone)
    known = f"{operations} {point.layer} {engine.autocast} {engine.device.type}"
    digest = hashlib.blake2b(known.encode(), digest_size=32)
    for name, tensor in point.backbone.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
