"""A part of what `make reliability` does in hours: some file calls of every story, each under one fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import campaign
import harness
import pytest

CASES = {"run": 6, "resume": 3, "export": 2, "download": 3}
"""Cases of each story that every run of the tests tries; they take some seconds each."""

pytestmark = pytest.mark.skipif(
    harness.compiler() is None, reason="needs a C compiler, for the library that faults are injected with"
)


@pytest.fixture(scope="module")
def prepared(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, dict[str, tuple[harness.Checks, list[harness.Case]]]]]:
    folder = tmp_path_factory.mktemp("faults")
    with harness.Server(folder) as server:
        yield folder, campaign.prepare(server, folder / "prepared")


@pytest.mark.parametrize(("story", "part"), [(story, part) for story, count in CASES.items() for part in range(count)])
def test_a_failing_or_fatal_file_call_loses_nothing_and_is_reported(prepared, story: str, part: int) -> None:
    folder, stories = prepared
    checks, cases = stories[story]
    case = cases[(2 * part + 1) * len(cases) // (2 * CASES[story])]
    assert campaign.run(checks, case, folder / "case") == [], str(case)


def test_calls_of_every_kind_are_seen(prepared) -> None:
    """Those of safetensors, which is written in Rust, too."""
    cases = prepared[1]["run"][1]
    assert {case.operation for case in cases} == {
        "open",
        "read",
        "create",
        "write",
        "sync",
        "mkdir",
        "rename",
        "remove",
    }
    assert any(case.path.endswith("model.safetensors") and case.kind == "torn" for case in cases)
