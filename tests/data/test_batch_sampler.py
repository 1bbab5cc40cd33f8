"""No batch and no micro-batch of a single sample is left over; a run says so before it trains, sees every sample, and
resumes in the last batch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.api import Batch
from zoo.cli.app import run_cli
from zoo.data.batch_sampler import last_joined, one_left_over, sizes
from zoo.errors import UsageError, ZooError
from zoo.reporting.console import Console
from zoo.runs.load_model import load
from zoo.runs.run_directory import RunDir

NETWORK = "timm/test_efficientnet"
"""A small one whose batch norms see a single value of each channel in an image of 32×32."""


@pytest.mark.parametrize(
    ("samples", "size", "expected"),
    [
        (17, 4, [4, 4, 4, 5]),
        (18, 4, [4, 4, 4, 4, 2]),
        (16, 4, [4, 4, 4, 4]),
        (3, 2, [3]),
        (1, 4, [1]),
        (3, 1, [1, 1, 1]),
        (60000, 64, [64] * 937 + [32]),
    ],
)
def test_the_last_of_one_joins_the_one_before(samples: int, size: int, expected: list[int]) -> None:
    assert sizes(samples, size) == expected
    assert one_left_over(samples, size) == (max(expected) > size)


def test_the_last_two_batches_are_one_wherever_an_epoch_is_begun() -> None:
    batches = [Batch(torch.full((size, 2), size), None, torch.arange(size)) for size in (4, 4, 1)]
    for first in (0, 1):
        *before, last = last_joined(iter(batches[first:]), 2 - first)
        assert [len(each.inputs) for each in before] == [4] * (1 - first)
        assert last.inputs[:, 0].tolist() == [4, 4, 4, 4, 1]
        assert last.targets is None and last.teacher is None
        assert last.indices.tolist() == [0, 1, 2, 3, 0]


def test_the_targets_and_the_teachers_outputs_of_the_last_two_batches_are_one_too() -> None:
    batches = [
        Batch(
            torch.zeros(size, 2),
            torch.full((size, 3), float(size)),
            torch.arange(size),
            {"output": torch.full((size, 5), size), "features": torch.full((size, 7), -size)},
        )
        for size in (4, 1)
    ]
    (last,) = last_joined(iter(batches), 1)
    assert last.targets is not None and last.targets[:, 1].tolist() == [4, 4, 4, 4, 1]
    assert last.teacher is not None and list(last.teacher) == ["output", "features"]
    assert last.teacher["output"][:, 4].tolist() == [4, 4, 4, 4, 1]
    assert last.teacher["features"][:, 6].tolist() == [-4, -4, -4, -4, -1]


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Seventeen small images of two classes."""
    random = np.random.RandomState(0)
    for split, count in (("train", 17), ("test", 4)):
        for index in range(count):
            file = tmp_path / "images" / split / "ab"[index % 2] / f"{index:02d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.randint(0, 256, (32, 32, 3)).astype(np.uint8)).save(file)
    return f"folder:{tmp_path / 'images'}"


def overrides(folder: str, **train: Any) -> dict[str, Any]:
    name, _, path = folder.partition(":")
    return {
        "dataset": {"name": name, "path": path, "resize": 32},
        "train": {"batch_size": 4, "epochs": 2, "log_samples": True, "schedule": "cosine", "optimizer": "sgd", **train},
        "device": "cpu",
    }


def samples_by_step(run: RunDir) -> list[list[int]]:
    return [json.loads(line)["samples"] for line in run.samples_file.read_text().splitlines()]


def test_a_batch_norm_network_trains_on_every_sample_and_resumes_before_the_joined_batch(
    folder: str, tmp_path: Path
) -> None:
    class Stop(Console):
        def step(self, progress: Any, batch_samples: int) -> None:
            if progress.step == 4:
                raise ZooError("stopped")

    settings = overrides(folder, checkpoint_steps=3)
    whole = zoo.run(NETWORK, overrides=settings, out=tmp_path / "whole", console=Console(quiet=True))
    assert "the last batch of each epoch has 5 samples" in " ".join(whole.record.notes)
    steps = samples_by_step(RunDir(tmp_path / "whole"))
    assert [len(each) for each in steps] == [4, 4, 4, 5] * 2
    for epoch in (steps[:4], steps[4:]):
        assert Counter(index for step in epoch for index in step) == Counter(range(17))
    with pytest.raises(ZooError, match="stopped"):
        zoo.run(
            NETWORK, overrides=overrides(folder, checkpoint_steps=3), out=tmp_path / "parts", console=Stop(quiet=True)
        )
    zoo.run(resume=tmp_path / "parts", console=Console(quiet=True))
    assert samples_by_step(RunDir(tmp_path / "parts")) == steps
    assert all(
        torch.equal(value, load(tmp_path / "parts").state_dict()[name])
        for name, value in load(tmp_path / "whole").state_dict().items()
    )


def test_the_plan_says_it_before_training(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "run",
        NETWORK,
        "--data",
        folder,
        "--batch-size",
        "4",
        "--set",
        "dataset.resize=32",
        "--epochs",
        "2",
        "--dry-run",
    ]
    assert run_cli(words) == 0
    told = capsys.readouterr().out
    assert "the last batch of each epoch has 5 samples, to avoid a batch of one sample" in told
    assert "2 epochs, 8 steps, batch size 4" in told


def test_a_network_that_cannot_be_trained_on_one_sample_is_refused_before_anything_is_written(
    folder: str, tmp_path: Path
) -> None:
    for train in ({"batch_size": 1}, {"micro_batches": 4}):
        with pytest.raises(
            UsageError,
            match=r"cannot be trained on one sample at a time.*train\.batch_size.*fix: use a larger batch_size=",
        ):
            zoo.run(NETWORK, overrides=overrides(folder, **train), out=tmp_path / "none", console=Console(quiet=True))
    assert not (tmp_path / "none").exists()
