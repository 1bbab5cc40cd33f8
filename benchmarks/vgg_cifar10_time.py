"""What training `vgg_cifar10_fast` takes of the time of `vgg_cifar10`: steps of both, interleaved, times the steps that
each recipe has.

    ZOO_DATA=… python benchmarks/vgg_cifar10_time.py [--rounds 7] [--steps 12]
        [--out benchmarks/results/vgg_cifar10_time.json]

A step is the trainer's own, with its data, augmentation, schedule and accounts; the first steps of each recipe are not
counted. Whole runs would take an hour and measure the neighbours on the machine.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

from _record import write_result

from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import create
from zoo.training.preparation import prepare
from zoo.training.train_state import TrainState
from zoo.training.trainer import account, remaining_batches, take_step

RECIPES = ("vgg_cifar10", "vgg_cifar10_fast")
WARM = 4


class Training:
    """A recipe at work, a few steps at a time."""

    def __init__(self, recipe: str, folder: Path) -> None:
        ready = prepare(resolve(registry(), recipe))
        config = ready.config
        run = create(config, folder / recipe)
        self.state = TrainState(config, ready.learning, ready.model, ready.data, ready.engine, run, Console(quiet=True))
        self.steps = self.state.steps_per_epoch * config.train.epochs
        self.state.model.train()
        self._pace = self._take()

    def _take(self) -> Iterator[float]:
        """Seconds of each step, epoch after epoch."""
        with self.state.logs, self.state.reading():
            for epoch in count():
                batches = remaining_batches(self.state, epoch)
                started = time.perf_counter()
                for batch in batches:
                    account(self.state, batch, take_step(self.state, batch))
                    yield time.perf_counter() - started
                    started = time.perf_counter()
                self.state.progress.batch = 0

    def take(self, steps: int) -> list[float]:
        return list(islice(self._pace, steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "vgg_cifar10_time.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trainings = {recipe: Training(recipe, Path(folder)) for recipe in RECIPES}
        for training in trainings.values():
            training.take(WARM)
        seconds: dict[str, list[float]] = {recipe: [] for recipe in RECIPES}
        for _ in range(asked.rounds):
            for recipe, training in trainings.items():
                seconds[recipe] += training.take(asked.steps)
    medians = {recipe: statistics.median(values) for recipe, values in seconds.items()}
    whole = {recipe: medians[recipe] * trainings[recipe].steps for recipe in RECIPES}
    share = whole["vgg_cifar10_fast"] / whole["vgg_cifar10"]
    steps = {recipe: training.steps for recipe, training in trainings.items()}
    threads = trainings["vgg_cifar10"].state.engine.describe()
    figures = {
        "device": threads,
        "steps": steps,
        "median_step_seconds": medians,
        "training_seconds": whole,
        "share_of_the_time": share,
    }
    write_result(asked.out, {**figures, "step_seconds": seconds})
    for recipe in RECIPES:
        print(f"{recipe}: {steps[recipe]:,} steps of {medians[recipe]:.3f} s, {whole[recipe]:.0f} s of training")
    print(f"the fast one takes {share:.3f} of the time")


if __name__ == "__main__":
    main()
