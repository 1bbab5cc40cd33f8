"""The command line that repeats a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.reporting.run_comparison import flatten


def command_line(name: str | None, config_file: str | Path | None, overrides: Mapping[str, Any], *more: str) -> str:
    """Return ``zoo run NAME …`` with each override as ``--set KEY=VALUE``, quoted for a POSIX shell."""
    settings = [
        f"{key}={each if isinstance(each, str) else json.dumps(each)}"
        for key, each in flatten(dict(overrides)).items()
        if key
    ]
    words = ["zoo", "run", *([name] if name else []), *(["--config", str(config_file)] if config_file else []), *more]
    return shlex.join([*words, *(word for setting in settings for word in ("--set", setting))])
