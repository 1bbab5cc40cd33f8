"""The learning rate range test: on curves with a known slope, and on a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import zoo
from zoo.analysis.lr_range import found
from zoo.errors import UsageError
from zoo.models.building import build_model
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import resolve
from zoo.support import counter_random
from zoo.training.preparation import prepare

SMALL = {"device": "cpu", "dataset.resize": 16, "train.batch_size": 100}


@pytest.mark.parametrize(("steepest", "minimum"), [(-3.0, -1.5), (-4.0, -2.0)])
def test_the_suggestion_is_where_a_known_curve_falls_fastest(steepest: float, minimum: float) -> None:
    """A logistic fall centred at one place, then a quadratic rise from another; with noise."""
    rates = np.geomspace(1e-6, 1, 200)
    place = np.log10(rates)
    losses = 2.3 - 2 / (1 + np.exp(-3 * (place - steepest))) + 4 * np.clip(place - minimum, 0, None) ** 2
    noise = 0.002 * np.random.default_rng(0).standard_normal(len(rates))
    result = found(rates.tolist(), (losses + noise).tolist())
    assert np.log10(result.suggestion) == pytest.approx(steepest, abs=0.15)
    assert np.log10(result.minimum) == pytest.approx(place[losses.argmin()], abs=0.3)
    assert len(result.smoothed) == len(result.lr) == 200 and not result.diverged


def test_a_loss_that_diverges_at_once_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"the loss diverged after 2 steps, at a learning rate of 0.1; fix: begin low"):
        found([0.01, 0.1], [2.0, 9.0])


def test_the_losses_are_those_of_a_plain_loop() -> None:
    """torch.optim with the same learning rates, over the same batches."""
    result = zoo.lr_range("cnn_digits", steps=12, lowest=1e-4, highest=1e-1, set=SMALL)
    plan = resolve(registry(), "cnn_digits", overrides={"device": "cpu", "dataset": {"resize": 16}})
    part = prepare(plan).data.part("train")
    counter_random.seed_everything(0)
    plain = build_model(registry(), plan.config.architecture, in_channels=1, num_outputs=10, image_size=(16, 16))
    optimizer = torch.optim.Adam(plain.parameters(), fused=True)
    plain.train()
    due = []
    for rate, batch in zip(result.lr, part.batches_of(counter_random.order(0, 0, len(part)), 100), strict=False):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(plain(batch.inputs), batch.targets)
        due.append(loss.item())
        loss.backward()
        optimizer.step()
    assert result.loss == pytest.approx(due, rel=1e-5)
    assert result.lr == pytest.approx(np.geomspace(1e-4, 1e-1, 12).tolist())


def test_it_goes_on_over_epochs_and_stops_where_the_loss_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = zoo.lr_range("cnn_digits", steps=40, lowest=1e-3, highest=100.0, plot=tmp_path / "lr.png", set=SMALL)
    assert result.diverged and 15 < len(result.lr) < 40  # an epoch has 15 steps
    assert 1e-3 <= result.suggestion <= result.minimum < 1
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir()] == ["lr.png"]  # no run


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("cnn_digits", {"lowest": 1.0, "highest": 0.1}, "must grow from a positive one, not from 1 to 0.1"),
        ("cnn_digits", {"lowest": 0.0}, "must grow from a positive one"),
        ("cnn_digits", {"steps": 3}, "steps= must be at least 10, not 3"),
        ("svd_image", {}, "is computed without training steps"),
    ],
)
def test_what_cannot_be_tested_is_refused(name: str, options: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        zoo.lr_range(name, **options)  # type: ignore[arg-type]
