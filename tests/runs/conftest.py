"""A registry with a small plugin that the tests of resolving ask for, and a way to write a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pluggy
import pytest
from pydantic import Field

from zoo.api import ArchitectureSpec, DatasetSpec, Options, RecipeSpec, TaskSpec, WeightsSpec
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Registry


class NetOptions(Options):
    """Of the architecture `net`."""

    width: int = Field(8, ge=1)
    kernels: tuple[int, ...] = (3, 3)


class TaskOptions(Options):
    """Of the task `sort`."""

    smoothing: float = 0.0
    ranks: list[int] = Field(default_factory=list)


class DataOptions(Options):
    """Of the dataset `shapes`."""

    sides: int = 4


WEIGHTS = WeightsSpec(
    summary="w",
    resource="a:b",
    sha256="0" * 64,
    licence="CC0",
    dataset="toy",
    classes=("a", "b"),
    input=(1, 8, 8),
    mean=(0,),
    std=(1,),
)


def net(name: str, **facts: Any) -> ArchitectureSpec:
    return ArchitectureSpec(name=name, summary="a net", target="nowhere:build", input=(1, 8, 8), **facts)


def dataset(name: str, **facts: Any) -> DatasetSpec:
    return DatasetSpec(
        name=name,
        summary="data",
        target="nowhere:open",
        classes=("a", "b"),
        shape=(1, 8, 8),
        mean=(0,),
        std=(1,),
        licence="CC0",
        **facts,
    )


@pytest.fixture
def lab() -> Registry:
    here = Plugin("lab", "zoo-lab", "1.0", "zoo_lab")
    here.specs = {
        "architecture": [net("net", options=f"{__name__}:NetOptions", weights={"tuned": WEIGHTS}), net("plain")],
        "dataset": [dataset("toy"), dataset("shapes", options=f"{__name__}:DataOptions")],
        "task": [
            TaskSpec(
                name="sort",
                summary="sorts",
                target="nowhere:build",
                options=f"{__name__}:TaskOptions",
                accepts=("classes",),
                default=True,
            ),
            TaskSpec(name="count", summary="counts", target="nowhere:build"),
        ],
        "recipe": [
            RecipeSpec(
                name="net_shapes",
                summary="works",
                architecture="net",
                dataset="shapes",
                task="sort",
                parameters={
                    "train": {"epochs": 5, "lr": 0.01, "optimizer": "sgd"},
                    "architecture": {"width": 16},
                    "dataset": {"sides": 6, "resize": 20},
                    "task": {"smoothing": 0.1},
                },
            )
        ],
    }
    return Registry(
        [here, Plugin("sick", "zoo-sick", "1.0", "zoo_sick", "broken", "ImportError: no luck")],
        pluggy.PluginManager("zoo"),
    )


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(text: str) -> Path:
        path = tmp_path / "run.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written
