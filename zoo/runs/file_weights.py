"""The weights of a safetensors file: a path, or an address to download it from. They describe neither classes nor
preprocessing; those of the architecture's pretrained weights are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.api import ArchitectureSpec, Classes, Mask, Target, WeightsSpec
from zoo.data.preprocessing import Learned, Preprocessing, preprocessing_of
from zoo.errors import UsageError
from zoo.models.weights_address import Address
from zoo.registry.lookup import Item
from zoo.support.paths import user_path

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.models.state_dicts import StateDict
    from zoo.models.weights_download import Fetched


class Inputs(NamedTuple):
    """The inputs of a network: ``name`` of the data or weights, ``target`` (None if unknown) and preprocessing."""

    name: str
    target: Target | None
    preprocessing: Preprocessing


@dataclass(frozen=True)
class FileWeights:
    """A safetensors file: a path, or an address from which it is downloaded when it is first needed. Classes and
    preprocessing are taken from the architecture's pretrained weights with as many classes.

    ``key`` selects one of several networks in the file.
    """

    item: Item[ArchitectureSpec]
    text: str
    key: str | None = None
    address: Address | None = None

    @cached_property
    def fetched(self) -> Fetched | None:
        """The file at the address, downloaded if missing; None for a path."""
        from zoo.models.weights_download import fetch

        return None if self.address is None else fetch(self.address)

    @property
    def path(self) -> Path:
        return user_path(self.text) if self.fetched is None else self.fetched.path

    @property
    def told(self) -> str:
        """The text, with the sha256 of a file whose address is not that digest itself."""
        by_commit = self.fetched is not None and self.fetched.sha256 not in self.text
        return f"{self.text} (sha256 {self.fetched.sha256})" if self.fetched and by_commit else self.text

    @cached_property
    def spec(self) -> WeightsSpec | None:
        """The architecture's first pretrained weights with as many classes as the file, or None."""
        count = self._head_classes
        return (
            None
            if count is None
            else next((spec for spec in self.item.spec.weights.values() if len(spec.classes) == count), None)
        )

    @cached_property
    def _head_classes(self) -> int | None:
        from zoo.models.state_dicts import head_shape
        from zoo.models.tensor_files import shapes_of

        shape = None if self.item.spec.head is None else head_shape(shapes_of(self.path), self.item.spec.head, self.key)
        return None if shape is None else shape[0]

    @property
    def known(self) -> WeightsSpec:
        """As ``spec``, but raises UsageError instead of returning None."""
        if self.spec is None:
            count = self._head_classes
            why = (
                "the head's number of classes cannot be determined"
                if count is None
                else f"none of the architecture's pretrained weights has {count} classes"
            )
            raise UsageError(
                f"the class names of these weights are unknown: {why}",
                where=self.path,
                fix="predict with a run or a bundle",
            )
        return self.spec

    @property
    def target(self) -> Target | None:
        return None if self.spec is None else target_of(self.item.spec, self.spec)

    @property
    def learned(self) -> Learned | None:
        return self.spec

    @property
    def builder_options(self) -> Mapping[str, Any]:
        """The options on which all pretrained weights of the architecture agree, since a file does not record them."""
        return _agreed(spec.architecture_options for spec in self.item.spec.weights.values())

    def inputs(self, permute_pixels: int | None) -> Inputs | None:
        return None if self.spec is None else inputs_of(self.text, self.item.spec, self.spec, permute_pixels)

    def read(self, own: Mapping[str, Tensor], task: str | None = None) -> StateDict:
        return fitted(own, self.path, self.key, self.text)


def inputs_of(text: str, architecture: ArchitectureSpec, spec: WeightsSpec, permute_pixels: int | None) -> Inputs:
    return Inputs(f"the weights `{text}`", target_of(architecture, spec), preprocessing_of(spec, permute_pixels))


def target_of(architecture: ArchitectureSpec, spec: WeightsSpec) -> Target | None:
    """Return the target of published weights: classes, of pixels if the network gives a map; None without classes."""
    if not spec.classes:
        return None
    of_pixels = architecture.main_output.kind == "map"
    return Mask(names=spec.classes) if of_pixels else Classes(names=spec.classes)


def _agreed(options: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    first, *others = [*options] or [{}]
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}


def fitted(own: Mapping[str, Tensor], file: Path, key: str | None, where: str) -> StateDict:
    from zoo.models.state_dicts import fit_to
    from zoo.models.tensor_files import read_tensors

    return fit_to(own, read_tensors(file), key, where)
