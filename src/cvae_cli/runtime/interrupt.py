"""Ctrl-C that takes effect at the end of a step; a second Ctrl-C stops at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Record SIGINT and SIGTERM within the block instead of stopping.

    Yields:
        A function that tells whether one of the signals has arrived. The second one raises KeyboardInterrupt.
    """
    has_arrived = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal has_arrived
        if has_arrived:
            raise KeyboardInterrupt
        has_arrived = True

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield lambda: False
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: has_arrived
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
