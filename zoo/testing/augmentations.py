"""Whether an augmentation changes images by its draws alone, and leaves them images."""

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
"""By which values of 0–255 may differ where the same image is in another batch."""
SLACK = 1e-3
"""By which rounding may take a value beyond 0–255."""
IGNORE = 255


def augmentation_findings(_catalogue: Registry, item: Item[Any]) -> Iterator[Finding]:
    """On grey and RGB images, uint8 and float; the first of these that shows a fault."""
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
        text = f"{item.spec.target} gives {type(augmentation).__name__}, where a zoo.api.Augmentation is due"
        yield Finding("build", text)
        return
    count: object = augmentation.draws
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        yield Finding("build", f"draws is {count!r}, where a number of random numbers is due")
        return
    mean = [0.5] * images.shape[1]
    kept = images.clone()
    augmentation.fit(images, mean)
    if not torch.equal(images, kept) or mean != [0.5] * images.shape[1]:
        yield Finding("arguments", "fit changes its arguments")
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
            yield Finding("arguments", "geometry changes its arguments")
        if maps is not None and not (isinstance(maps, Tensor) and maps.shape == (len(self.images), 2, 3)):
            got = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
            yield Finding("geometry", f"geometry gives {got}, where float32 {(len(self.images), 2, 3)} is due")
            return
        if isinstance(maps, Tensor) and (maps.dtype != torch.float32 or not bool(maps.isfinite().all())):
            yield Finding("geometry", f"geometry gives {maps.dtype}, where finite float32 numbers are due")
            return
        if (self.augmentation.geometry(self.others, self.sizes) is None) != (maps is None):
            yield Finding("geometry", "whether it has a geometry depends on the draws: it must on its options alone")
        images = self.augmentation.pixels(self.images.clone(), self.draws)  # what is moved is changed first
        moved = list(self._image_findings("resample", self.augmentation.resample, images, must=False))
        yield from (Finding("geometry" if check == "pixels" else check, text) for check, text in moved)
        if maps is None and self.augmentation.resample(images.clone(), self.draws) is not None:
            yield Finding("geometry", "it has resample, and no geometry, by which masks are moved")

    def _image_findings(
        self, name: str, method: Callable[[Tensor, Tensor], Tensor | None], given: Tensor, *, must: bool
    ) -> Iterator[Finding]:
        images, draws = given.clone(), self.draws.clone()
        found: object = method(images, draws)
        if not (torch.equal(images, given) and torch.equal(draws, self.draws)):
            yield Finding("arguments", f"{name} changes its arguments")
        if found is None and not must:
            return
        if not isinstance(found, Tensor) or found.shape != images.shape:
            got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            yield Finding("pixels", f"{name} gives {got}, where images {tuple(images.shape)} are due")
        elif not bool(((found >= -SLACK) & (found <= 255 + SLACK)).all()):
            low, high = float(found.min()), float(found.max())
            yield Finding("pixels", f"{name} gives values from {low:.4g} to {high:.4g}, where 0 to 255 are due")

    def draw_findings(self) -> Iterator[Finding]:
        """All methods together, as the trainer calls them."""
        torch.manual_seed(0)
        first = self._changed(self.images, self.draws)
        with other_generators():
            torch.manual_seed(OTHER_SEED)
            again = self._changed(self.images, self.draws)
        if not torch.equal(first, again):
            yield Finding("draws", "the same draws change the same images otherwise a second time")
            return
        alone = self._changed(self.images[3:5], self.draws[3:5])
        if not torch.allclose(alone.float(), first[3:5].float(), rtol=0, atol=CLOSE):
            yield Finding("draws", "what becomes of an image depends on the others of its batch")
        if self.augmentation.draws and torch.equal(self._changed(self.images, self.others), first):
            yield Finding("draws", f"it asks for {self.augmentation.draws} draws, and other draws change nothing")

    def _changed(self, images: Tensor, draws: Tensor) -> Tensor:
        return apply(self.augmentation, images.clone(), None, draws.clone(), IGNORE)[0]
