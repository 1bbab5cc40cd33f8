"""Features: the network without its head, so that its output is what the head was given, after the layers that follow
the head (pooling, flattening)."""

from __future__ import annotations

from typing import Any

from torch import nn

from zoo.api import JSON, Adaptation, AdaptContext, Options
from zoo.errors import UsageError
from zoo.plugin import remove_head


class Features(Adaptation[Options]):
    @property
    def trains(self) -> bool:
        return False

    def adapt(self, model: nn.Module, context: AdaptContext) -> tuple[nn.Module, dict[str, Any]]:
        if context.head is None:
            raise UsageError(
                "the spec of this architecture does not name its head, which would be removed",
                fix="choose another architecture (see `zoo list architectures`)",
            )
        return self.rebuild(model, {"head": context.head}), {"head": context.head}

    def rebuild(self, model: nn.Module, adaptation: JSON) -> nn.Module:
        remove_head(model, adaptation["head"])
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        return model
