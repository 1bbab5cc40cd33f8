"""Time calls of several engines in rounds, so that a change of the machine's speed affects all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 10
FEWEST = 5
"""The number of calls that are timed even if they take longer than requested."""

Turn = Callable[[float], list[float]]
"""A turn of one engine: calls it for about that number of seconds, and returns the duration of each call in seconds."""


@dataclass(frozen=True)
class Timing:
    """Durations in seconds: median, quartiles, 95th percentile, mean. ``rounds`` is the number of turns."""

    median: float
    lower: float
    upper: float
    p95: float
    mean: float
    calls: int
    rounds: int


def take_rounds(
    turns: Sequence[Turn],
    seconds: float,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> list[Timing]:
    """Give each of ``turns`` a share of ``seconds`` in each round, in order, and return the timing of each.

    A turn that has used its seconds, and has been called `FEWEST` times, is left out of the remaining rounds.
    ``progress`` wraps the order of the turns.
    """
    durations: list[list[float]] = [[] for _ in turns]
    rounds = [0] * len(turns)
    for index in progress([index for _ in range(ROUNDS) for index in range(len(turns))]):
        if sum(durations[index]) < seconds or len(durations[index]) < FEWEST:
            durations[index] += turns[index](seconds / ROUNDS)
            rounds[index] += 1
    return [summarise(each, taken) for each, taken in zip(durations, rounds, strict=True)]


def summarise(durations: Sequence[float], rounds: int) -> Timing:
    lower, median, upper, p95 = np.quantile(durations, [0.25, 0.5, 0.75, 0.95]).tolist()
    return Timing(median, lower, upper, p95, float(np.mean(durations)), len(durations), rounds)


def timed_calls(
    call: Callable[[], object], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Call until the calls have taken ``seconds``, at least once, and return their durations.

    A first call is not timed: other engines have used the caches of the processor since the last turn. The garbage
    collector is off meanwhile.
    """
    call()
    durations: list[float] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        while not durations or sum(durations) < seconds:
            started = clock()
            call()
            durations.append(clock() - started)
    finally:
        if collecting:
            gc.enable()
    return durations
