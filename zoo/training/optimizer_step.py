"""One training step: optimizer, learning rate schedule, fp16 loss scaler and moving average, with their state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zoo.config.run_config import TrainConfig
from zoo.models.building import load_state
from zoo.training.devices import Engine
from zoo.training.optimizer_state import optimizer_state, restore_optimizer
from zoo.training.optimizers import build_optimizer, build_schedule
from zoo.training.step_graph import captures, optimizer_fault
from zoo.training.weight_averaging import MovingAverage

RAW = "raw/"
"""The prefix of the trained weights in a checkpoint whose model is their moving average."""


class NumbersOnDevice:
    """The numbers that change from step to step, learning rates and averaging weight, as tensors on the device, so that
    a recorded step (`zoo.training.step_graph`) reads those of the current step."""

    def __init__(self, optimizer: Optimizer, device: torch.device) -> None:
        self._optimizer = optimizer
        self._rates = [torch.zeros((), device=device) for _ in optimizer.param_groups]
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        """As numbers."""
        self.weight = torch.zeros((), device=device)

    def place(self, weight: float | None) -> None:
        """Copy the learning rates of the optimizer, and the averaging weight, to the device."""
        for at, (group, tensor) in enumerate(zip(self._optimizer.param_groups, self._rates, strict=True)):
            if group["lr"] is not tensor:
                self.rates[at] = float(group["lr"])
                group["lr"] = tensor.fill_(self.rates[at])
        if weight is not None:
            self.weight.fill_(weight)

    def take_back(self) -> None:
        """Set the learning rates of the optimizer to numbers again, as a checkpoint stores them."""
        for group, rate in zip(self._optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate


class Stepper:
    """Performs the training steps of a ``model`` on its device.

    Raises UsageError for an unknown optimizer, schedule or option.
    """

    def __init__(
        self,
        model: nn.Module,
        train: TrainConfig,
        engine: Engine,
        steps_per_epoch: int,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.model, self._clip_norm = model, train.clip_norm
        self.average = None if train.ema_decay is None else MovingAverage(model, train.ema_decay)
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=engine.autocast == torch.float16)
        recorded = captures(train, engine)
        self.optimizer = build_optimizer(model, train, rates, capturable=recorded and engine.device.type == "cuda")
        self.schedule = build_schedule(self.optimizer, train, steps_per_epoch)
        recorded = recorded and optimizer_fault(self.optimizer) is None
        self._numbers = NumbersOnDevice(self.optimizer, engine.device) if recorded else None

    @property
    def result(self) -> nn.Module:
        """The model to evaluate and save: the moving average if there is one, otherwise the model."""
        return self.model if self.average is None else self.average.model

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"]) if self._numbers is None else self._numbers.rates[0]

    def set_rates(self, step: int) -> None:
        """Set the learning rates for a step, counted from 0."""
        if self.schedule is not None:
            self.schedule(step)
        if self._numbers is not None:
            self._numbers.place(None if self.average is None else self.average.next_weight())

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def multiply_gradients(self, factor: Tensor) -> None:
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        torch._foreach_mul_(gradients, factor)

    def update(self) -> None:
        """Update the weights, and then the moving average.

        The fp16 loss scaler skips a step whose gradients overflow; the moving average then does not change either.
        """
        scale = self.scaler.get_scale()
        if self._clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.average is not None and self.scaler.get_scale() >= scale:
            self.average.update(
                self.model, self.average.next_weight() if self._numbers is None else self._numbers.weight
            )

    def changed(self) -> list[Tensor]:
        """Return all tensors that a step changes."""
        weights = [each for each in self.model.parameters() if each.requires_grad] + list(self.model.buffers())
        averages = [] if self.average is None else list(self.average.model.state_dict().values())
        slots = [value for slot in self.optimizer.state.values() for value in slot.values()]
        return [each.detach() for each in weights + averages + slots if isinstance(each, Tensor)]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all state except the weights of `result`, as tensors and JSON."""
        if self._numbers is not None:
            self._numbers.take_back()
        tensors, optimizer = optimizer_state(self.optimizer, self.model)
        if self.average is not None:
            tensors |= {RAW + name: value for name, value in self.model.state_dict().items()}
        averaged = 0 if self.average is None else self.average.updates
        return tensors, {"optimizer": optimizer, "scaler": self.scaler.state_dict(), "averaged": averaged}

    def restore(
        self, weights: dict[str, Tensor], tensors: dict[str, Tensor], state: Mapping[str, Any], where: object
    ) -> None:
        """Restore the state returned by `state`; ``weights`` are those of `result`.

        Raises CheckpointError if they do not fit.
        """
        load_state(self.result, weights, where)
        if self.average is not None:
            load_state(
                self.model,
                {name.removeprefix(RAW): value for name, value in tensors.items() if name.startswith(RAW)},
                where,
            )
            self.average.updates = state["averaged"]
        self.scaler.load_state_dict(state["scaler"])
        restore_optimizer(self.optimizer, self.model, tensors, state["optimizer"])
