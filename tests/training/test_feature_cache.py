"""Features of frozen layers: a run that keeps them learns what one that does not learns, only sooner."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import squeezenet1_1

import zoo
from zoo.data import dataset_cache
from zoo.errors import Interrupted
from zoo.models.tensor_files import read_tensors
from zoo.reporting.console import Console
from zoo.training import feature_cache
from zoo.training.feature_cache import FeaturePart
from zoo.workflows.run import run

LENET = {
    "architecture": {"name": "lenet"},
    "dataset": {"name": "digits", "val_fraction": 0.2},
    "task": {"name": "transfer"},
    "weights": "none",
    "device": "cpu",
    "threads": 1,
    "train": {"epochs": 2, "batch_size": 64, "lr": 0.01},
}


@pytest.fixture
def said():
    return []


@pytest.fixture
def go(tmp_path, said):
    class Listening(Console):
        def print(self, text: str) -> None:
            said.append(text)
            super().print(text)

    def start(name: str, **changes):
        settings = {
            **LENET,
            **{key: value for key, value in changes.items() if key != "train"},
            "train": {**LENET["train"], **changes.get("train", {})},
        }
        return run(None, overrides=settings, out=tmp_path / name, console=Listening(quiet=True))

    return start


def rows(result) -> list[dict[str, float]]:
    with (result.path / "metrics.csv").open(newline="") as stream:
        return [
            {key: float(cell) for key, cell in row.items() if "second" not in key} for row in csv.DictReader(stream)
        ]


def weights(result) -> dict[str, torch.Tensor]:
    return zoo.load(result.path).module.state_dict()


@pytest.mark.parametrize(
    ("architecture", "task", "extra"),
    [
        ("lenet", {}, {}),
        ("lenet", {"train": "last:2"}, {"ema_decay": 0.9}),
        pytest.param("torchvision/squeezenet1_1", {}, {}, marks=pytest.mark.slow),  # dropout after the cut
        ("torchvision/shufflenet_v2_x0_5", {}, {"ema_decay": 0.9}),  # batch norms before it
    ],
)
def test_learning_from_kept_features_is_learning(go, said, monkeypatch, architecture, task, extra) -> None:
    """With torch's dropout in both: on cached features, the CPU has masks of its own (`zoo.training.fast_dropout`)."""
    monkeypatch.setattr(feature_cache, "use_fast_dropout", lambda _graph: 0)
    asked = {
        "architecture": {"name": architecture},
        "task": {"name": "transfer", **task},
        "dataset": {"name": "digits", "val_fraction": 0.9},
    }
    kept = go("kept", **asked, train=extra)
    assert any("is cached for train, val and test, computed by torch" in text for text in said)
    plain = go("plain", **asked, train={**extra, "cache_features": False})
    for mine, theirs in zip(rows(kept), rows(plain), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    learned = weights(kept)
    for name, value in weights(plain).items():
        torch.testing.assert_close(learned[name], value, rtol=1e-3, atol=1e-4)


def test_a_second_run_finds_the_features_of_the_first(go, said) -> None:
    go("first")
    entry = next(each for each in dataset_cache.entries() if each.description["part"] == "train")
    assert (
        entry.description
        == {"dataset": "datasets/digits", "part": "train", "features": "84", "of": "relu_3", "by": "torch"}
        or entry.description["by"]
    )
    said.clear()
    again = go("again", train={"lr": 0.02})
    assert any("is cached for train, val and test, found in the cache" in text for text in said)
    assert len(dataset_cache.entries()) == 3
    assert again.record.status == "finished"


def test_features_that_were_zeroed_on_the_disk_are_computed_again_after_a_word(go, capsys) -> None:
    first = go("first")
    array = (
        next(each for each in dataset_cache.entries() if each.description["part"] == "train").path
        / dataset_cache.IMAGES
    )
    with array.open("r+b") as stream:
        stream.seek(128)
        stream.write(bytes(array.stat().st_size - 128))
    capsys.readouterr()
    again = go("again")
    assert "was changed after it was written" in capsys.readouterr().err
    assert again.metrics == first.metrics


@pytest.mark.parametrize(
    ("name", "changes"),
    [("seed", {"seed": 1}), pytest.param("precision", {"train": {"precision": "bf16"}}, marks=pytest.mark.slow)],
)
def test_features_of_other_weights_or_precision_are_others(go, said, name, changes) -> None:
    go("first")
    said.clear()
    go(name, **changes)
    assert any("computed by torch" in text for text in said)


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        ({"augment": ["flip"]}, "train.augment changes the images"),
        ({"mixup": 0.2}, "train.mixup changes the images"),
        ({"cutmix": 1.0}, "train.cutmix changes the images"),
    ],
)
def test_what_changes_the_images_runs_the_frozen_layers_each_time_and_says_so(go, said, train, reason) -> None:
    go("run", train=train)
    assert any(f"features of frozen layers are not cached: {reason}" in text for text in said)
    assert not dataset_cache.entries()


def test_what_would_not_fit_the_cache_is_not_kept(go, said, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "0.0001")
    go("run")
    assert any("would need" in text and "ZOO_CACHE_LIMIT" in text for text in said)


def test_the_evaluation_from_kept_features_is_that_of_the_network(go, said, monkeypatch) -> None:
    kept = go("kept")
    evaluated = zoo.evaluate(kept.path)  # the whole network
    assert kept.metrics == pytest.approx(evaluated.metrics, rel=1e-4, abs=1e-6)
    parts = {each.description["part"]: each.size for each in dataset_cache.entries()}
    assert set(parts) == {"train", "val", "test"}
    dataset_cache.clear()
    said.clear()
    monkeypatch.setenv("ZOO_CACHE_LIMIT", str((parts["train"] + parts["val"]) / 1e9))  # no room for test
    small = go("small")
    assert any("is cached for train and val, computed" in text for text in said)
    assert small.metrics == pytest.approx(kept.metrics, rel=1e-4, abs=1e-6)


def test_features_larger_than_their_image_is_worth_are_not_kept(go, said, monkeypatch) -> None:
    monkeypatch.setattr(feature_cache, "LARGEST", 0.05)
    go("run")
    assert any("the output of relu_3" in text and "is too large" in text for text in said)


def test_a_run_that_trains_everything_says_nothing_of_it(go, said) -> None:
    go("run", task={"name": "classification"}, weights=None)
    assert not [text for text in said if "frozen" in text]


def test_a_run_from_features_resumes_to_the_bit(go, tmp_path, monkeypatch) -> None:
    from zoo.training import backbone_pass

    for threshold in ("RELAYING_PAYS", "EXPORTING_PAYS"):  # by torch each time, whatever is fastest at the moment
        monkeypatch.setattr(backbone_pass, threshold, float("inf"))
    small = {
        "architecture": {"name": "torchvision/squeezenet1_1"},
        "dataset": {"name": "digits", "val_fraction": 0.9},
        "train": {"checkpoint_steps": 1},
    }
    whole = go("whole", **small)
    dataset_cache.clear()  # they are computed again, by the same
    from zoo.training import trainer

    steps = iter(range(100))

    def stopping(state, stop):
        if next(steps) == 1:
            raise Interrupted("stopped", signum=2, where=state.run.path, fix="go on")

    monkeypatch.setattr(trainer, "stop_if_asked", stopping)
    with pytest.raises(Interrupted):
        go("cut", **small)
    monkeypatch.undo()
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))
    state = json.loads(next((tmp_path / "cut" / "checkpoints").glob("step-*/state.json")).read_text())
    assert "'dropout': 'Philox'" in str(state)  # SqueezeNet's head; a checkpoint without it would not be resumed
    resumed = run(resume=tmp_path / "cut", console=Console(quiet=True))
    mine, theirs = weights(resumed), weights(whole)
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())
    assert rows(resumed) == rows(whole)


def test_frozen_weights_are_written_twice_for_all_checkpoints(go) -> None:
    path = (
        go(
            "run",
            architecture={"name": "torchvision/shufflenet_v2_x0_5"},
            dataset={"name": "digits", "val_fraction": 0.9},
        ).path
        / "checkpoints"
    )
    assert len(list(path.glob("step-*"))) == len(list(path.glob("frozen-*.safetensors"))) == 2
    checkpoint = next(path.glob("step-*"))
    learning = read_tensors(checkpoint / "model.safetensors")
    assert (
        {"fc.weight", "fc.bias"}
        <= set(learning)
        <= {"fc.weight", "fc.bias"} | {name for name in learning if "running" in name or "num_batches" in name}
    )
    assert not set(learning) & set(json.loads((checkpoint / "MANIFEST.json").read_text())["frozen"]["tensors"])


# --------------------------------------------------------------------------------------------------------------- a part


class Images:
    device = torch.device("cpu")
    names = ("a", "b", "c", "d", "e")
    targets = np.array([0, 1, 0, 1, 1])
    raw_images = ("an image",)

    def targets_of(self, indices):
        return self.targets[list(indices)]

    def images_of(self, indices):
        return indices


def test_a_part_of_features_gives_batches_in_any_order_and_copies() -> None:
    features = np.arange(10, dtype=np.float32).reshape(5, 2)
    part = FeaturePart(Images(), features)
    batches = list(part.batches_of(np.array([4, 0, 2]), 2))
    assert [batch.inputs.tolist() for batch in batches] == [[[8, 9], [0, 1]], [[4, 5]]]
    assert [batch.targets.tolist() for batch in batches] == [[1, 0], [0]]
    assert [batch.indices.tolist() for batch in batches] == [[4, 0], [2]]
    nn.ReLU(inplace=True)(next(part.batches(5)).inputs.sub_(100))
    assert features.sum() == 45
    assert [len(batch.inputs) for batch in part.batches_of(np.arange(5), 2, first=1)] == [2, 1]
    with pytest.raises(TypeError, match="augmented"):
        part.batches_of(np.arange(5), 2, augment=lambda images, _: images).__next__()


def test_a_part_of_maps_in_channels_last_gives_the_same_values_in_that_format() -> None:
    maps = np.random.default_rng(0).random((5, 3, 4, 2), np.float32)
    stored = np.ascontiguousarray(maps.transpose(0, 2, 3, 1))
    batch = next(FeaturePart(Images(), stored, channels_last=True).batches_of(np.array([4, 1]), 2)).inputs
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, torch.from_numpy(maps[[4, 1]]))


# ----------------------------------------------------------------------------------------------- ways to run a backbone


def test_a_long_pass_is_given_to_the_fastest_that_agrees(monkeypatch) -> None:
    from zoo.registry.lookup import registry
    from zoo.training import backbone_pass
    from zoo.training.devices import Engine

    for threshold in ("RELAYING_PAYS", "EXPORTING_PAYS", "EACH_LAYER_PAYS"):
        monkeypatch.setattr(backbone_pass, threshold, 0.0)
    torch.manual_seed(0)
    backbone, probe = squeezenet1_1().features, torch.randn(4, 3, 96, 96)
    due = backbone.eval()(probe).detach()
    seconds = {"torch": 3.0, "torch, channels last": 2.0, "the runtime of onnx/onnx": 1.0}
    seconds["the runtime of torch_export/torch_export"] = 2.5
    tried = []

    def timed(candidate, images):
        tried.append(candidate.name)
        return candidate.run(images), seconds[candidate.name]

    monkeypatch.setattr(backbone_pass, "timed", timed)
    engine = Engine(torch.device("cpu"), None, torch.contiguous_format)
    with backbone_pass.fastest_pass(backbone, probe, 100, engine, registry()) as (chosen, told, _):
        assert chosen.name == "the runtime of onnx/onnx"
        assert told.startswith(
            "by the runtime of onnx/onnx (3.0 times as fast as torch with the settings of the run; largest relative "
        )
        torch.testing.assert_close(chosen.run(probe), due, rtol=1e-4, atol=1e-5)
    assert tried == list(seconds)
    assert next(backbone.parameters()).is_contiguous()
    seconds["torch, channels last"] = 0.5
    with backbone_pass.fastest_pass(backbone, probe, 100, engine, registry()) as (chosen, _, _):
        assert chosen.name == "torch, channels last"
        torch.testing.assert_close(chosen.run(probe), due, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(backbone_pass, "relative_error", lambda _found, _due: 1.0)
    with backbone_pass.fastest_pass(backbone, probe, 100, engine, registry()) as (chosen, told, _):
        assert (chosen.name, told) == ("torch", "by torch")


def test_a_short_pass_tries_nothing_else(monkeypatch) -> None:
    from zoo.registry.lookup import registry
    from zoo.training import backbone_pass
    from zoo.training.devices import Engine

    monkeypatch.setattr(backbone_pass, "by_exporter", lambda *_: pytest.fail("it was exported"))
    backbone, engine = nn.Sequential(nn.Conv2d(3, 2, 3)), Engine(torch.device("cpu"), None, torch.contiguous_format)
    with backbone_pass.fastest_pass(backbone, torch.randn(2, 3, 8, 8), 10, engine, registry()) as chosen:
        assert chosen.told == "by torch" and 0 < chosen.seconds < 5
