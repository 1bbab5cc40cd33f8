"""Timing in rounds, with a clock that the test moves."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence

import pytest

from zoo.benching.timing import FEWEST, ROUNDS, summarise, take_rounds, timed_calls


class Clock:
    """Moves only when something is called, by ``steps`` seconds in turn, and then by the last of them."""

    def __init__(self, *steps: float) -> None:
        self.now, self.steps, self.calls = 0.0, list(steps), 0

    def __call__(self) -> float:
        return self.now

    def call(self) -> None:
        self.now += self.steps[min(self.calls, len(self.steps) - 1)]
        self.calls += 1


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.isenabled()
    yield
    gc.enable() if before else gc.disable()


def test_calls_are_timed_until_the_seconds_are_used_and_the_first_is_not() -> None:
    clock = Clock(100.0, 0.25)
    assert timed_calls(clock.call, 1.0, clock) == [0.25] * 4
    assert clock.calls == 5


def test_a_call_that_takes_longer_is_timed_once() -> None:
    clock = Clock(30.0)
    assert timed_calls(clock.call, 1.0, clock) == [30.0]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.usefixtures("collector")
def test_the_garbage_collector_is_off_while_calls_are_timed(enabled: bool) -> None:
    clock, seen = Clock(1.0), list[bool]()

    def call() -> None:
        clock.call()
        seen.append(gc.isenabled())

    gc.enable() if enabled else gc.disable()
    timed_calls(call, 3.0, clock)
    assert seen[1:] == [False] * 3 and gc.isenabled() == enabled


def test_the_garbage_collector_is_on_again_after_a_failure() -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        if len(calls) > 1:
            raise ValueError

    with pytest.raises(ValueError):
        timed_calls(fail, 1.0)
    assert gc.isenabled()


def test_a_round_goes_through_all_engines_in_order() -> None:
    order: list[tuple[str, float]] = []

    def turn(name: str, duration: float) -> Callable[[float], list[float]]:
        def take(seconds: float) -> list[float]:
            order.append((name, seconds))
            return [duration] * 2

        return take

    found = take_rounds([turn("a", 0.01), turn("b", 0.02), turn("c", 0.03)], 2.0)
    assert order == [(name, 2.0 / ROUNDS) for _ in range(ROUNDS) for name in "abc"]
    assert [(each.rounds, each.calls) for each in found] == [(ROUNDS, 2 * ROUNDS)] * 3
    assert [each.median for each in found] == [0.01, 0.02, 0.03]


def test_a_slow_engine_is_left_out_once_it_has_its_seconds_and_the_fewest_calls() -> None:
    slow, fast = take_rounds([lambda _: [5.0], lambda _: [0.1]], 2.0)
    assert (slow.calls, slow.rounds) == (FEWEST, FEWEST)
    assert fast.rounds == ROUNDS


def test_progress_wraps_the_whole_order() -> None:
    seen: list[int] = []

    def progress(order: Sequence[int]) -> Sequence[int]:
        seen.append(len(order))
        return order

    take_rounds([lambda _: [0.1]] * 3, 1.0, progress)
    assert seen == [3 * ROUNDS]


def test_the_summary_has_the_quartiles() -> None:
    found = summarise([float(number) for number in range(101)], 7)
    assert (found.lower, found.median, found.upper, found.p95, found.mean) == (25, 50, 75, 95, 50)
    assert (found.calls, found.rounds) == (101, 7)
