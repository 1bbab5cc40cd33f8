"""Datasets as plugins open them, and what a task sees of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from zoo.contract.specs import DatasetSpec
from zoo.contract.targets import Outputs, Target

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Part = Literal["train", "val", "test", "predict"]
"""What a split is for.

``train`` is learned from; ``val`` selects the best checkpoint and fits the decision; ``test`` gives the figure, and
nothing is selected on it; ``predict`` has no targets.
"""


class SampleSource(ABC):
    """Any number of samples, generated or fetched on demand: only those of the batches in use are in memory."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def images(self, indices: np.ndarray) -> np.ndarray | Sequence[np.ndarray]:
        """The images of these samples, int64 (n,): uint8 (n, C, H, W), or n of (C, h, w) where sizes differ.

        It may be called by several threads at once.
        """

    @abstractmethod
    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        """Their targets, as `Split.targets` has them; None for a split without."""


@dataclass(frozen=True)
class Split:
    """The samples of a split.

    ``images`` is a uint8 array (N, C, H, W), a list of N image files, or a `SampleSource`. Files may differ in size:
    zoo decodes each once, to the network's input size, into a cache. ``targets`` is an array (N, …) of the `Target`'s
    dtype and shape, or a list of N mask files; None without targets, and with a `SampleSource`, which gives its own.
    ``names`` has a name for each sample; the default is its index.
    """

    images: np.ndarray | Sequence[Path] | SampleSource
    targets: np.ndarray | Sequence[Path] | None = None
    names: Sequence[str] | None = None


class Dataset(ABC):
    """An opened dataset."""

    @property
    def target(self) -> Target | None:
        """What the answers of its samples are. None, the default: one of the classes that its spec names; and none at
        all where the spec says that there is none."""
        return None

    @property
    @abstractmethod
    def parts(self) -> Mapping[Part, str]:
        """Which of its splits serves which purpose, such as ``{"train": "train", "test": "test"}``."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the content: equal where a run would see the same images and targets."""

    @abstractmethod
    def load(self, split: str) -> Split: ...


class DatasetStore(Protocol):
    """What zoo hands to a dataset: the data folder, and the files of its spec, found there or downloaded after saying
    so."""

    @property
    def root(self) -> Path: ...

    def files(self, spec: DatasetSpec) -> Mapping[str, Path]:
        """Path by `FileSpec.path`. Raises DataError naming all that is missing where there is no network."""
        ...

    def unpack(self, archive: Path) -> Path:
        """The folder with what is in an archive of images (.zip, .tar.*, .rar), unpacked once into the cache.

        Raises DataError.
        """
        ...

    def digest(self, path: Path) -> str:
        """The sha256 of any file, remembered for as long as its size and time of change stay."""
        ...

    def note(self, text: str) -> None:
        """Record one line worth knowing about the data; the run prints it."""
        ...


class Batch(NamedTuple):
    """``inputs`` float32 (B, C, H, W), normalised; ``targets`` (B, …) of the `Target`'s dtype, or None; ``indices``
    int64 (B,) into the part; ``teacher``: the outputs of a teacher on the same images, where there is one.

    All on the device.
    """

    inputs: Tensor
    targets: Tensor | None
    indices: Tensor
    teacher: Outputs | None = None


class PartView(Protocol):
    """One part of the data, ready for a network."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def targets(self) -> np.ndarray | None:
        """(N, …) of the `Target`'s dtype, or None where the part has none."""
        ...

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        """Those of some samples, (n, …); of a part that is made on demand, the others are not fetched."""
        ...

    def __len__(self) -> int: ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Every sample once, in order."""
        ...

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        """The first images (20 of them) as the dataset has them, uint8 (C, h, w), of any size."""
        ...

    def images_of(self, indices: Iterable[int]) -> np.ndarray:
        """uint8 (n, H, W, C), as the network sees them but before normalisation, for people to look at."""
        ...


class DataView(Protocol):
    """The data of a run, ready for a network."""

    @property
    def target(self) -> Target: ...

    @property
    def parts(self) -> Mapping[Part, PartView]: ...
