"""Checks of augmentations: valid images as results, and no randomness but the draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from zoo.api import Augmentation
from zoo.data.augmentation import apply
from zoo.registry.lookup import Item, Registry, load_object, options_model
from zoo.testing.faults import Finding, guarded
from zoo.testing.fixtures import OTHER_SEED, other_generators

SAMPLES, HEIGHT, WIDTH = 12, 18, 24
CLOSE = 1e-2
"""Tolerance between results for the same image in different batches, for values from 0 to 255."""
SLACK = 1e-3
"""Tolerance for values outside 0 to 255, and between matrices and boxes."""
IGNORE = 255


def augmentation_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    """Check with grayscale and RGB images, uint8 and float32; stop at the first combination with a fault."""
    generator = torch.Generator().manual_seed(0)
    for channels in (1, 3):
        images = torch.randint(0, 256, (SAMPLES, channels, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
        for given in (images, images.float()):
            with torch.random.fork_rng(devices=[]):
                found = list(guarded("build", _findings(item, images, given, generator)))
            if found:
                kind = "uint8" if given is images else "float32"
                yield from (
                    Finding(check, f"{text} (images {channels}×{HEIGHT}×{WIDTH}, {kind})") for check, text in found
                )
                return


def _findings(item: Item[Any], images: Tensor, given: Tensor, generator: torch.Generator) -> Iterator[Finding]:
    augmentation = load_object(item.spec.target, item)(options_model(item)())
    if not isinstance(augmentation, Augmentation):
        text = f"{item.spec.target} returns {type(augmentation).__name__}, expected zoo.api.Augmentation"
        yield Finding("build", text)
        return
    count: object = augmentation.draws
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        yield Finding("build", f"draws is {count!r}, expected an integer of at least 0")
        return
    mean = [0.5] * images.shape[1]
    kept = images.clone()
    augmentation.fit(images, mean)
    if not torch.equal(images, kept) or mean != [0.5] * images.shape[1]:
        yield Finding("arguments", "fit modifies its arguments")
        return
    trial = Trial(augmentation, given, generator)
    found = [*guarded("pixels", trial.pixel_findings()), *guarded("geometry", trial.geometry_findings())]
    yield from found or guarded("draws", trial.draw_findings())


class Trial:
    """A fitted augmentation, with images and two sets of draws for them."""

    def __init__(self, augmentation: Augmentation[Any], images: Tensor, generator: torch.Generator) -> None:
        self.augmentation, self.images = augmentation, images
        self.draws, self.others = (torch.rand(len(images), augmentation.draws, generator=generator) for _ in range(2))
        self.sizes = torch.tensor([HEIGHT, WIDTH], dtype=torch.float32).expand(len(images), 2).clone()

    def pixel_findings(self) -> Iterator[Finding]:
        yield from self._image_findings("pixels", self.augmentation.pixels, self.images, must=True)

    def geometry_findings(self) -> Iterator[Finding]:
        arguments = self.draws.clone(), self.sizes.clone()
        maps: object = self.augmentation.geometry(*arguments)
        if not (torch.equal(arguments[0], self.draws) and torch.equal(arguments[1], self.sizes)):
            yield Finding("arguments", "geometry modifies its arguments")
        if maps is not None and not (isinstance(maps, Tensor) and maps.shape == (len(self.images), 2, 3)):
            got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            yield Finding("geometry", f"geometry returns {got}, expected float32 {(len(self.images), 2, 3)}")
            return
        if isinstance(maps, Tensor) and (maps.dtype != torch.float32 or not bool(maps.isfinite().all())):
            yield Finding("geometry", f"geometry returns {maps.dtype}, expected finite float32 values")
            return
        if (self.augmentation.geometry(self.others, self.sizes) is None) != (maps is None):
            yield Finding(
                "geometry",
                "geometry returns None for some draws only: that may depend on the options, not on the draws",
            )
        yield from self._box_findings(maps)
        images = self.augmentation.pixels(self.images.clone(), self.draws)  # pixels comes first
        moved = list(self._image_findings("resample", self.augmentation.resample, images, must=False))
        yield from (Finding("geometry" if check == "pixels" else check, text) for check, text in moved)
        if maps is None and self.augmentation.resample(images.clone(), self.draws) is not None:
            yield Finding("geometry", "it has resample but no geometry, which masks need")

    def _box_findings(self, maps: Tensor | None) -> Iterator[Finding]:
        """Check that the boxes, if any, are those that the matrices scale to the whole image."""
        boxes: object = self.augmentation.boxes(self.draws.clone(), self.sizes.clone())
        if (self.augmentation.boxes(self.others, self.sizes) is None) != (boxes is None):
            yield Finding("geometry", "boxes returns None for some draws only: that may depend on the options")
        elif boxes is not None and not (isinstance(boxes, Tensor) and boxes.shape == (len(self.images), 4)):
            got = tuple(boxes.shape) if isinstance(boxes, Tensor) else type(boxes).__name__
            yield Finding("geometry", f"boxes returns {got}, expected float32 {(len(self.images), 4)}")
        elif isinstance(boxes, Tensor) and (
            maps is None or not torch.allclose(_maps_of(boxes, self.sizes), maps, rtol=0, atol=SLACK)
        ):
            yield Finding("geometry", "boxes returns other parts of the images than geometry")

    def _image_findings(
        self, name: str, method: Callable[[Tensor, Tensor], Tensor | None], given: Tensor, *, must: bool
    ) -> Iterator[Finding]:
        images, draws = given.clone(), self.draws.clone()
        found: object = method(images, draws)
        if not (torch.equal(images, given) and torch.equal(draws, self.draws)):
            yield Finding("arguments", f"{name} modifies its arguments")
        if found is None and not must:
            return
        if not isinstance(found, Tensor) or found.shape != images.shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            yield Finding("pixels", f"{name} returns {got}, expected images {tuple(images.shape)}")
        elif not bool(((found >= -SLACK) & (found <= 255 + SLACK)).all()):
            low, high = float(found.min()), float(found.max())
            yield Finding("pixels", f"{name} returns values from {low:.4g} to {high:.4g}, expected 0 to 255")

    def draw_findings(self) -> Iterator[Finding]:
        """Check all methods together, as the trainer calls them."""
        torch.manual_seed(0)
        first = self._changed(self.images, self.draws)
        with other_generators():
            torch.manual_seed(OTHER_SEED)
            again = self._changed(self.images, self.draws)
        if not torch.equal(first, again):
            yield Finding("draws", "the same images and draws give different results the second time")
            return
        alone = self._changed(self.images[3:5], self.draws[3:5])
        if not torch.allclose(alone.float(), first[3:5].float(), rtol=0, atol=CLOSE):
            yield Finding("draws", "the result for an image depends on the other images of its batch")
        if self.augmentation.draws and torch.equal(self._changed(self.images, self.others), first):
            yield Finding("draws", f"draws is {self.augmentation.draws}, but the result does not depend on the draws")

    def _changed(self, images: Tensor, draws: Tensor) -> Tensor:
        return apply(self.augmentation, images.clone(), None, draws.clone(), IGNORE)[0]


def _maps_of(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Return the matrices (N, 2, 3) that scale ``boxes`` (N, 4) to whole images of ``sizes`` (N, 2)."""
    left, top, wide, high = boxes.unbind(1)
    height, width = sizes.unbind(1)
    zero = torch.zeros_like(left)
    entries = [wide / width, zero, left + (wide - width) / 2, zero, high / height, top + (high - height) / 2]
    return torch.stack(entries, 1).view(-1, 2, 3)
