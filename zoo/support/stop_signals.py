"""Stop signals: the first SIGINT, SIGTERM or SIGHUP requests a stop, the second ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def _asking() -> list[signal.Signals]:
    """Return the handled signals: SIGHUP (a closed terminal) unless the run was started with nohup; Windows does not
    have it."""
    hangup = getattr(signal, "SIGHUP", None)
    return [
        signal.SIGINT,
        signal.SIGTERM,
        *([hangup] if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN else []),
    ]


class StopRequest:
    """A stop request, set by a signal and checked between steps."""

    signum: int | None = None


class _Received:
    count = 0


def received() -> int:
    """Return the number of signals handled by zoo: a KeyboardInterrupt without one was not raised by the user."""
    return _Received.count


def is_ours(handler: object) -> bool:
    return getattr(handler, "__module__", None) == __name__


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Count the signal, then call Python's handler of SIGINT."""
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
