"""The loss and the gradient of a batch that is taken in pieces are those of the whole, for every task that is
registered and each of its options."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from zoo.api import AdaptContext, Batch, Classes, Loss, Output, Outputs, Split
from zoo.config.item_options import task_options_model
from zoo.config.run_config import Section, TrainConfig
from zoo.data.data_loader import Data, open_data
from zoo.data.loaded_part import LoadedPart
from zoo.data.preprocessing import Preprocessing
from zoo.errors import PluginError, UsageError
from zoo.models.named_outputs import OutputReader
from zoo.registry.lookup import registry
from zoo.registry.plugin_calls import load_object
from zoo.reporting.console import Console
from zoo.runs.build_components import build_adaptations, build_task, statistics_of
from zoo.runs.load_model import load
from zoo.runs.run_directory import RunDir
from zoo.runs.task_plan import plan_task
from zoo.testing.adaptations import features_of
from zoo.training.adaptations import Adaptations
from zoo.training.devices import Engine
from zoo.training.distillation import Distillation
from zoo.training.evaluation import evaluate_part
from zoo.training.losses import PieceLoss, additivity_fault, piece_loss
from zoo.training.optimizer_step import Stepper
from zoo.training.profiling import Profiler
from zoo.training.train_state import Learning
from zoo.training.trainer import take_step

CPU = Engine(torch.device("cpu"), None, torch.contiguous_format)
ALTERNATIVES: dict[str, list[Any]] = {
    "label_smoothing": [0.2],
    "class_weights": ["balanced", [0.2, 1.0, 7.0]],
    "gamma": [0.5, 3.0],
    "distillation": [0.0, 0.5, 1.0],
    "temperature": [4.0],
    "train": ["all"],
}
"""Values that make another loss, of an option of any task.

Tasks that are trained only where they are asked to (``finetune``) are asked.
"""


def variants() -> list[Any]:
    """Each task that has a loss, at its defaults and with each alternative of its options."""
    found = []
    for item in registry().items("task"):
        if not item.spec.needs_architecture or "classes" not in (item.spec.accepts or ("classes",)):
            continue
        fields = task_options_model(registry(), item).model_fields
        if item.spec.target and getattr(load_object(item.spec.target, item), "batchwise", False):
            continue  # pieces of it are refused
        always = {"finetune": True, "budget": 0.5} if "finetune" in fields else {}
        changes = [{}, *({name: value} for name, values in ALTERNATIVES.items() if name in fields for value in values)]
        found += [
            pytest.param(item, always | change, id=f"{item.spec.name} {change or 'defaults'}") for change in changes
        ]
    return found


class Net(nn.Module):
    """Two layers, and in training an auxiliary classifier over the first."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.early = nn.Linear(64, 12), nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Tensor | dict[str, Tensor]:
        features = self.body(inputs.flatten(1)).tanh()
        logits: Tensor = self.head(features)
        return {"output": logits, "early": self.early(features)} if self.training else logits


READER = OutputReader((Output(), Output(name="early", auxiliary=0.3)))


def data(samples: int = 23) -> Data:
    """Three classes, of which the last is rare."""
    random = np.random.RandomState(0)
    split = Split(
        random.randint(0, 256, (samples, 1, 8, 8)).astype(np.uint8), np.array([0, 1, 0, 1, 0, 2, 1] * samples)[:samples]
    )
    preprocessing = Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,))
    part = LoadedPart(split, preprocessing, torch.device("cpu"))
    target = Classes(names=("a", "b", "c"))
    return Data("testing/noise", target, {"train": part, "test": part}, preprocessing, "testing", ())


def stepped(item: Any, options: dict[str, Any], **train: Any) -> tuple[float, Tensor]:
    """The loss of one step of the trainer, and all gradients, read off the weights after plain SGD at a rate of 1."""
    torch.manual_seed(0)
    content, dataset, section = data(), registry().dataset("digits"), Section(name=item.canonical, **options)
    asked = plan_task(registry(), item, dataset)
    plan: Any = SimpleNamespace(
        task=asked,
        dataset=dataset,
        config=SimpleNamespace(task=section, dataset=SimpleNamespace(name=dataset.canonical)),
        learned_options=asked.learned_options(section),
        adaptation_options=asked.adaptation_options(section, []),
    )
    statistics = statistics_of(plan, content.target, content.part("train"))
    task = build_task(plan, content.target, statistics)
    learning = Learning(task, READER, Adaptations(asked.adaptations, build_adaptations(plan)), statistics)
    context = AdaptContext(
        content,
        None,
        lambda network, part: learning.evaluate(network, part, 23),
        print,
        features_of,
        task.decision(None),
    )
    model, learning.made = learning.adaptations.adapt(Net(), context)
    teacher = learning.adaptations.teacher
    learning.distillation = None if teacher is None else Distillation(teacher, content.target)
    settled = TrainConfig(optimizer="sgd", lr=1.0, batch_size=23, **train)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    state: Any = SimpleNamespace(
        config=SimpleNamespace(train=settled), engine=CPU, task=task, learning=learning, data=content,
        stepper=Stepper(model, settled, CPU, 1),
        graph=None,
        progress=SimpleNamespace(step=0), profiler=Profiler(None, torch.device("cpu"), print),
    )  # fmt: skip
    torch.manual_seed(1)
    with READER.reading(model, model.train()) as state.read:
        loss = take_step(state, next(content.part("train").batches(23)))
    return loss.mean.item(), before - nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}], ids=["plain", "mixup", "cutmix"])
@pytest.mark.parametrize(("item", "options"), variants())
def test_pieces_give_the_loss_and_the_gradient_of_the_whole(
    item: Any, options: dict[str, Any], mixing: dict[str, float]
) -> None:
    loss, gradient = stepped(item, options, **mixing)
    for pieces in (2, 5):
        found = stepped(item, options, micro_batches=pieces, **mixing)
        assert found[0] == pytest.approx(loss, rel=1e-5)
        torch.testing.assert_close(found[1], gradient, rtol=1e-4, atol=1e-6)


def test_every_built_in_loss_is_among_them() -> None:
    names = {parameter.values[0].spec.name for parameter in variants()}
    assert {"classification", "transfer", "svd_compress"} <= names


class Plain:
    """Cross-entropy of each sample."""

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        return Loss(F.cross_entropy(outputs["output"], batch.targets, reduction="none"))  # type: ignore[arg-type]


class SelfWeighted:
    """A task whose mean is weighted in each piece by itself, where the weights are the trainer's to sum."""

    def __init__(self, weights: Tensor) -> None:
        self._weights = weights

    def loss(self, outputs: Outputs, batch: Batch) -> Loss:
        output, weights = outputs["output"].double(), self._weights.double()
        weighted = F.cross_entropy(output, batch.targets, weights, reduction="none")  # type: ignore[arg-type]
        return Loss(weighted / weights[batch.targets].mean())


def eight() -> tuple[Tensor, Batch]:
    torch.manual_seed(0)
    labels = torch.tensor([0, 0, 0, 2, 1, 0, 2, 1])
    return torch.randn(8, 3), Batch(torch.zeros(8, 1), labels, torch.arange(8))


def piece(task: Any, logits: Tensor, batch: Batch) -> PieceLoss:
    return piece_loss(task, OutputReader(), {"output": logits}, [(1.0, batch)])


def fault_of(task: Any, logits: Tensor, batch: Batch) -> str | None:
    return additivity_fault(task, OutputReader(), {"output": logits}, batch)


def test_samples_without_weights_count_one_each() -> None:
    logits, batch = eight()
    found = piece(Plain(), logits, batch)
    torch.testing.assert_close(found.mean, F.cross_entropy(logits, batch.targets))  # type: ignore[arg-type]
    assert found.weight == 8.0
    assert fault_of(Plain(), logits, batch) is None


def test_a_mean_that_is_weighted_in_each_piece_is_not_additive_and_both_figures_are_said() -> None:
    """Independent: F.cross_entropy of the whole, and of five and three samples, by their counts."""
    logits, batch = eight()
    logits, weights = logits.double(), torch.tensor([0.1, 1.0, 9.0], dtype=torch.float64)
    whole = F.cross_entropy(logits, batch.targets, weights).item()  # type: ignore[arg-type]
    pieces = sum(
        len(rows) / 8 * F.cross_entropy(logits[rows], batch.targets[rows], weights).item()  # type: ignore[index]
        for rows in torch.arange(8).split([5, 3])  # type: ignore[no-untyped-call]
    )
    fault = fault_of(SelfWeighted(weights), logits, batch)
    assert fault == f"the loss of 8 samples is {whole:.6g}, but {pieces:.6g} in two micro-batches"


def test_values_of_another_shape_are_refused() -> None:
    class Wrong:
        def loss(self, outputs: Outputs, batch: Batch) -> Loss:
            return Loss(outputs["output"].sum(1, keepdim=True))

    with pytest.raises(PluginError, match=r"the shape \(8, 1\), expected one value per sample: \(8,\)"):
        piece(Wrong(), *eight())


def test_weights_of_another_shape_are_refused() -> None:
    class Wrong:
        def loss(self, outputs: Outputs, batch: Batch) -> Loss:
            return Loss(outputs["output"].sum(1), torch.ones(3))

    with pytest.raises(PluginError, match=r"the shape \(8,\) and \(3,\), expected one value per sample: \(8,\)"):
        piece(Wrong(), *eight())


def test_a_loss_that_is_a_number_of_the_whole_batch_is_refused() -> None:
    class Scalar:
        def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
            return outputs["output"].mean()

    with pytest.raises(PluginError, match=r"the task's loss is Tensor, expected a zoo\.api\.Loss") as caught:
        piece(Scalar(), *eight())
    assert caught.value.where == f"{__name__}.{Scalar.__qualname__}.loss" and "\n" not in str(caught.value)


def test_no_gradient_flows_through_weights() -> None:
    class Sure:
        def loss(self, outputs: Outputs, batch: Batch) -> Loss:
            logits = outputs["output"]
            return Loss(logits[:, 0], logits[:, 0].exp())

    logits, batch = eight()
    logits.requires_grad_()
    piece(Sure(), logits, batch).mean.backward()  # type: ignore[no-untyped-call]
    weights = logits[:, 0].exp().detach()
    torch.testing.assert_close(logits.grad[:, 0], weights / weights.sum())  # type: ignore[index]


def test_auxiliary_outputs_add_their_weighted_share_of_the_same_weights() -> None:
    """Independent: the weighted means of F.cross_entropy, added."""

    class Weighted:
        weights = torch.tensor([0.1, 1.0, 9.0])

        def loss(self, outputs: Outputs, batch: Batch) -> Loss:
            assert set(outputs) == {"output"}  # an auxiliary one stands in the main one's place
            return Loss(
                F.cross_entropy(outputs["output"], batch.targets, reduction="none"),  # type: ignore[arg-type]
                self.weights[batch.targets],
            )

    logits, batch = eight()
    logits.requires_grad_()
    reader = OutputReader((Output(name="early", auxiliary=0.3), Output()))
    found = piece_loss(Weighted(), reader, {"early": -logits, "output": logits}, [(1.0, batch)])  # type: ignore[arg-type]
    one, other = (F.cross_entropy(each, batch.targets, Weighted.weights) for each in (logits, -logits))  # type: ignore[arg-type]
    torch.testing.assert_close(found.mean, one + 0.3 * other)
    assert float(found.weight) == pytest.approx(float(Weighted.weights[batch.targets].sum()))
    silent = piece_loss(Weighted(), reader, {"early": -logits.detach(), "output": logits}, [(1.0, batch)])  # type: ignore[arg-type]
    torch.testing.assert_close(silent.mean, one)  # nothing learns by it


def test_a_run_whose_loss_cannot_be_taken_in_pieces_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from zoo_tasks.classification import Classification

    faulty = SelfWeighted(torch.arange(1.0, 11.0))
    monkeypatch.setattr(Classification, "loss", lambda _self, outputs, batch: faulty.loss(outputs, batch))
    overrides = {"train": {"micro_batches": 2}, "dataset": {"resize": 16}, "device": "cpu"}
    with pytest.raises(
        UsageError,
        match=r"this task's loss cannot be computed in micro-batches: the loss of 7 samples is .*train\.micro_batches",
    ):
        zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "none", console=Console(quiet=True))
    assert not (tmp_path / "none").exists()
    assert (
        zoo.run("cnn_digits", overrides={**overrides, "train": {}}, dry_run=True, console=Console(quiet=True)).path
        is None
    )


def test_the_mean_loss_of_an_epoch_is_weighted_over_all_its_samples(tmp_path: Any) -> None:
    """Independent: F.cross_entropy of all samples at once, by a network that does not move; the last batch is
    smaller."""
    weights = [0.1, 9.0, *[1.0] * 8]
    overrides = {
        "train": {"epochs": 1, "batch_size": 100, "lr": 1e-12, "optimizer": "sgd", "micro_batches": 3},
        "dataset": {"resize": 16}, "task": {"class_weights": weights}, "device": "cpu",
    }  # fmt: skip
    result = zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    run = RunDir(tmp_path / "run")
    part = open_data(registry(), run.config.dataset, CPU.device, preprocessing=result.record.preprocessing).part(
        "train"
    )
    batch = next(part.batches(len(part)))
    with torch.no_grad():
        expected = F.cross_entropy(load(run.path)(batch.inputs), batch.targets, torch.tensor(weights)).item()  # type: ignore[arg-type]
    assert run.epochs()[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [7, 100, 1000])
def test_the_loss_of_an_evaluation_does_not_depend_on_its_batches(size: int) -> None:
    from zoo_tasks.classification import Classification
    from zoo_tasks.options import ClassificationOptions

    content = data()
    task, part = Classification(ClassificationOptions(), content.target, {}), content.part("test")
    torch.manual_seed(0)
    model = Net().eval()
    with torch.no_grad():
        found = evaluate_part(model, task, task.decision(None), part, size, READER).metrics["loss"]
        batch = next(part.batches(23))
        assert found == pytest.approx(F.cross_entropy(model(batch.inputs), batch.targets).item(), rel=1e-6)
