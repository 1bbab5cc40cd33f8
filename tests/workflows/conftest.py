"""What tests of workflows share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import zoo.workflows.verify_exported
from zoo.errors import CheckpointError, ZooError
from zoo.exporting.integrity import Finding
from zoo.exporting.verify_file import Asked, verify_file


def answer_here(question: dict[str, Any], model: Path) -> tuple[list[Finding], ZooError | None]:
    """Verify in this process."""
    findings: list[Finding] = []
    try:
        findings.extend(verify_file(Asked(**question)))
    except ZooError as error:
        return findings, error
    except (ValueError, LookupError, TypeError) as error:
        return findings, CheckpointError(str(error), where=model)
    return findings, None


@pytest.fixture
def verified_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification without a process of its own, which takes seconds to start."""
    monkeypatch.setattr(zoo.workflows.verify_exported, "ask", answer_here)
