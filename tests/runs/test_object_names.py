"""Names of networks that are Python objects: the same code and structure have the same name, anything else another."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.runs.object_names import digest_of, is_reference, name_of, without_digest, word_of


class Petal(nn.Module):
    def __init__(self, width: int = 4, *, slope: float = 0.1, double: bool = False) -> None:
        super().__init__()
        self.slope, self.layer = slope, nn.Linear(8, width)
        self.double = double

    def forward(self, inputs: torch.Tensor) -> Any:
        return nn.functional.leaky_relu(self.layer(inputs), self.slope)


class Other(Petal):
    def forward(self, inputs: torch.Tensor) -> Any:
        return nn.functional.relu(self.layer(inputs))


def test_weights_do_not_change_the_name_and_structure_settings_and_code_do() -> None:
    assert digest_of(Petal()) == digest_of(Petal())
    others = [Petal(5), Petal(slope=0.2), Petal(double=True), Other(), nn.Sequential(Petal()), Petal, Other]
    assert len({digest_of(each) for each in [Petal(), *others]}) == 8


def test_factories_are_told_apart_by_their_code_and_arguments() -> None:
    small, large = functools.partial(Petal, 4), functools.partial(Petal, 5)
    made = [small, large, lambda: Petal(4), lambda: Petal(6), "pack.nets:petal"]
    assert len({digest_of(each) for each in made}) == 5
    assert digest_of(small) == digest_of(functools.partial(Petal, 4))


def test_names_are_those_of_specs() -> None:
    assert name_of("PetalNet", "0123456789") == "petalnet-01234567"
    assert name_of("<lambda>", "0123456789") == "lambda-01234567"
    assert name_of("Blüte", "0123456789") == "bl-te-01234567"
    assert without_digest("petalnet-01234567") == "petalnet" and without_digest("petal-net") == "petal-net"
    assert word_of(Petal()) == word_of(Petal) == "Petal"
    assert [is_reference(each) for each in ("a.b:c", "a:b", "folder:a/b", "a.b", ":c", 3)] == [True, True] + 4 * [False]


def test_the_name_is_the_same_in_another_process(tmp_path: Path) -> None:
    script = (
        "import test_object_names as own; from zoo.runs.object_names import digest_of; print(digest_of(own.Petal()))"
    )
    lines = [
        subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); {script}"],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        ).stdout
        for _ in range(2)
    ]
    assert lines[0] == lines[1] and len(lines[0].strip()) == 64


CHOOSES = """
from zoo.runs.object_names import digest_of
def make(kind="a"):
    return kind in {"alpha", "beta", "gamma", "delta"}
print(digest_of(make))
"""


def test_the_digest_is_the_same_in_every_process() -> None:
    """A set of constants is in another order wherever Python hashes texts with another seed."""
    found = {
        subprocess.run(
            [sys.executable, "-c", CHOOSES], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(found) == 1
