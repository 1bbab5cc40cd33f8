"""The installed version of zoo."""

from __future__ import annotations

from importlib import metadata

VERSION = metadata.version("torch-zoo")
