"""State dicts under the prefixes and keys that trainers leave: brought to the network's names, and nothing is
guessed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import CheckpointError, UsageError
from zoo.models.building import load_state
from zoo.models.state_dicts import fit_to, head_shape, state_of


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)


def published(prefix: str = "") -> dict[str, Tensor]:
    """Another network's weights, its norm having seen three batches."""
    torch.manual_seed(3)
    network = Residual()
    network.norm.num_batches_tracked.fill_(3)
    return {f"{prefix}{name}": value for name, value in network.state_dict().items()}


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "_orig_mod.", "backbone.", "_orig_mod.module.", "learner.student."]
)
def test_a_prefix_that_every_name_has_is_removed_and_said(prefix: str) -> None:
    network = Residual()
    found = fit_to(network.state_dict(), published(prefix))
    assert found.notes == (f"without the prefix '{prefix}'",)
    load_state(network, found.tensors, "file")
    assert all(torch.equal(value, published()[name]) for name, value in network.state_dict().items())


def test_names_that_fit_are_left_alone() -> None:
    found = fit_to(Residual().state_dict(), published())
    assert found.tensors.keys() == published().keys() and found.notes == ()


def test_a_prefix_that_the_network_itself_has_is_given_back() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Residual()

    found = fit_to(Holder().state_dict(), published())
    assert found.tensors.keys() == Holder().state_dict().keys() and found.notes == ("with the prefix 'net.' added",)


def test_counters_that_older_files_lack_start_at_0() -> None:
    network, older = Residual(), published()
    del older["norm.num_batches_tracked"]
    network.norm.num_batches_tracked.fill_(9)
    found = fit_to(network.state_dict(), older)
    assert (
        found.tensors["norm.num_batches_tracked"].item() == 0
        and found.tensors["norm.num_batches_tracked"].dtype == torch.int64
    )
    assert "1 missing counter (num_batches_tracked) starting at 0" in found.notes[0]


def test_a_norm_that_is_missing_as_a_whole_is_not_made_up() -> None:
    without = {name: value for name, value in published().items() if not name.startswith("norm.")}
    with pytest.raises(CheckpointError, match=r"missing norm\.weight"):
        load_state(Residual(), fit_to(Residual().state_dict(), without).tensors, "file")


def test_two_networks_under_two_prefixes_are_a_choice() -> None:
    both = {**published("model."), **{name: value * 2 for name, value in published("ema.").items()}}
    with pytest.raises(
        UsageError, match=r"several networks in these weights: '(model|ema)', '(model|ema)'.*--weights-key"
    ):
        fit_to(Residual().state_dict(), both)
    found = fit_to(Residual().state_dict(), both, "ema")
    assert torch.equal(found.tensors["fc.bias"], published()["fc.bias"] * 2)
    with pytest.raises(UsageError, match=r"there is no 'emu' in these weights.*choose one of: model, ema"):
        fit_to(Residual().state_dict(), both, "emu")


def test_weights_of_another_network_are_reported_under_their_own_names() -> None:
    other = {f"module.{name}": value for name, value in nn.Sequential(nn.Linear(2, 2)).state_dict().items()}
    found = fit_to(Residual().state_dict(), other)
    assert list(found.tensors) == ["module.0.weight", "module.0.bias"] and found.notes == ()


def test_a_head_of_another_size_is_found_under_a_prefix() -> None:
    shapes = {f"module.{name}": tuple(value.shape) for name, value in published().items()}
    assert (
        head_shape(shapes, "fc") == (2, 4)
        and head_shape(shapes, "head") is None
        and head_shape({"fc.weight": (7, 4), **shapes}, "fc") == (7, 4)
    )


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"state_dict": published("module."), "epoch": 3}, "state_dict"),
        ({"checkpoint": {"network": published("module.")}, "lr": 0.1}, "checkpoint.network"),
        ({"model": published("module."), "loss": {"center": torch.zeros(3)}}, "model"),
    ],
)
def test_the_only_network_that_a_trainer_saved_is_found(content: dict[str, object], place: str) -> None:
    found = state_of(content, None, "file")
    assert found.tensors.keys() == published().keys() and found.notes == (
        f"under '{place}'",
        "without the prefix 'module.'",
    )


def test_a_container_that_holds_itself_ends() -> None:
    content: dict[str, object] = {"epoch": 1}
    content["again"] = content
    with pytest.raises(CheckpointError, match="not named tensors"):
        state_of(content, None, "file")
