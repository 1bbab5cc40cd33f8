"""An item's options when nothing is asked for."""

from __future__ import annotations

from typing import Any

from zoo.registry.lookup import Item, options_model


def default_options(item: Item[Any]) -> dict[str, Any]:
    return options_model(item)().model_dump(mode="json")
