"""Waiting for a server: what is waited for is said, and no wait is without an end."""

import contextlib
import os
import queue
import re
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice

_DEFAULT = 20.0  # seconds
_FLOOR = 1000  # bytes a second; a server that sends less is as good as silent
_SAY_AFTER = 2.0  # seconds

NETWORK_HINT = "check the network"
PATIENCE_HINT = "check the network; CVAE_TIMEOUT=SECONDS waits longer"

T = TypeVar("T")


def without_number(reason: str) -> str:
    """Return what a system says went wrong, without the number that it puts before."""
    return re.sub(r"^\[Errno -?\d+\] ", "", reason)


def time_out() -> float:
    """Return how long a server may be silent, in seconds: `CVAE_TIMEOUT`, or 20.

    Raises:
        UsageError: the variable is not a number of seconds.
    """
    given = os.environ.get("CVAE_TIMEOUT")
    if not given:
        return _DEFAULT
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise UsageError(f"CVAE_TIMEOUT must be a number of seconds, not {quoted(given)}")
    return seconds


@dataclass(frozen=True)
class _Arrival(Generic[T]):
    """What the thread hands over: an item, an error, or neither at the end."""

    items: tuple[T, ...] = ()
    error: BaseException | None = None


def patiently(source: Generator[T, None, None], *, server: str, callback: Callback) -> Generator[T, None, None]:
    """Yield the items of a generator that waits for a server, but do not wait for long.

    Items that are not bytes count as an answer. Of bytes, `_FLOOR` a second must arrive. The generator runs in a thread
    of its own, which is left behind when it does not come back: no system call can hold up the program.

    Args:
        server: the name of the server, for the line that says what is waited for.
        callback: is told after two seconds of silence, once.

    Raises:
        TimeoutError: the server was silent, or slower than the floor, for `time_out()`.
    """
    limit = time_out()
    arrivals: queue.Queue[_Arrival[T]] = queue.Queue(maxsize=4)
    stopped = threading.Event()
    threading.Thread(target=_pump, args=(source, arrivals, stopped), daemon=True).start()
    waited, gained, is_said = 0.0, 0, False
    try:
        while True:
            started = time.monotonic()
            try:
                arrival = arrivals.get(timeout=max(0.0, min(_SAY_AFTER, limit - waited)))
            except queue.Empty:
                arrival = None
            waited += time.monotonic() - started
            if arrival is not None and arrival.error is not None:
                raise arrival.error
            if arrival is not None and not arrival.items:
                return
            for item in arrival.items if arrival is not None else ():
                yield item
                gained += len(item) if isinstance(item, bytes) else 0
                if not isinstance(item, bytes) or gained >= _FLOOR * limit:
                    waited, gained = 0.0, 0
            if waited >= limit:
                raise _time_out(gained, limit)
            if arrival is None and not is_said:
                callback(Notice(f"waiting for {server}"))
                is_said = True
    finally:
        stopped.set()


def _pump(source: Generator[T, None, None], arrivals: "queue.Queue[_Arrival[T]]", stopped: threading.Event) -> None:
    """Move the items of a generator into a queue until nobody wants them any more."""

    def put(arrival: _Arrival[T]) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                arrivals.put(arrival, timeout=0.2)
                break

    try:
        for item in source:
            put(_Arrival((item,)))
            if stopped.is_set():
                return
        put(_Arrival())
    except BaseException as error:
        put(_Arrival(error=error))
    finally:
        source.close()


def _time_out(gained: int, limit: float) -> TimeoutError:
    if gained:
        return TimeoutError(f"less than {_FLOOR} bytes a second for {limit:g} seconds")
    return TimeoutError(f"no answer for {limit:g} seconds")
