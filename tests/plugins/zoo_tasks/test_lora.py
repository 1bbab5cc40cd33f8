"""Low-rank adaptation: the network begins as it was, learns corrections and its head alone, and goes with others."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from zoo_tasks.lora import Corrected, Lora, correctable
from zoo_tasks.options import LoraOptions

from zoo.api import AdaptContext, EvaluationResult, Raw
from zoo.errors import UsageError
from zoo.testing.adaptations import features_of
from zoo.testing.fixtures import dummy_data, dummy_target
from zoo.workflows.run import run


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(6, 6, 3, groups=6)
        self.norm = nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.grouped(self.conv(x).relu())).mean((2, 3))
        return self.head(self.fc(x).relu())  # type: ignore[no-any-return]


def context(said: list[str]) -> AdaptContext:
    data = dummy_data(dummy_target("classes"))
    return AdaptContext(data, "head", lambda _model, _part: EvaluationResult({}), said.append, features_of, Raw())


@pytest.fixture
def adapted() -> tuple[nn.Module, nn.Module, dict[str, object], list[str]]:
    torch.manual_seed(0)
    plain, said = Net().eval(), list[str]()
    model, made = Lora(LoraOptions(rank=2)).adapt(copy.deepcopy(plain), context(said))
    return plain, model.eval(), made, said


def test_the_network_begins_as_it_was(adapted) -> None:
    plain, model, made, said = adapted
    inputs = torch.randn(4, 1, 8, 8)
    assert torch.equal(model(inputs), plain(inputs))
    assert made == {"layers": ["conv", "fc"], "head": "head"}
    learned = 2 * 1 * 9 + 6 * 2 + 2 * 6 + 5 * 2 + 5 * 3 + 3
    assert said == [f"lora: 2 layers of rank 2, {learned} trainable parameters"]


def test_corrections_and_the_head_alone_learn(adapted) -> None:
    _, model, _, _ = adapted
    learning = {name for name, each in model.named_parameters() if each.requires_grad}
    corrections = {f"{layer}.{part}.weight" for layer in ("conv", "fc") for part in ("down", "up")}
    assert learning == {*corrections, "head.weight", "head.bias"}


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(2, 3, 3, stride=2, padding=1, dilation=1)])
def test_a_correction_is_a_weight_of_low_rank(layer) -> None:
    """W + (alpha / rank) · B·A in one layer gives the same."""
    torch.manual_seed(0)
    corrected = Corrected(layer, rank=2, alpha=6.0)
    nn.init.normal_(corrected.up.weight)
    inputs = torch.randn(5, 4) if isinstance(layer, nn.Linear) else torch.randn(5, 2, 7, 7)
    merged = copy.deepcopy(layer)
    down, up = corrected.down.weight.flatten(1), corrected.up.weight.flatten(1)
    with torch.no_grad():
        merged.weight += 3.0 * (up @ down).view_as(merged.weight)
    torch.testing.assert_close(corrected(inputs), merged(inputs), rtol=1e-5, atol=1e-5)


def test_it_is_rebuilt_from_its_json_alone(adapted) -> None:
    _, model, made, _ = adapted
    rebuilt = Lora(LoraOptions(rank=2)).rebuild(Net(), json.loads(json.dumps(made)))
    rebuilt.load_state_dict(model.state_dict())
    inputs = torch.randn(4, 1, 8, 8)
    assert torch.equal(rebuilt.eval()(inputs), model(inputs))


def test_frozen_batch_norms_keep_their_statistics(adapted) -> None:
    _, model, _, _ = adapted
    Lora(LoraOptions()).configure_train_mode(model.train())
    assert not model.norm.training
    assert model.training


def test_layers_of_attention_are_left_out() -> None:
    network = nn.TransformerEncoderLayer(8, 2, 16)
    assert correctable(network, None) == ["linear1", "linear2"]


def test_a_network_without_such_layers_is_refused() -> None:
    with pytest.raises(UsageError, match="LoRA needs a linear layer or an ungrouped convolution"):
        Lora(LoraOptions()).adapt(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64)), context([]))


@pytest.mark.parametrize(
    "adapt",
    [
        pytest.param(["lora"], marks=pytest.mark.slow),
        ["transfer", {"lora": {"rank": 2}}],
        pytest.param([{"svd": {"energy": 0.9, "curve": []}}, "transfer"], marks=pytest.mark.slow),
    ],
)
def test_adaptations_are_composed_under_the_task_of_the_data(adapt, tmp_path: Path) -> None:
    """The run is resumed, evaluated and loaded as any other."""
    result = run(
        "cnn",
        overrides={
            "dataset": {"name": "digits", "resize": 28},
            "weights": "digits_0_to_4",
            "adapt": adapt,
            "train": {"epochs": 1, "lr": 0.01},
        },
    )
    assert result.path is not None
    assert len(result.record.adaptations) == len(adapt)
    assert result.metrics["accuracy"] > 0.3  # five of the ten classes are new to it

    from zoo.workflows.evaluate import evaluate_run

    # the run evaluates on cached features, which another pass over the frozen layers computed
    assert evaluate_run(result.path).metrics == pytest.approx(result.metrics, rel=1e-4)
