"""Datasets as plugins open them, and the data that a task receives."""

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
"""The purpose of a split.

``train`` is for training. ``val`` selects the best checkpoint and fits the decision. ``test`` gives the reported
metrics; nothing is selected on it. ``predict`` has no targets.
"""


class SampleSource(ABC):
    """Samples that are generated or fetched on demand, so that only the current batches are in memory."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def images(self, indices: np.ndarray) -> np.ndarray | Sequence[np.ndarray]:
        """Return the images of the samples ``indices``, int64 (n,): uint8 (n, C, H, W), or n of (C, h, w) if sizes
        differ.

        May be called from several threads at once.
        """

    @abstractmethod
    def targets(self, indices: np.ndarray) -> np.ndarray | None:
        """Return the targets of the samples, as in `Split.targets`; None for a split without targets."""


@dataclass(frozen=True)
class Split:
    """The samples of a split.

    ``images`` is a uint8 array (N, C, H, W), a list of N image files, or a `SampleSource`. Files may differ in size:
    zoo decodes each once, to the network's input size, into a cache. ``targets`` is an array (N, …) of the `Target`'s
    dtype and shape, or a list of N mask files. It is None for a split without targets, and for a `SampleSource`, which
    provides its own. ``names`` has a name for each sample; the default is its index. ``groups`` has an integer for each
    sample, int64 (N,): samples of the same group (near-duplicates, images of the same patient) are never divided
    between train and the validation split that ``dataset.val_fraction`` takes from it.
    """

    images: np.ndarray | Sequence[Path] | SampleSource
    targets: np.ndarray | Sequence[Path] | None = None
    names: Sequence[str] | None = None
    groups: np.ndarray | None = None


class Dataset(ABC):
    """Base class of an opened dataset."""

    @property
    def target(self) -> Target | None:
        """The target of the samples. None, the default, means `Classes` with the classes of the spec, or `NoTarget` if
        the spec's ``targets`` are ``("none",)``."""
        return None

    @property
    @abstractmethod
    def parts(self) -> Mapping[Part, str]:
        """The name of the split for each purpose, such as ``{"train": "train", "test": "test"}``."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """A digest of the content: equal for the same images and targets, different otherwise."""

    @abstractmethod
    def load(self, split: str) -> Split:
        """Return the samples of the split named ``split``, one of the values of `parts`."""


class DatasetStore(Protocol):
    """The data folder, and the files of a dataset's spec. Missing files are downloaded; zoo first prints source, size
    and licence."""

    @property
    def root(self) -> Path: ...

    def files(self, spec: DatasetSpec) -> Mapping[str, Path]:
        """Return the path of each file by its `FileSpec.path`, and download missing ones.

        Raises DataError with all missing files if they cannot be downloaded.
        """
        ...

    def unpack(self, archive: Path) -> Path:
        """Unpack an archive of images (.zip, .tar.*, .rar) into the cache, once, and return the folder.

        Raises DataError if the archive is damaged or unsafe.
        """
        ...

    def digest(self, path: Path) -> str:
        """Return the sha256 of a file. It is cached while the file's size and modification time stay the same."""
        ...

    def note(self, text: str) -> None:
        """Record a note about the data, one line; the run prints it."""
        ...


class Batch(NamedTuple):
    """A batch of samples, on the device.

    ``inputs``: float32 (B, C, H, W), normalised. ``targets``: (B, …) of the `Target`'s dtype, or None. ``indices``:
    int64 (B,), the samples' indices in the split. ``teacher``: the teacher's outputs for the same images, or None.
    """

    inputs: Tensor
    targets: Tensor | None
    indices: Tensor
    teacher: Outputs | None = None


class PartView(Protocol):
    """One split of the data, preprocessed for a network."""

    @property
    def names(self) -> Sequence[str]: ...

    @property
    def targets(self) -> np.ndarray | None:
        """(N, …) of the `Target`'s dtype, or None if the split has no targets."""
        ...

    def targets_of(self, indices: Iterable[int]) -> np.ndarray | None:
        """Return the targets of the samples ``indices``, (n, …). A `SampleSource` is read for these samples only."""
        ...

    def __len__(self) -> int: ...

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Yield every sample once, in order, in batches of up to ``batch_size``."""
        ...

    @property
    def raw_images(self) -> Sequence[np.ndarray]:
        """The first 20 images before preprocessing, uint8 (C, h, w), of any size."""
        ...

    def images_of(self, indices: Iterable[int]) -> np.ndarray:
        """Return images for display, uint8 (n, H, W, C): the network's inputs before normalisation."""
        ...


class DataView(Protocol):
    """The data of a run, preprocessed for a network."""

    @property
    def target(self) -> Target: ...

    @property
    def parts(self) -> Mapping[Part, PartView]: ...
