"""What every model of the contract is built on, and the forms of names and references."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pluggy
from pydantic import BaseModel, ConfigDict, StringConstraints

hookimpl = pluggy.HookimplMarker("zoo")
"""Marks a function of a plugin as the implementation of the hook whose name it bears."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.\-]*$", max_length=100)]
Reference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
"""``"module:attribute"``, imported when it is first used."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
JSON = Mapping[str, Any]
"""An object of JSON: text, numbers, lists and objects alone."""


class Frozen(BaseModel):
    """Unknown keys are refused, values never change, and the validator is built when it is first used."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Options(Frozen):
    """Base for the ``options`` model of a spec: unknown keys are refused, values are checked, defaults are shown by
    ``zoo info``.

    The implementation receives an instance of the model, so that a default stands in one place.
    """
