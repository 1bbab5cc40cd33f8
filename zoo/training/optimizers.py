"""Optimizers and learning rate schedules by name: torch's first, then timm's."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from zoo.config.run_config import TrainConfig
from zoo.errors import UsageError, nearest

Schedule = Callable[[int], None]
"""Sets the learning rates for a step, counted from 0, before it is taken."""

TORCH = {
    name.lower(): value
    for name, value in vars(torch.optim).items()
    if isinstance(value, type)
    and issubclass(value, Optimizer)
    and value is not Optimizer
    and name != "LBFGS"  # needs a closure
}


SCHEDULES = ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt")
"""timm's schedules, except plateau, whose learning rate depends on more than the step."""


def build_optimizer(
    model: nn.Module, config: TrainConfig, rates: Mapping[str, float] | None = None, *, capturable: bool = False
) -> Optimizer:
    """Return the optimizer of the trainable parameters; ``rates`` are learning rate multipliers by parameter name.

    With ``capturable``, torch's optimizers keep their counters on the device, as a CUDA graph needs.

    Raises UsageError for an unknown optimizer, with the closest match, or an option that it does not accept.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    parameters = list(named.values())
    shares = {name: (rates or {}).get(name, 1.0) for name in named}
    groups = []
    for share in sorted(set(shares.values()), reverse=True):
        rate = {} if share == 1.0 else {"lr": config.lr * share}
        groups += [
            {**group, **rate}
            for group in _groups([each for name, each in named.items() if shares[name] == share], config)
        ]
    options: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay, **config.optimizer_options}
    if config.momentum is not None:
        options["momentum"] = config.momentum
    known = TORCH.get(config.optimizer.lower())
    try:
        if known is None:
            return _timm_optimizer(groups, config.optimizer, options)
        takes = inspect.signature(known).parameters
        if "fused" in takes and "fused" not in options and _can_fuse(parameters):
            options["fused"] = True  # one kernel for all parameters is faster than a kernel for each
        if capturable and "capturable" in takes:
            options["capturable"] = True
        if config.weight_decay == 0 and "weight_decay" not in takes:
            del options["weight_decay"]
        return known(groups, **options)
    except (
        TypeError,
        ValueError,
        AssertionError,
        RuntimeError,
        ImportError,
    ) as error:  # timm and the libraries that it wraps raise any of these
        raise UsageError(
            f"the optimizer does not accept its options: {error}",
            where=f"train.optimizer={config.optimizer}",
            fix="change the train options",
        ) from error


def _groups(parameters: list[nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    """Return one parameter group, or two if biases and norm parameters (all 1-D) have no weight decay."""
    if config.weight_decay_scope == "all":
        return [{"params": parameters}]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _can_fuse(parameters: list[nn.Parameter]) -> bool:
    return all(parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in parameters)


def _timm_optimizer(groups: list[dict[str, Any]], name: str, options: dict[str, Any]) -> Optimizer:
    from timm.optim import create_optimizer_v2, list_optimizers

    known = list_optimizers()
    if name.lower().removeprefix("lookahead_") not in known:
        near = nearest(name.lower(), [*TORCH, *known])
        raise UsageError(
            f"no optimizer is called '{name}'",
            fix=f"did you mean {' or '.join(near)}?" if near else f"one of torch's: {', '.join(TORCH)}",
        )
    optimizer: Optimizer = create_optimizer_v2(groups, opt=name, **options)
    return optimizer


def build_schedule(optimizer: Optimizer, config: TrainConfig, steps_per_epoch: int) -> Schedule | None:
    """Return the learning rate schedule, or None for a constant learning rate.

    Raises UsageError for an unknown name or option.
    """
    schedule = _schedule(optimizer, config, steps_per_epoch)
    steps = round(config.warmup_epochs * steps_per_epoch)
    return schedule if steps == 0 else _warm_up(optimizer, schedule, steps)


def _warm_up(optimizer: Optimizer, schedule: Schedule | None, steps: int) -> Schedule:
    """Return ``schedule`` with linear warmup: learning rates multiplied by a factor that rises to 1 over ``steps``."""
    constant = [group["lr"] for group in optimizer.param_groups]

    def set_rates(step: int) -> None:
        if schedule is not None:
            schedule(step)
        share = min(1.0, (step + 1) / steps)
        for group, rate in zip(optimizer.param_groups, constant, strict=True):
            group["lr"] = share * (rate if schedule is None else group["lr"])

    return set_rates


def _schedule(optimizer: Optimizer, config: TrainConfig, steps_per_epoch: int) -> Schedule | None:
    if config.schedule == "constant":
        if config.schedule_options:
            raise UsageError(
                "a constant schedule has no options", where="train.schedule_options", fix="set train.schedule"
            )
        return None
    if config.schedule not in SCHEDULES:
        near = nearest(config.schedule, SCHEDULES, count=1)
        advice = f"did you mean {near[0]}?" if near else f"choose one of: constant, {', '.join(SCHEDULES)}"
        raise UsageError(f"no schedule is called '{config.schedule}'", where="train.schedule", fix=advice)
    if config.schedule == "cosine" and not config.schedule_options:
        return _cosine(optimizer, config.epochs * steps_per_epoch)
    from timm.scheduler import create_scheduler_v2

    options: dict[str, Any] = dict(config.schedule_options)
    try:
        scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=config.schedule,
            num_epochs=config.epochs,
            step_on_epochs=False,
            updates_per_epoch=steps_per_epoch,
            **options,
        )
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        where = f"train.schedule={config.schedule}"
        raise UsageError(
            f"the schedule does not accept its options: {error}", where=where, fix="change train.schedule_options"
        ) from error
    update: Schedule = scheduler.step_update
    return update


def _cosine(optimizer: Optimizer, steps: int) -> Schedule:
    """From the full learning rate to 0 along half a cosine (Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983,
    equation 5 without restarts).

    The same to the bit as timm's without options, whose import costs as long as some runs train.
    """
    full = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]

    def set_rates(step: int) -> None:
        for group, rate in zip(optimizer.param_groups, full, strict=True):
            group["lr"] = 0.5 * rate * (1 + math.cos(math.pi * step / steps)) if step < steps else 0.0

    return set_rates
