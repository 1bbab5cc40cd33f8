"""The one trainer: `fit` runs any task's model over any data, on any device. It knows no task by name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from zoo.api import Auxiliary, Batch
from zoo.data.batch_sampler import last_joined, one_left_over
from zoo.data.mixup import Mixture, mix, split
from zoo.errors import Interrupted, SetupError
from zoo.support import counter_random
from zoo.support.stop_signals import StopRequest, stop_on_signals
from zoo.training.devices import out_of_memory
from zoo.training.losses import PieceLoss, piece_loss
from zoo.training.resume import save
from zoo.training.train_state import Progress, TrainState, check_finite, micro_batch


def fit(job: TrainState) -> Progress:
    """Train from where the job stands to its last epoch.

    Raises DivergedError, or Interrupted with a checkpoint left behind.
    """
    job.watch.begin(job.progress, job.steps_per_epoch, job.config.train.epochs)
    with stop_on_signals() as stop, job.logs, out_of_memory(asked_memory(job)):
        for epoch in remaining_epochs(job):
            job.begin_epoch(epoch)
            started = time.perf_counter(), job.progress.batch
            for batch in remaining_batches(job, epoch):
                loss = take_step(job, batch)
                account(job, batch, loss)
                save_if_due(job)
                stop_if_asked(job, stop)
            row = close_epoch(job, epoch, *started)
            remember_best(job, row)
            save(job)
            stop_if_asked(job, stop)
    return job.progress


def remaining_epochs(job: TrainState) -> Iterator[int]:
    """The epochs still to do, until the last or until there has been no better one for as long as was asked."""
    train = job.config.train
    while job.progress.epoch < train.epochs:
        best = job.progress.best
        if train.patience is not None and best is not None and job.progress.epoch - best["epoch"] >= train.patience:
            job.watch.print(
                f"stopping early: none of the last {train.patience} epochs was better than epoch {best['epoch']}"
            )
            return
        yield job.progress.epoch


def remaining_batches(job: TrainState, epoch: int) -> Iterator[Batch]:
    """The rest of an epoch, in the order that (seed, epoch) gives."""
    train = job.config.train
    order = counter_random.order(job.config.seed, epoch, len(job.part))
    augment = None if job.augmenter is None else job.augmenter.of_epoch(epoch)
    if train.drop_last:
        order = order[: job.steps_per_epoch * train.batch_size]
    batches = job.part.batches_of(order, train.batch_size, job.progress.batch, augment)
    return (
        last_joined(batches, job.steps_per_epoch - job.progress.batch)
        if one_left_over(len(order), train.batch_size)
        else batches
    )


def take_step(job: TrainState, batch: Batch) -> PieceLoss:
    """Forward and backward, piece by piece, then one update; returns the loss of the batch, still on the device.

    The sum of the weights is known after the last piece alone: until then gradients are sums over the number of
    samples.
    """
    train, samples = job.config.train, len(batch.inputs)
    job.stepper.set_rates(job.progress.step)
    pieces = split(
        mix(batch, train.mixup, train.cutmix), max(samples, 1) if train.micro_batches == 1 else micro_batch(train)
    )
    loss = torch.zeros((), device=job.engine.device)
    weight: Tensor | float = 0.0
    for piece in pieces:
        found = forward(job, piece)
        part = found.mean if len(pieces) == 1 else found.mean * (found.weight / samples)
        check_finite(job, part.item())
        job.stepper.backward(part)
        loss += part.detach()
        weight = weight + found.weight
    if len(pieces) > 1 and isinstance(weight, Tensor):
        job.stepper.multiply_gradients(samples / weight)
        loss *= samples / weight
    job.stepper.update()
    return PieceLoss(loss, weight)


def forward(job: TrainState, mixture: Mixture) -> PieceLoss:
    """The loss of one piece, in the precision and memory format of the run."""
    engine = job.engine
    inputs = mixture.inputs
    if inputs.ndim == 4:  # pictures or maps, and not the flat features of a frozen trunk
        inputs = inputs.contiguous(memory_format=engine.memory_format)
    precision = nullcontext() if engine.autocast is None else torch.autocast(engine.device.type, engine.autocast)
    with precision, compiler_errors() if job.config.train.compile else nullcontext():
        return piece_loss(job.task, with_heads(job.network(inputs)), mixture.parts)


def with_heads(output: Tensor | Auxiliary) -> Auxiliary:
    """The output of any network, as that of one which may have auxiliary classifiers."""
    return output if isinstance(output, Auxiliary) else Auxiliary(output, ())


def account(job: TrainState, batch: Batch, loss: PieceLoss) -> None:
    """Count the step, sum the loss and its weight on the device, and every few steps read and log it."""
    progress, every = job.progress, job.config.train.log_steps
    samples = len(batch.inputs)
    job.loss_sum.add_(loss.mean * loss.weight)
    job.weight_sum.add_(loss.weight)
    progress.batch += 1
    progress.step += 1
    progress.seen += samples
    job.logs.samples(progress.step, batch.indices)
    if progress.step % every == 0 or progress.step == 1:
        value = loss.mean.item()
        rate = job.logs.step(progress.step, progress.epoch + 1, value, job.stepper.lr, samples)
        job.watch.loss(progress, value, rate)
    job.watch.step(progress, samples)


def asked_memory(job: TrainState) -> str:
    train = job.config.train
    pieces = f" in {train.micro_batches} pieces" if train.micro_batches > 1 else ""
    return (
        f"a batch of {train.batch_size}{pieces}, pictures of {'×'.join(map(str, job.data.preprocessing.shape))}, on "
        f"{job.engine.name}"
    )


@contextmanager
def compiler_errors() -> Iterator[None]:
    """torch.compile's failures as one line."""
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


def close_epoch(job: TrainState, epoch: int, started: float, first_batch: int) -> dict[str, float]:
    """Judge the validation split where there is one, and write the epoch's row."""
    if job.engine.device.type == "cuda":
        torch.cuda.synchronize(job.engine.device)
    seconds = time.perf_counter() - started
    progress = job.progress
    trained = progress.seen - first_batch * job.config.train.batch_size
    mean = job.loss_sum.item() / job.weight_sum.item()
    check_finite(job, mean)
    row = {"epoch": epoch + 1, "step": progress.step, "lr": job.stepper.lr, "train_loss": mean}
    if "val" in job.data.parts:
        found = job.evaluate("val")
        row |= {f"val_{name}": value for name, value in found.metrics.items()}
    row |= {"train_seconds": round(seconds, 4), "samples_per_second": round(trained / max(seconds, 1e-9), 1)}
    progress.epoch, progress.batch, progress.seen = epoch + 1, 0, 0
    job.loss_sum.zero_()
    job.weight_sum.zero_()
    job.logs.epoch(row)
    job.watch.epoch(progress, row)
    return row


def remember_best(job: TrainState, row: dict[str, float]) -> None:
    """Keep in mind the best epoch by the validation split; the test split is never asked."""
    metric, mode = job.task.monitor
    value = row.get(f"val_{metric}")
    if value is None:
        return
    best = job.progress.best
    if best is None or (value > best["value"] if mode == "max" else value < best["value"]):
        job.progress.best = {
            "metric": f"val_{metric}",
            "value": value,
            "epoch": job.progress.epoch,
            "step": job.progress.step,
        }


def save_if_due(job: TrainState) -> None:
    train, progress = job.config.train, job.progress
    if progress.batch == job.steps_per_epoch:
        return  # the epoch is about to be closed, and saved with its row
    if (
        train.checkpoint_steps and progress.step % train.checkpoint_steps == 0
    ) or time.monotonic() - job.saved_at > train.checkpoint_seconds:
        save(job)


def stop_if_asked(job: TrainState, stop: StopRequest) -> None:
    if stop.signum is None:
        return
    if job.saved_step != job.progress.step:
        save(job)
    raise Interrupted(
        f"stopped at step {job.progress.step}, epoch {min(job.progress.epoch + 1, job.config.train.epochs)}; all of it "
        "is kept",
        signum=stop.signum,
        where=job.run.path,
        fix=f"go on with `zoo run --resume {job.run.path}`",
    )
