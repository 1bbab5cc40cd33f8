"""Features that adaptations ask for (`zoo.api.AdaptContext.features`), and evaluation with them.

They are in the cache that training with frozen layers uses (`zoo.training.feature_cache`). A network that contains the
frozen module is evaluated with its features, after a check that it gives the same outputs as with the images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import nn

from zoo.api import Part, PartView
from zoo.data.data_loader import Data
from zoo.errors import UsageError
from zoo.registry.lookup import Registry
from zoo.training.devices import Engine
from zoo.training.feature_cache import FeaturePart, Features, digest_of, example, features_at
from zoo.training.split_point import SplitPoint, close, left_as_it_was, without


class Shortcut(NamedTuple):
    """A split as features, and the network that remains to be computed on them."""

    part: FeaturePart
    network: nn.Module


@dataclass
class FrozenFeatures:
    """The features of frozen modules for all splits of ``data``; an implementation of `zoo.api.ComputeFeatures`."""

    data: Data
    engine: Engine
    catalogue: Registry
    print: Callable[[str], None]
    _known: list[tuple[nn.Module, str, Features]] = field(default_factory=list)
    """Modules with their digests, which tell whether they have changed since."""

    def __call__(self, module: nn.Module, part: PartView) -> FeaturePart:
        name = self._name_of(part)
        if name is None:
            raise UsageError("features are computed for the splits of the run's data only", fix="pass one of them")
        with left_as_it_was(module):
            point = self._point(module)
            digest = digest_of(point, self.engine)
            found = next((features for _, known, features in self._known if known == digest), None)
            if found is None:
                point.shape = tuple(point.backbone(example(self.data)).shape[1:])
                found = features_at(point, self.data.parts, self.data.name, self.engine, self.catalogue, self.print)
                self._known.append((module, digest, found))
        return found.parts[name]

    def shortcut(self, model: nn.Module, part: PartView) -> Shortcut | None:
        """Return the features for ``part``, and ``model`` without the module that computed them; None if the model has
        no such module, if the module has changed, or if something else in the model reads the images."""
        split = self._name_of(part)
        for module, digest, features in self._known:
            name = next((name for name, each in model.named_modules() if each is module and name), None)
            if split is None or name is None:
                continue
            with left_as_it_was(model):
                rest = without(model, name)
                if digest_of(self._point(module), self.engine) == digest and self._agrees(model, rest, module):
                    return Shortcut(features.parts[split], rest)
        return None

    def _name_of(self, part: PartView) -> Part | None:
        return next((name for name, view in self.data.parts.items() if view is part), None)

    def _point(self, module: nn.Module) -> SplitPoint:
        """Return the module as a backbone, on the device of the run and in eval mode."""
        module.to(self.engine.device, memory_format=self.engine.memory_format)  # type: ignore[call-overload]
        return SplitPoint(module.eval(), f"the frozen {type(module).__name__}", lambda network: network)

    def _agrees(self, model: nn.Module, rest: nn.Module, module: nn.Module) -> bool:
        images = example(self.data)[:2]
        return close(model.to(self.engine.device).eval()(images), rest.eval()(module(images)))
