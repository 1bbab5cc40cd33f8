"""Default options of an item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.registry.lookup import Item, options_model


def default_options(item: Item[Any], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return options_model(item).model_validate(given or {}).model_dump(mode="json")
