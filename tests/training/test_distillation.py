"""A teacher's answers in the loss: each kind of target by its formula, and the same pixels for both networks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_tasks.classification import Classification
from zoo_tasks.options import ClassificationOptions

from zoo.api import (
    MAIN_OUTPUT,
    Batch,
    Classes,
    Loss,
    Mask,
    MultiLabel,
    Opaque,
    Output,
    Split,
    Target,
    Teacher,
    Values,
)
from zoo.config.run_config import TrainConfig
from zoo.data.loaded_part import LoadedPart
from zoo.data.mixup import Mixture, mix, unmixed
from zoo.data.preprocessing import Preprocessing
from zoo.models.named_outputs import OutputReader
from zoo.training.devices import Engine
from zoo.training.distillation import Distillation, distance, on_device, weights_digest
from zoo.training.optimizer_step import Stepper
from zoo.training.profiling import Profiler
from zoo.training.train_state import Learning
from zoo.training.trainer import forward, take_step

NAMES = ("a", "b", "c")
TEMPERATURES = [1.0, 2.0, 5.0]
CPU = Engine(torch.device("cpu"), None, torch.contiguous_format)


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    """An output and a teacher's answer."""
    generator = torch.Generator().manual_seed(0)
    return tuple(3 * torch.randn(*shape, generator=generator) for _ in range(2))  # type: ignore[return-value]


def divergence(answer: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Σ p (log p - log q) over the second axis, of probabilities."""
    return np.asarray((answer * (np.log(answer) - np.log(output))).sum(1))


def softmax(values: np.ndarray) -> np.ndarray:
    exponentials = np.exp(values)
    return np.asarray(exponentials / exponentials.sum(1, keepdims=True))


# ------------------------------------------------------------------------------------------------- distances by formula


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_of_classes_it_is_the_divergence_at_the_temperature(temperature: float) -> None:
    output, answer = pair(7, 3)
    expected = divergence(*(softmax(each.double().numpy() / temperature) for each in (answer, output)))
    found = distance(Classes(names=NAMES), output, answer, temperature)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_of_masks_it_is_the_mean_over_the_pixels(temperature: float) -> None:
    output, answer = pair(7, 3, 4, 5)
    expected = divergence(*(softmax(each.double().numpy() / temperature) for each in (answer, output)))
    found = distance(Mask(names=NAMES), output, answer, temperature)
    assert found.shape == (7,)
    np.testing.assert_allclose(found.numpy(), expected.mean((1, 2)), rtol=1e-4)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_of_labels_it_is_the_mean_divergence_of_each_present_or_not(temperature: float) -> None:
    output, answer = pair(7, 3)
    likely = [1 / (1 + np.exp(-each.double().numpy() / temperature)) for each in (answer, output)]
    expected = divergence(*(np.stack([each, 1 - each], 1) for each in likely)).mean(1)
    found = distance(MultiLabel(names=NAMES), output, answer, temperature)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("target", "shape"),
    [(Values(names=NAMES), (7, 3)), (Opaque(dtype="float32", shape=(4, 5)), (7, 1, 4, 5))],
    ids=["values", "opaque"],
)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_of_numbers_it_is_the_mean_square_whatever_the_temperature(
    target: Target, shape: tuple[int, ...], temperature: float
) -> None:
    output, answer = pair(*shape)
    expected = ((output - answer).double().numpy() ** 2).reshape(7, -1).mean(1)
    found = temperature**2 * distance(target, output, answer, temperature)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "target",
    [Classes(names=NAMES), MultiLabel(names=NAMES), Values(names=NAMES), Mask(names=NAMES)],
    ids=lambda target: target.kind,
)
def test_of_the_teacher_s_own_answer_it_is_nothing(target: Target) -> None:
    _, answer = pair(*((7, 3, 4, 5) if target.kind == "mask" else (7, 3)))
    assert distance(target, answer, answer, 2.0).abs().max() < 1e-6


def test_a_teacher_s_map_of_another_size_is_brought_to_that_of_the_output() -> None:
    """Independent: an answer that is constant over the image stays it, so the size makes no difference."""
    output, _ = pair(2, 3, 8, 8)
    _, answer = pair(2, 3, 1, 1)
    for target in (Mask(names=NAMES), Opaque(dtype="float32", shape=(None, None))):
        found = distance(target, output, answer.expand(2, 3, 4, 6), 2.0)
        torch.testing.assert_close(found, distance(target, output, answer.expand(2, 3, 8, 8), 2.0))


# ------------------------------------------------------------------------------------------------------------ in a loss


def made(share: float, temperature: float = 2.0, model: nn.Module | None = None, **more: Any) -> Distillation:
    teacher = Teacher(model or nn.Identity(), share, temperature)
    return Distillation(teacher, Classes(names=NAMES), **more)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_divides_the_loss_between_targets_and_teacher_and_leaves_weights(share: float) -> None:
    output, answer = pair(7, 3)
    values, weights = torch.rand(7), torch.rand(7)
    batch = Batch(torch.zeros(7, 1), torch.zeros(7, dtype=torch.int64), torch.arange(7), {MAIN_OUTPUT: answer})
    found = made(share).taught(Loss(values, weights), output, batch)
    soft = F.kl_div((output / 2).log_softmax(1), (answer / 2).softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(found.values, (1 - share) * values + share * 4 * soft)
    assert found.weights is weights
    if share == 0:
        assert torch.equal(found.values, values)


def test_without_answers_a_loss_is_what_it_was() -> None:
    batch = Batch(torch.zeros(7, 1), torch.zeros(7, dtype=torch.int64), torch.arange(7))
    loss = Loss(torch.rand(7))
    assert made(0.5).taught(loss, torch.zeros(7, 3), batch) is loss


# ------------------------------------------------------------------------------------------------ what the teacher sees


class Seeing(nn.Module):
    """A teacher that remembers what it was shown; its main output stands behind another one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.layer, self.seen = nn.Linear(64, 3), list[Tensor]()

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        assert not self.training and not torch.is_grad_enabled()
        self.seen.append(inputs)
        return {"map": inputs, "logits": self.layer(inputs.flatten(1))}


DECLARED = OutputReader((Output(name="logits"), Output(name="map", kind="map")))


def part(samples: int = 23) -> LoadedPart:
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (samples, 1, 8, 8)).astype(np.uint8)
    preprocessing = Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.25,))
    return LoadedPart(Split(images, random.randint(0, 3, samples)), preprocessing, torch.device("cpu"))


class Net(nn.Module):
    """In training mode with an auxiliary output."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.early = nn.Linear(64, 12), nn.Linear(12, 3), nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Any:
        features = self.body(inputs.flatten(1)).tanh()
        return {"output": self.head(features), "early": self.early(features)} if self.training else self.head(features)


def state_of(teacher: nn.Module, share: float, **train: Any) -> Any:
    torch.manual_seed(0)
    model, target = Net(), Classes(names=NAMES)
    task = Classification(ClassificationOptions(), target, {})
    reader = OutputReader((Output(), Output(name="early", auxiliary=0.3)))
    given = Teacher(teacher, share, 3.0)
    on_device(given, CPU.device)
    learning = Learning(task, reader, distillation=Distillation(given, target, DECLARED))
    settled = TrainConfig(optimizer="sgd", lr=1.0, batch_size=23, **train)
    return SimpleNamespace(
        config=SimpleNamespace(train=settled),
        engine=CPU,
        task=task,
        learning=learning,
        model=model.train(),
        data=SimpleNamespace(target=target),
        stepper=Stepper(model, settled, CPU, 1),
        graph=None,
        progress=SimpleNamespace(step=0),
        profiler=Profiler(None, CPU.device, print),
    )


def expected_loss(state: Any, mixture: Mixture, share: float) -> Tensor:
    """By F.cross_entropy and F.kl_div, for both outputs of the network."""
    answer = state.learning.distillation.teacher.model.layer(mixture.inputs.flatten(1))
    outputs, total = state.model(mixture.inputs), torch.zeros(())
    for name, weight in (("output", 1.0), ("early", 0.3)):
        hard = sum(part * F.cross_entropy(outputs[name], batch.targets) for part, batch in mixture.parts)  # type: ignore[arg-type]
        soft = F.kl_div((outputs[name] / 3).log_softmax(1), (answer / 3).softmax(1), reduction="batchmean")
        total = total + weight * ((1 - share) * hard + share * 9 * soft)
    return total


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}, {"cutmix": 1.0}], ids=["plain", "mixup", "cutmix"])
def test_the_teacher_answers_once_to_the_mixed_pixels_that_the_network_sees(
    mixing: dict[str, float], share: float
) -> None:
    state = state_of(Seeing(), share)
    torch.manual_seed(1)
    batch = next(part().batches(23))
    mixture = mix(batch, mixing.get("mixup"), mixing.get("cutmix"))
    with state.learning.reader.reading(state.model, state.model) as state.read:
        found = forward(state, mixture).mean
    (seen,) = state.learning.distillation.teacher.model.seen
    assert torch.equal(seen, mixture.inputs)
    assert torch.equal(seen, batch.inputs) is (not mixing)
    torch.testing.assert_close(found, expected_loss(state, mixture, share))


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.4}], ids=["plain", "mixup"])
def test_a_batch_in_pieces_is_taught_as_the_whole(mixing: dict[str, float]) -> None:
    found = []
    for pieces in (1, 2, 5):
        state = state_of(Seeing(), 0.6, micro_batches=pieces, **mixing)
        torch.manual_seed(1)
        with state.learning.reader.reading(state.model, state.model) as state.read:
            loss = take_step(state, next(part().batches(23))).mean
        found.append((loss, nn.utils.parameters_to_vector(state.model.parameters()).detach()))
    for loss, weights in found[1:]:
        torch.testing.assert_close(loss, found[0][0])
        torch.testing.assert_close(weights, found[0][1], rtol=1e-4, atol=1e-5)


def test_answers_of_a_table_are_those_of_the_images_by_sample() -> None:
    teacher = Seeing()
    given = Teacher(teacher, 0.5, 2.0)
    on_device(given, CPU.device)
    direct, kept = (Distillation(given, Classes(names=NAMES), DECLARED, lambda inputs: 2 * inputs) for _ in range(2))
    kept.tabulate(part(), 7)
    assert kept.table is not None and kept.table.shape == (23, 3)
    shown = len(teacher.seen)
    rows = np.array([20, 3, 3, 11])
    (batch,) = part().batches_of(rows, 4)
    features = batch._replace(inputs=torch.zeros(4, 5))  # as a frozen backbone gives them
    ((_, found),) = kept.attached(unmixed(features).parts, features.inputs)
    assert len(teacher.seen) == shown  # it is not asked again
    ((_, due),) = direct.attached(unmixed(batch).parts, batch.inputs)
    torch.testing.assert_close(found.teacher[MAIN_OUTPUT], due.teacher[MAIN_OUTPUT])


def test_a_teacher_learns_nothing_and_is_in_eval_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3)).train()
    assert on_device(Teacher(model), CPU.device) is model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_digest_of_weights_hears_of_every_tensor() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    before = weights_digest(model)
    assert weights_digest(model) == before
    model[1].running_mean[0] += 1  # type: ignore[index,operator]
    assert weights_digest(model) != before
