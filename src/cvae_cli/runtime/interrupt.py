"""Signals that take effect at the end of a step; a second Ctrl-C stops at once."""

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

_INTERRUPTED = 130

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none


def ignores_hangup() -> bool:
    """Whether this process was started to outlive its terminal, as by `nohup`."""
    return _HANGUP is not None and signal.getsignal(_HANGUP) == signal.SIG_IGN


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Record SIGINT, SIGTERM and SIGHUP within the block instead of stopping.

    Yields:
        A function that tells whether one of the signals has arrived. A second Ctrl-C or SIGTERM raises
        KeyboardInterrupt; SIGHUP does not count, for a terminal that is closed sends several.
    """
    has_arrived = was_stopped = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal has_arrived, was_stopped
        if was_stopped and number != _HANGUP:
            raise KeyboardInterrupt
        has_arrived = True
        was_stopped = was_stopped or number != _HANGUP

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield lambda: False
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and not ignores_hangup():
        numbers.append(_HANGUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield lambda: has_arrived
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave_threads() -> None:
    """Have this process end at once when it exits, with the exit code of Ctrl-C, whatever its threads still compute.

    Python would tear down libraries under a thread that is inside one of them.
    """

    def end() -> NoReturn:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(_INTERRUPTED)

    atexit.register(end)
