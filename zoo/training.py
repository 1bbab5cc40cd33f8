"""The one trainer: `fit` runs any task's model over any data, on any device. It knows no task by name."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from zoo import checkpoints, randomness
from zoo.api import Batch, Task
from zoo.averaging import MovingAverage
from zoo.config import RunConfig, TrainConfig
from zoo.data import Data
from zoo.devices import Engine, out_of_memory
from zoo.errors import CheckpointError, DivergedError, Interrupted, SetupError, UsageError
from zoo.evaluation import evaluate
from zoo.logs import RunLogs
from zoo.mixing import Mixture, mix, split
from zoo.optimizers import build_optimizer, build_schedule
from zoo.rundir import RunDir
from zoo.signals import StopRequest, stop_on_signals


@dataclass
class Progress:
    """Where training stands; all of it is in every checkpoint. ``batch`` counts the batches of ``epoch`` that are done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    seen: int = 0
    best: dict[str, Any] | None = None


class Watch(Protocol):
    """Is told how training goes, and changes nothing."""

    def begin(self, progress: Progress, steps_per_epoch: int, epochs: int) -> None: ...
    def step(self, progress: Progress, batch_samples: int) -> None: ...
    def loss(self, progress: Progress, loss: float, rate: float) -> None: ...
    def epoch(self, progress: Progress, row: dict[str, float]) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class Job:
    """All that one training needs; `prepare` puts it together, `resume` sets it back to a checkpoint, `fit` runs it."""

    config: RunConfig
    task: Task
    model: nn.Module
    data: Data
    engine: Engine
    run: RunDir
    watch: Watch
    structure: dict[str, Any]
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        train = self.config.train
        self.part = self.data.part("train")
        self.steps_per_epoch = steps_per_epoch(train, len(self.part))
        self.model.to(self.engine.device, memory_format=self.engine.memory_format)  # type: ignore[call-overload]
        self.average = None if train.ema is None else MovingAverage(self.model, train.ema)
        self.network: Callable[[Tensor], Tensor] = torch.compile(self.model) if train.compile else self.model
        self.augmenter = self.part.augmenter(train.augment, self.config.seed) if train.augment else None
        self.scaler = torch.amp.GradScaler(self.engine.device.type, enabled=self.engine.autocast == torch.float16)
        self.optimizer = build_optimizer(self.model, train)
        self.schedule = build_schedule(self.optimizer, train, self.steps_per_epoch)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=self.engine.device)
        self.logs = RunLogs(self.run, log_samples=train.log_samples)
        self.saved_at, self.saved_step = time.monotonic(), -1

    @property
    def result(self) -> nn.Module:
        """What is judged and kept: the model or, where there is one, its moving average."""
        return self.model if self.average is None else self.average.model


def check_trainable(config: RunConfig, model: nn.Module, data: Data) -> None:
    """Raises UsageError for a training that could not begin; a run asks this before it writes anything."""
    train = config.train
    steps = steps_per_epoch(train, len(data.part("train")))
    build_schedule(build_optimizer(model, train), train, steps)
    if train.patience is not None and "select" not in data.parts:
        raise UsageError("early stopping needs a select part", where="train.patience", fix="set some of train aside: dataset.holdout=0.1")
    if train.augment and data.preprocessing.permute_pixels is not None:
        raise UsageError("augmentation would change pictures whose pixels are permuted already", where="train.augment", fix="leave one of them out")


def steps_per_epoch(train: TrainConfig, samples: int) -> int:
    """Raises UsageError where there would be none."""
    steps = samples // train.batch_size if train.drop_last else -(-samples // train.batch_size)
    if steps == 0:
        raise UsageError(
            f"a batch of {train.batch_size} is larger than the {samples} training samples, and train.drop_last leaves no step",
            fix="use a smaller --batch-size, or train.drop_last=false",
        )
    return steps


def fit(job: Job) -> Progress:
    """Train from where the job stands to its last epoch. Raises DivergedError, or Interrupted with a checkpoint left behind."""
    job.watch.begin(job.progress, job.steps_per_epoch, job.config.train.epochs)
    with stop_on_signals() as stop, job.logs, out_of_memory(asked_memory(job)):
        for epoch in remaining_epochs(job):
            job.model.train()
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


def remaining_epochs(job: Job) -> Iterator[int]:
    """The epochs still to do, until the last or until there has been no better one for as long as was asked."""
    train = job.config.train
    while job.progress.epoch < train.epochs:
        best = job.progress.best
        if train.patience is not None and best is not None and job.progress.epoch - best["epoch"] >= train.patience:
            job.watch.note(f"stopping early: none of the last {train.patience} epochs was better than epoch {best['epoch']}")
            return
        yield job.progress.epoch


def remaining_batches(job: Job, epoch: int) -> Iterator[Batch]:
    """The rest of an epoch, in the order that (seed, epoch) gives."""
    train = job.config.train
    order = randomness.order(job.config.seed, epoch, len(job.part))
    augment = None if job.augmenter is None else job.augmenter.of_epoch(epoch)
    return job.part.batches_of(order[: job.steps_per_epoch * train.batch_size], train.batch_size, job.progress.batch, augment)


def take_step(job: Job, batch: Batch) -> Tensor:
    """Forward and backward, piece by piece, then one update; returns the mean loss, still on the device."""
    train = job.config.train
    if job.schedule is not None:
        job.schedule(job.progress.step)
    loss = torch.zeros((), device=job.engine.device)
    for share, piece in split(mix(batch, train.mixup, train.cutmix), train.accumulate):
        part = share * forward(job, piece)
        check_finite(job, part.item())
        job.scaler.scale(part).backward()  # type: ignore[no-untyped-call]
        loss += part.detach()
    update(job)
    return loss


def forward(job: Job, mixture: Mixture) -> Tensor:
    """The loss of one piece, in the precision and memory format of the run."""
    engine = job.engine
    inputs = mixture.inputs.contiguous(memory_format=engine.memory_format)
    precision = nullcontext() if engine.autocast is None else torch.autocast(engine.device.type, engine.autocast)
    with precision, compiler_errors() if job.config.train.compile else nullcontext():
        logits = job.network(inputs)
        losses = [share * job.task.loss(logits, batch) for share, batch in mixture.parts]
    return torch.stack(losses).sum()


def update(job: Job) -> None:
    """One step of the optimizer and, where it took one, of the moving average. (fp16's scaler leaves out a step whose gradients overflow.)"""
    clip, scale = job.config.train.clip_norm, job.scaler.get_scale()
    if clip is not None:
        job.scaler.unscale_(job.optimizer)
        nn.utils.clip_grad_norm_(job.model.parameters(), clip)
    job.scaler.step(job.optimizer)
    job.scaler.update()
    job.optimizer.zero_grad()
    if job.average is not None and job.scaler.get_scale() >= scale:
        job.average.update(job.model)


def account(job: Job, batch: Batch, loss: Tensor) -> None:
    """Count the step, sum the loss on the device, and every few steps read and log it."""
    progress, every = job.progress, job.config.train.log_steps
    samples = len(batch.inputs)
    job.loss_sum.add_(loss, alpha=samples)
    progress.batch += 1
    progress.step += 1
    progress.seen += samples
    job.logs.samples(progress.step, batch.indices)
    if progress.step % every == 0 or progress.step == 1:
        value = loss.item()
        rate = job.logs.step(progress.step, progress.epoch + 1, value, job.optimizer.param_groups[0]["lr"], samples)
        job.watch.loss(progress, value, rate)
    job.watch.step(progress, samples)


def check_finite(job: Job, loss: float) -> None:
    if not math.isfinite(loss):
        kept = checkpoints.pointed(job.run.checkpoints, "last")
        raise DivergedError(
            f"the loss is {loss} at step {job.progress.step + 1}, epoch {job.progress.epoch + 1}; "
            + (f"the last good checkpoint is {kept}" if kept else "no checkpoint was written yet"),
            where=job.run.path,
            fix="lower --lr, or set train.clip_norm=1",
        )


def asked_memory(job: Job) -> str:
    train = job.config.train
    pieces = f" in {train.accumulate} pieces" if train.accumulate > 1 else ""
    return f"a batch of {train.batch_size}{pieces}, pictures of {'×'.join(map(str, job.data.preprocessing.shape))}, on {job.engine.name}"


@contextmanager
def compiler_errors() -> Iterator[None]:
    """torch.compile's failures as one line."""
    from torch._dynamo.exc import TorchDynamoException  # costs a second to import

    try:
        yield
    except TorchDynamoException as error:
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise SetupError(
            f"the network cannot be compiled here: {reason}", where="train.compile", fix="leave out --compile, or see `zoo doctor`"
        ) from error


def close_epoch(job: Job, epoch: int, started: float, first_batch: int) -> dict[str, float]:
    """Judge the select part where there is one, and write the epoch's row."""
    if job.engine.device.type == "cuda":
        torch.cuda.synchronize(job.engine.device)
    seconds = time.perf_counter() - started
    progress, train = job.progress, job.config.train
    trained = progress.seen - first_batch * train.batch_size
    mean = job.loss_sum.item() / progress.seen
    check_finite(job, mean)
    row = {"epoch": epoch + 1, "step": progress.step, "lr": job.optimizer.param_groups[0]["lr"], "train_loss": mean}
    if "select" in job.data.parts:
        found = evaluate(job.result, job.task, job.data, "select", train.eval_batch_size)
        row |= {f"select_{name}": value for name, value in found.metrics.items()}
    row |= {"train_seconds": round(seconds, 4), "samples_per_second": round(trained / max(seconds, 1e-9), 1)}
    progress.epoch, progress.batch, progress.seen = epoch + 1, 0, 0
    job.loss_sum.zero_()
    job.logs.epoch(row)
    job.watch.epoch(progress, row)
    return row


def remember_best(job: Job, row: dict[str, float]) -> None:
    """Keep in mind the best epoch by the select part; the report part is never asked."""
    metric, mode = job.task.monitor
    value = row.get(f"select_{metric}")
    if value is None:
        return
    best = job.progress.best
    if best is None or (value > best["value"] if mode == "max" else value < best["value"]):
        job.progress.best = {"metric": f"select_{metric}", "value": value, "epoch": job.progress.epoch, "step": job.progress.step}


# ------------------------------------------------------------------------------------------------------------------- checkpoints


def save_if_due(job: Job) -> None:
    train, progress = job.config.train, job.progress
    if progress.batch == job.steps_per_epoch:
        return  # the epoch is about to be closed, and saved with its row
    if (train.checkpoint_steps and progress.step % train.checkpoint_steps == 0) or time.monotonic() - job.saved_at > train.checkpoint_seconds:
        save(job)


def save(job: Job) -> str:
    """Write a checkpoint of everything, point ``last`` (and ``best``) at it, and remove those beyond the number to keep."""
    check_finite(job, job.loss_sum.item())
    tensors, groups = checkpoints.optimizer_state(job.optimizer, job.model)
    if job.average is not None:
        tensors |= {f"raw/{name}": value for name, value in job.model.state_dict().items()}
    tensors |= {"generator/cpu": torch.get_rng_state(), "meter/loss_sum": job.loss_sum}
    if job.engine.device.type == "cuda":
        tensors["generator/cuda"] = torch.cuda.get_rng_state(job.engine.device)
    state = {
        "progress": job.progress.__dict__,
        "groups": groups,
        "structure": job.structure,
        "scaler": job.scaler.state_dict(),
        "averaged": job.average.updates if job.average is not None else 0,
        "logs": job.logs.offsets(),
        "environment": environment(job.engine),
        "fingerprint": job.data.fingerprint,
    }
    folder = job.run.checkpoints
    name = checkpoints.save(folder, job.progress.step, job.result, tensors, state)
    if job.progress.best and job.progress.best["step"] == job.progress.step and job.progress.batch == 0:
        checkpoints.point(folder, "best", name)
    checkpoints.prune(folder, job.config.train.keep_checkpoints)
    job.saved_at, job.saved_step = time.monotonic(), job.progress.step
    return name


def resume(job: Job, *, inexact: bool = False) -> None:
    """Set a fresh job back to its newest good checkpoint. Raises CheckpointError where the result could not be the same to the bit."""
    checkpoint, complaints = checkpoints.newest_good(job.run.checkpoints)
    weights, tensors, state = checkpoints.load(checkpoint)
    if state["fingerprint"] != job.data.fingerprint:
        raise CheckpointError("the data has changed since the checkpoint", where=checkpoint, fix="bring the data back, or start a new run")
    now = environment(job.engine)
    changed = [f"{key} {state['environment'].get(key)} → {value}" for key, value in now.items() if state["environment"].get(key) != value]
    if changed and not inexact:
        raise CheckpointError(f"resuming here would not be exact: {', '.join(changed)}", where=checkpoint, fix="add --inexact to go on all the same")
    from zoo.models import load_state

    load_state(job.result, weights, checkpoint)
    if job.average is not None:
        load_state(job.model, _under("raw/", tensors), checkpoint)
        job.average.updates = state["averaged"]
    job.scaler.load_state_dict(state["scaler"])
    optimizer_tensors = {key: value for key, value in tensors.items() if key.startswith("optimizer/")}
    checkpoints.restore_optimizer(job.optimizer, job.model, _to_device(optimizer_tensors, job), state["groups"])
    job.progress = Progress(**state["progress"])
    job.loss_sum.copy_(tensors["meter/loss_sum"])
    job.logs.rewind(state["logs"], job.progress.step)
    torch.set_rng_state(tensors["generator/cpu"])
    if "generator/cuda" in tensors and job.engine.device.type == "cuda":
        torch.cuda.set_rng_state(tensors["generator/cuda"], job.engine.device)
    for text in [*complaints, *(f"not exact: {each}" for each in changed)]:
        job.watch.note(text)
    job.watch.note(f"resuming from {checkpoint.name}: epoch {job.progress.epoch + 1}, {job.progress.batch} of {job.steps_per_epoch} steps done")


def environment(engine: Engine) -> dict[str, str]:
    """What must be equal for a resumed run to end with the same bits."""
    facts = engine.describe()
    return {key: str(facts[key]) for key in ("device", "name", "precision", "channels_last", "threads")} | {"torch": torch.__version__}


def stop_if_asked(job: Job, stop: StopRequest) -> None:
    if stop.signum is None:
        return
    if job.saved_step != job.progress.step:
        save(job)
    raise Interrupted(
        f"stopped at step {job.progress.step}, epoch {min(job.progress.epoch + 1, job.config.train.epochs)}; all of it is kept",
        signum=stop.signum,
        where=job.run.path,
        fix=f"go on with `zoo run --resume {job.run.path}`",
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _to_device(tensors: dict[str, Tensor], job: Job) -> dict[str, Tensor]:
    """Slots beside their parameters; step counts as the optimizer keeps them (on the device only where it is fused there)."""
    move: Callable[[str, Tensor], Tensor] = lambda key, value: value if "/step/" in key and not _fused(job) else value.to(job.engine.device)  # noqa: E731
    return {key: move(key, value) for key, value in tensors.items()}


def _fused(job: Job) -> bool:
    return bool(job.optimizer.defaults.get("fused") or job.optimizer.defaults.get("capturable"))
