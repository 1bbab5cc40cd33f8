"""Check, before a run's first step, that training with its settings can be resumed bit-identically.

An optimizer may keep state outside its state_dict (a random generator, a counter), or may not support the parameters.
The check finds both, for any optimizer, with a few small parameters: some steps, a checkpoint in memory, then the next
steps twice, with the original and with the restored state.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from zoo.config.run_config import TrainConfig
from zoo.errors import UsageError, ZooError
from zoo.training.devices import Engine
from zoo.training.optimizer_step import Stepper
from zoo.training.random_states import generators, same_generators, set_generators

BEFORE, AFTER = 4, 9
"""Steps before and after the checkpoint. Together they pass the sixth (where Lookahead synchronises its slow weights)
and the tenth."""
OVERFLOWS = (1, 6)
"""Steps with infinite gradients for fp16, so that the loss scale changes before and after the checkpoint."""
SIDES = (20, 18, 3, 3, 3)
"""The side lengths of a parameter; more than 16, from which some optimizers factorise their state."""


class Probe(nn.Module):
    """A module with a parameter for each number of dimensions; its loss is a smooth function of them and the step."""

    def __init__(self, dimensions: Collection[int], device: torch.device, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)
        self.weights = nn.ParameterList(
            nn.Parameter(self._drawn(SIDES[:count]).to(device)) for count in sorted(dimensions)
        )

    def _drawn(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=self._generator)

    def forward(self, step: int) -> Tensor:
        self._generator.manual_seed(step)
        losses = [(weight * self._drawn(tuple(weight.shape)).to(weight.device)).sin().mean() for weight in self.weights]
        return torch.stack(losses).sum()


def check_exact(train: TrainConfig, model: nn.Module, engine: Engine, steps: int) -> None:
    """Check optimizer, schedule and precision of a training of ``steps`` steps, with parameters of the same numbers of
    dimensions as ``model``'s.

    Raises UsageError if a step fails, if the state cannot be stored, or if a resumed training differs.
    """
    dimensions = {min(each.ndim, len(SIDES)) for each in model.parameters() if each.requires_grad} or {1, 2, 3, 4}
    try:
        with same_generators(engine.device):
            difference = first_difference(train, dimensions, engine, steps)
    except ZooError:
        raise
    except Exception as error:  # a third-party optimizer may raise anything; the user can choose another
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"a step of the optimizer fails: {reason}",
            where=f"train.optimizer={train.optimizer}",
            fix="choose another optimizer, such as adamw",
        ) from error
    if difference is not None:
        raise UsageError(
            f"a run with this optimizer could not be resumed exactly: its {difference} differs after saving and "
            "restoring",
            where=f"train.optimizer={train.optimizer}",
            fix="choose another optimizer, such as adamw",
        )


def first_difference(train: TrainConfig, dimensions: Collection[int], engine: Engine, steps: int) -> str | None:
    """Return the first difference between an uninterrupted and a restored training, or None."""
    one = _Trial(train, dimensions, engine, steps, seed=0)
    one.take(range(BEFORE))
    kept = one.checkpoint()
    one.take(range(BEFORE, BEFORE + AFTER))
    other = _Trial(train, dimensions, engine, steps, seed=1)
    other.restore(kept)
    other.take(range(BEFORE, BEFORE + AFTER))
    (expected, expected_json), (found, found_json) = one.content(), other.content()
    for name, value in expected.items():
        if name not in found or value.dtype != found[name].dtype or not torch.equal(value, found[name]):
            return f"'{name.rpartition('/')[2]}'"
    return None if expected_json == found_json and expected.keys() == found.keys() else "state"


class _Trial:
    def __init__(self, train: TrainConfig, dimensions: Collection[int], engine: Engine, steps: int, seed: int) -> None:
        self.probe = Probe(dimensions, engine.device, seed)
        self.stepper = Stepper(self.probe, train, engine, max(1, steps // train.epochs))
        self._device, self._steps = engine.device, steps

    def take(self, numbers: range) -> None:
        """Take these steps of the probe, spread over all steps of the schedule."""
        with uncompiled():
            for number in numbers:
                self.stepper.set_rates(number * self._steps // (BEFORE + AFTER))
                loss = self.probe(number)
                self.stepper.backward(
                    loss * torch.inf if self.stepper.scaler.is_enabled() and number in OVERFLOWS else loss
                )
                self.stepper.update()

    def content(self) -> tuple[dict[str, Tensor], str]:
        """Return weights and state as tensors, and the rest of the state as JSON."""
        tensors, state = self.stepper.state()
        weights = {f"weights/{name}": value for name, value in self.stepper.result.state_dict().items()}
        return {
            name: value.detach().cpu().contiguous().clone() for name, value in (tensors | weights).items()
        }, json.dumps(state)

    def checkpoint(self) -> tuple[bytes, str, dict[str, Tensor]]:
        tensors, state = self.content()
        return save(tensors), state, generators(self._device)

    def restore(self, kept: tuple[bytes, str, dict[str, Tensor]]) -> None:
        content, state, generator_states = kept
        tensors = load(content)
        weights = {
            name.removeprefix("weights/"): tensors.pop(name) for name in list(tensors) if name.startswith("weights/")
        }
        self.stepper.restore(weights, tensors, json.loads(state), "memory")
        set_generators(generator_states, self._device)


def uncompiled() -> AbstractContextManager[object]:
    """Disable torch.compile, if it is in use: compiling for a few small steps could take minutes."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
