"""Stopping on request: the first SIGINT, SIGTERM or SIGHUP asks, the second ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def _asking() -> list[signal.Signals]:
    """A terminal that is closed (SIGHUP) stops a run, unless it was started to outlive it, by nohup; Windows has no
    such signal."""
    hangup = getattr(signal, "SIGHUP", None)
    return [
        signal.SIGINT,
        signal.SIGTERM,
        *([hangup] if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN else []),
    ]


class StopRequest:
    """Set by a signal; looked at between two steps."""

    signum: int | None = None


class _Received:
    count = 0


def received() -> int:
    """How many signals our handlers have had: a KeyboardInterrupt without one was not the user's."""
    return _Received.count


def is_ours(handler: object) -> bool:
    return getattr(handler, "__module__", None) == __name__


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Python's own handler of SIGINT, counted."""
    _Received.count += 1
    signal.default_int_handler(signum, frame)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Within the block, a first signal only marks the request; a second has its usual effect.

    In other threads, nothing is changed.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {signum: signal.getsignal(signum) for signum in _asking()}

    def ask(signum: int, _frame: FrameType | None) -> None:
        _Received.count += 1
        request.signum = signum
        for each in former:
            signal.signal(each, interrupt if each == signal.SIGINT else signal.SIG_DFL)

    for signum in former:
        signal.signal(signum, ask)
    try:
        yield request
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
