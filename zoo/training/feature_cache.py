"""Cached features of a frozen backbone: computed once per image, so that later epochs and runs compute only the head.

The cache (`zoo.data.dataset_cache`) is keyed by a digest of all they depend on: the backbone's operations and weights,
the network's inputs, and the precision. A run with another learning rate, seed or head uses the same features.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.api import Batch, Part, PartView
from zoo.config.run_config import TrainConfig
from zoo.data import dataset_cache
from zoo.data.data_loader import AnyPart, Data
from zoo.data.loaded_part import RESIDENT_BYTES, Augment
from zoo.data.to_device import to_device
from zoo.registry.lookup import Registry
from zoo.support.formatting import enumerated, size
from zoo.support.progress import tracked
from zoo.training.backbone_pass import Chosen, fastest_pass
from zoo.training.devices import Engine
from zoo.training.fast_dropout import use_fast_dropout
from zoo.training.split_point import Rest, SplitPoint, find_split_point, operations_of

KEPT: tuple[Part, ...] = ("train", "val")
"""The splits that are used in every epoch."""
LARGEST = 4
"""The maximum size of an image's features relative to the image; reading larger ones takes as long as computing
them."""
PROBE = 8
"""The number of images for timing the candidates."""
PASS_BATCH = 16
"""The batch size on the CPU, where larger ones are not faster."""
SAY_FROM_SECONDS = 5.0


class FeaturePart:
    """A split as features of a backbone, float32 (N, …), with the interface that the trainer and a task use.

    With ``channels_last``, ``features`` are (N, H, W, C), and batches are (N, C, H, W) in that memory format.
    """

    def __init__(self, part: AnyPart, features: np.ndarray, *, channels_last: bool = False) -> None:
        self._channels_last = channels_last
        tensor = torch.from_numpy(features)
        self._features = tensor.to(part.device) if tensor.nbytes <= RESIDENT_BYTES else tensor
        targets = part.targets
        self._targets = None if targets is None else torch.from_numpy(targets).to(self._features.device)
        self.device, self.names, self.targets = part.device, part.names, targets
        self.targets_of, self.images_of = part.targets_of, part.images_of
        self.view = part

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        return self.view.raw_images

    def __len__(self) -> int:
        return len(self._features)

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in order."""
        return self.batches_of(np.arange(len(self)), batch_size)

    def batches_of(
        self, indices: np.ndarray, batch_size: int, first: int = 0, augment: Augment | None = None
    ) -> Iterator[Batch]:
        """Yield batches of ``indices``, in order, from batch ``first``; copies, because a network may modify them in
        place."""
        if augment is not None:
            raise TypeError("features cannot be augmented")
        for rows in torch.from_numpy(np.ascontiguousarray(indices)).split(batch_size)[first:]:  # type: ignore[no-untyped-call]
            here = to_device(rows, self._features.device)
            targets = None if self._targets is None else to_device(self._targets[here], self.device)
            found = to_device(self._features.index_select(0, here), self.device)
            yield Batch(found.movedim(3, 1) if self._channels_last else found, targets, to_device(rows, self.device))


@dataclass
class Features:
    """The splits as features, and the head of the network. ``engine`` names what computed them, and ``dropout`` the
    generator of the head's masks, if it is not torch's."""

    parts: Mapping[Part, FeaturePart]
    head_of: Callable[[nn.Module], nn.Module]
    engine: str
    dropout: str | None = None

    def of(self, view: PartView) -> FeaturePart | None:
        """Return the features of a split, or None if they are not kept."""
        return next((part for part in self.parts.values() if part.view is view), None)


def keep_features(
    train: TrainConfig,
    model: nn.Module,
    data: Data,
    engine: Engine,
    catalogue: Registry,
    head: str | None,
    train_mode: Callable[[nn.Module], None],
    note: Callable[[str], None],
    evaluated: Collection[Part] = (),
) -> Features | None:
    """Return the features of ``data`` at the split point of ``model``, or None, with a note if the reason is not
    obvious.

    ``train_mode`` sets the model's training mode; ``head`` names the module that computes its main output, or is None.
    ``evaluated`` are further splits, whose features are kept as far as the cache has room.
    """
    if not train.cache_features or all(parameter.requires_grad for parameter in model.parameters()):
        return None
    changing = [name for name in ("augment", "mixup", "cutmix") if getattr(train, name)]
    if changing:
        note(f"note: features of frozen layers are not cached: train.{changing[0]} changes the images in every epoch")
        return None
    model.to(engine.device, memory_format=engine.memory_format)  # type: ignore[call-overload]
    point = find_split_point(model, example(data), head, train_mode)
    if point is None:
        note("note: features of frozen layers are not cached: no layer before the trained ones has a constant output")
        return None
    shape = point.shape
    if int(np.prod(shape)) > LARGEST * int(np.prod(data.preprocessing.shape)):
        note(
            f"note: features of frozen layers are not cached: the output of {point.layer} is too large "
            f"({'×'.join(map(str, shape))} per image)"
        )
        return None
    wanted = {name: data.parts[name] for name in KEPT if name in data.parts}
    each = 4 * int(np.prod(shape))
    needed = each * sum(map(len, wanted.values()))
    if needed > dataset_cache.limit():
        note(
            f"note: features of frozen layers are not cached: the output of {point.layer} would need {size(needed)} "
            "(see ZOO_CACHE_LIMIT)"
        )
        return None
    for name in (name for name in evaluated if name not in wanted):
        needed += each * len(data.parts[name])
        if needed <= dataset_cache.limit():
            wanted[name] = data.parts[name]
    found = features_at(point, wanted, data.name, engine, catalogue, note)
    if engine.device.type == "cpu" and not train.compile and _dropouts(point.head_of(model)):
        found.head_of, found.dropout = partial(_with_fast_dropout, point.head_of), "Philox"
    return found


def _with_fast_dropout(head_of: Callable[[nn.Module], nn.Module], network: nn.Module) -> nn.Module:
    head = head_of(network)
    _dropouts(head)
    return head


def _dropouts(head: nn.Module) -> int:
    """Replace the dropouts of a traced head, and return their number."""
    return use_fast_dropout(head.training_graph) if isinstance(head, Rest) else 0


def features_at(
    point: SplitPoint,
    wanted: Mapping[Part, AnyPart],
    name: str,
    engine: Engine,
    catalogue: Registry,
    note: Callable[[str], None],
) -> Features:
    """Return the features of each split from the cache; missing ones are computed, with the same pass for all."""
    shape = point.shape
    channels_last = len(shape) == 3 and engine.memory_format == torch.channels_last
    stored = (*shape[1:], shape[0]) if channels_last else shape
    backbone_digest = digest_of(point, engine) + (" channels last" if channels_last else "")
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
            fill = partial(_write_features, chosen, view, batch, facts, channels_last)
            array = dataset_cache.open_or_build(keys[part], (len(view), *stored), facts, fill, np.float32)
            parts[part] = FeaturePart(view, array, channels_last=channels_last)
            engines.append(str(dataset_cache.described(keys[part]).get("by")))
            if "by" in facts:
                how = f"computed {chosen().told}"
    values = f"{int(np.prod(shape)):,} values per image"
    named = enumerated(parts)
    note(f"frozen layers: the output of {point.layer} ({values}) is cached for {named}, {how}")
    return Features(parts, point.head_of, " and ".join(dict.fromkeys(engines)))


def _write_features(
    chosen: Callable[[], Chosen],
    view: AnyPart,
    batch: int,
    facts: dict[str, Any],
    channels_last: bool,
    array: np.memmap[Any, Any],
) -> None:
    """Compute the features of a split into ``array``, and add the engine to ``facts``."""
    way, _, seconds = chosen()
    facts["by"] = way.name
    starts: Iterable[int] = range(0, len(view), batch)
    if seconds > SAY_FROM_SECONDS:
        starts = tracked(
            range(0, len(view), batch),
            f"computing features of frozen layers for {len(view):,} images, once, by {way.text}",
        )
    with torch.no_grad():
        for start, images in zip(starts, view.batches(batch), strict=True):
            found = way.run(images.inputs)
            array[start : start + batch] = (found.movedim(1, 3) if channels_last else found).cpu().numpy()


def example(data: Data) -> Tensor:
    """Return three different images (3, C, H, W): the first of train, and modified copies if there are fewer."""
    train = data.part("train")
    first = next(train.batches(min(3, len(train)))).inputs
    while len(first) < 3:
        first = torch.cat([first, first[-1:].flip(-1) + 0.5])
    return first


def digest_of(point: SplitPoint, engine: Engine) -> str:
    """Return the digest of a backbone's operations and weights, and of the precision."""
    known = f"{operations_of(point.backbone)} {point.layer} {engine.autocast} {engine.device.type}"
    digest = hashlib.blake2b(known.encode(), digest_size=32)
    for name, tensor in point.backbone.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
