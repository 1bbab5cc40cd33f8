"""The trainer: `fit` trains any model for any task on any data and device. It has no code for particular tasks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor

from zoo.api import Batch
from zoo.data.batch_sampler import last_joined, one_left_over
from zoo.data.mixup import Mixture, mix, split
from zoo.errors import Interrupted, SetupError
from zoo.support import counter_random
from zoo.support.formatting import figure
from zoo.support.stop_signals import StopRequest, stop_on_signals
from zoo.training.devices import out_of_memory
from zoo.training.losses import PieceLoss, piece_loss
from zoo.training.resume import save
from zoo.training.train_state import Progress, TrainState, micro_batch, read_losses


def fit(state: TrainState) -> Progress:
    """Train from the current state to the last epoch.

    Raises DivergedError if a loss was not finite, and Interrupted, after writing a checkpoint, on a stop signal.
    """
    epochs, monitored = state.config.train.epochs, state.task.monitor.metric
    state.watch.begin(state.progress, state.steps_per_epoch, epochs, monitored)
    with (
        stop_on_signals() as stop,
        state.logs,
        state.reading(),
        out_of_memory(asked_memory(state)),
        state.profiler.running(),
    ):
        evaluate_start(state)
        for epoch in remaining_epochs(state):
            state.begin_epoch(epoch)
            started = time.perf_counter(), state.progress.batch
            for batch in state.profiler.batches(remaining_batches(state, epoch)):
                loss = take_step(state, batch)
                account(state, batch, loss)
                save_if_due(state)
                stop_if_asked(state, stop)
                state.profiler.step()
            row = close_epoch(state, epoch, *started)
            remember_best(state, row)
            save(state)
            stop_if_asked(state, stop)
    return state.progress


def evaluate_start(state: TrainState) -> None:
    """Evaluate the network before the first step, as epoch 0, if ``train.evaluate_start`` asks for it."""
    progress = state.progress
    if not state.config.train.evaluate_start or progress.step or progress.best:
        return
    found = state.evaluate("val").metrics
    metric = state.task.monitor.metric
    remember_best(state, {f"val_{metric}": found[metric]})
    save(state)
    state.watch.print(f"before training: val {figure(metric, found[metric])}")


def remaining_epochs(state: TrainState) -> Iterator[int]:
    """Yield the remaining epochs; stop early after ``train.patience`` epochs without improvement, or if
    ``state.early_stop`` has a reason."""
    train = state.config.train
    while state.progress.epoch < train.epochs:
        best = state.progress.best
        asked = state.early_stop if state.progress.epoch and not state.progress.batch else None
        reason = None if asked is None else asked(state.run.epochs())
        if reason is not None:
            state.watch.print(f"stopping early: {reason}")
            return
        if train.patience is not None and best is not None and state.progress.epoch - best["epoch"] >= train.patience:
            state.watch.print(
                f"stopping early: none of the last {train.patience} epochs was better than epoch {best['epoch']}"
            )
            return
        yield state.progress.epoch


def remaining_batches(state: TrainState, epoch: int) -> Iterator[Batch]:
    """Yield the remaining batches of an epoch, in the order given by (seed, epoch)."""
    train = state.config.train
    order = counter_random.order(state.config.seed, epoch, len(state.part))
    augment = None if state.augmenter is None else state.augmenter.of_epoch(epoch)
    if train.drop_last:
        order = order[: state.steps_per_epoch * train.samples_per_step]
    batches = state.part.batches_of(order, train.samples_per_step, state.progress.batch, augment)
    return (
        last_joined(batches, state.steps_per_epoch - state.progress.batch)
        if one_left_over(len(order), train.samples_per_step)
        else batches
    )


def take_step(state: TrainState, batch: Batch) -> PieceLoss:
    """Take the next training step, and return the batch's loss, on the device."""
    state.stepper.set_rates(state.progress.step)
    step = partial(compute_step, state)
    return step(batch) if state.graph is None else state.graph.take(batch, step)


def compute_step(state: TrainState, batch: Batch) -> PieceLoss:
    """Run forward and backward for each micro-batch, then one update; return the batch's loss, on the device.

    The sum of the sample weights is only known after the last micro-batch. Until then, gradients are normalised by the
    number of samples. A CUDA graph repeats what this does on the device (`zoo.training.step_graph`).
    """
    train, samples = state.config.train, len(batch.inputs)
    with state.profiler.phase("forward"):
        pieces = split(
            mix(batch, train.mixup, train.cutmix, masks=state.data.target.kind == "mask"),
            max(samples, 1) if train.micro_batches == 1 else micro_batch(train),
        )
    parts: list[Tensor] = []
    weight: Tensor | float = 0.0
    for piece in pieces:
        with state.profiler.phase("forward"):
            found = forward(state, piece)
            part = found.mean if len(pieces) == 1 else found.mean * (found.weight / samples)
        with state.profiler.phase("backward"):
            state.stepper.backward(part)
        parts.append(part.detach())
        weight = weight + found.weight
    loss = sum(parts[1:], parts[0])
    if len(pieces) > 1 and isinstance(weight, Tensor):
        state.stepper.multiply_gradients(samples / weight)
        loss = loss * (samples / weight)
    with state.profiler.phase("optimizer"):
        state.stepper.update()
    return PieceLoss(loss, weight)


def forward(state: TrainState, mixture: Mixture) -> PieceLoss:
    """Return the loss of one micro-batch, in the precision and memory format of the run."""
    engine = state.engine
    inputs = mixture.inputs
    if inputs.ndim == 4:  # images or maps, not flat features
        inputs = inputs.contiguous(memory_format=engine.memory_format)
    precision = nullcontext() if engine.autocast is None else torch.autocast(engine.device.type, engine.autocast)
    distillation, parts = state.learning.distillation, mixture.parts
    if distillation is not None:
        parts = tuple(distillation.attached(parts, inputs))
    with precision, compiler_errors() if state.config.train.compile else nullcontext():
        return piece_loss(state.task, state.learning.reader, state.read(inputs), parts, distillation)


def account(state: TrainState, batch: Batch, loss: PieceLoss) -> None:
    """Count the step, accumulate the loss and its weight on the device, and log it every ``train.log_steps`` steps.

    The losses are read only then, so that the host does not wait for the device in every step; on the CPU, where there
    is nothing to wait for, each at once.
    """
    progress, every = state.progress, state.config.train.log_steps
    samples = len(batch.inputs)
    state.loss_sum.add_(loss.mean * loss.weight)
    state.weight_sum.add_(loss.weight)
    progress.batch += 1
    progress.step += 1
    progress.seen += samples
    state.logs.samples(progress.step, batch.indices)
    state.losses.add(loss.mean)
    due = progress.step % every == 0 or progress.step == 1
    value = read_losses(state) if due or state.losses.full else None
    if due and value is not None:
        rate = state.logs.step(progress.step, progress.epoch + 1, value, state.stepper.lr, samples)
        state.watch.loss(progress, value, rate, state.stepper.lr)
    state.watch.step(progress, samples)


def asked_memory(state: TrainState) -> str:
    train = state.config.train
    pieces = f" in {train.micro_batches} micro-batches" if train.micro_batches > 1 else ""
    return (
        f"a batch of {train.samples_per_step}{pieces}, images of "
        f"{'×'.join(map(str, state.data.preprocessing.shape))}, on {state.engine.name}"
    )


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Turn failures of torch.compile into a one-line error."""
    from torch._dynamo.exc import TorchDynamoException  # costs a second to import

    try:
        yield
    except TorchDynamoException as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SetupError(
            f"the network cannot be compiled here: {reason}",
            where="train.compile",
            fix="leave out --compile, or see `zoo doctor`",
        ) from error


def close_epoch(state: TrainState, epoch: int, started: float, first_batch: int) -> dict[str, float]:
    """Evaluate on the validation split if there is one, and write the epoch's row of metrics.csv."""
    read_losses(state)
    mean = state.loss_sum.item() / (state.weight_sum.item() or 1.0)  # no weight: masks that are ignored everywhere
    seconds = time.perf_counter() - started
    progress = state.progress
    trained = progress.seen - first_batch * state.config.train.samples_per_step
    row = {"epoch": epoch + 1, "step": progress.step, "lr": state.stepper.lr, "train_loss": mean}
    if "val" in state.data.parts:
        found = state.evaluate("val")
        row |= {f"val_{name}": value for name, value in found.metrics.items()}
    row |= {"train_seconds": round(seconds, 4), "samples_per_second": round(trained / max(seconds, 1e-9), 1)}
    progress.epoch, progress.batch, progress.seen = epoch + 1, 0, 0
    state.loss_sum.zero_()
    state.weight_sum.zero_()
    state.logs.epoch(row)
    state.watch.epoch(progress, row)
    return row


def remember_best(state: TrainState, row: dict[str, float]) -> None:
    """Update the best epoch, by the validation split only, never by the test split."""
    metric, mode = state.task.monitor
    value = row.get(f"val_{metric}")
    if value is None:
        return
    best = state.progress.best
    if best is None or (value > best["value"] if mode == "max" else value < best["value"]):
        state.progress.best = {
            "metric": f"val_{metric}",
            "value": value,
            "epoch": state.progress.epoch,
            "step": state.progress.step,
        }


def save_if_due(state: TrainState) -> None:
    train, progress = state.config.train, state.progress
    if progress.batch == state.steps_per_epoch:
        return  # the end of the epoch follows, which writes a checkpoint
    if (
        train.checkpoint_steps and progress.step % train.checkpoint_steps == 0
    ) or time.monotonic() - state.saved_at > train.checkpoint_seconds:
        save(state)


def stop_if_asked(state: TrainState, stop: StopRequest) -> None:
    if stop.signum is None:
        return
    if state.saved_step != state.progress.step:
        save(state)
    epoch = min(state.progress.epoch + 1, state.config.train.epochs)
    raise Interrupted(
        f"interrupted at step {state.progress.step} (epoch {epoch}); a checkpoint was written",
        signum=stop.signum,
        where=state.run.path,
        fix=f"continue with `zoo run --resume {state.run.path}`",
    )
