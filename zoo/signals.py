"""Stopping on request: the first SIGINT or SIGTERM asks, the second ends the process at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Set by a signal; looked at between two steps."""

    signum: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Within the block, a first signal only marks the request; a second has its usual effect. In other threads, nothing is changed."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}

    def ask(signum: int, _frame: FrameType | None) -> None:
        request.signum = signum
        for each in former:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    for signum in former:
        signal.signal(signum, ask)
    try:
        yield request
    finally:
        for signum, handler in former.items():
            signal.signal(signum, handler)
