"""Base models of the contract, and the types of names and references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pluggy
from pydantic import BaseModel, ConfigDict, StringConstraints

hookimpl = pluggy.HookimplMarker("zoo")
"""Marks a function of a plugin as the implementation of the hook of the same name."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]*$", max_length=100)]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""``"module:attribute"``, imported when it is first used."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
JSON = Mapping[str, Any]
"""A JSON object: its values are strings, numbers, booleans, null, lists and objects."""


class Frozen(BaseModel):
    """An immutable model that refuses unknown keys and builds its validator on first use."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Options(Frozen):
    """Base class of the ``options`` model of a spec. Unknown keys are refused, and ``zoo info`` shows the defaults.

    The implementation receives an instance of the model, so that each default is defined once.
    """
