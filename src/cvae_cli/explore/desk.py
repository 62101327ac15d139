"""The desk: one job at a time, in the order in which they came, each stopped when nobody waits for it any more."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from cvae_cli.errors import CvaeError

MAX_WAITING = 32
"""Jobs that may wait; more are refused."""

_JOIN = 0.4  # seconds that the end of the program waits for a job to notice that it is to stop

Say = Callable[[dict[str, Any]], None]
Job = Callable[[Say], None]
"""What is to be done: it calls its argument with each part of the answer."""


class Stopped(BaseException):
    """Ends a job that nobody waits for. No `except Exception` on the way catches it."""


@dataclass
class _Order:
    job: Job
    hand_out: Callable[[Any], None]
    is_stopped: threading.Event


@dataclass
class _Failed:
    error: BaseException


_END = object()


class Desk:
    """Does jobs in one thread, so that the page's event loop stays free and no two jobs compete for the processor."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._current: _Order | None = None
        self._turn: asyncio.Lock | None = None
        self.waiting = 0
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    async def do(self, job: Job) -> AsyncIterator[dict[str, Any]]:
        """Do a job when it is its turn, and yield the parts of its answer; closing the iterator stops the job.

        While others are before it, it yields how many: `{"waiting": 3}`.

        Raises:
            CvaeError: too many jobs wait already, or the job has raised it.
        """
        if self.waiting >= MAX_WAITING:
            raise CvaeError(f"busy: {self.waiting} drawings wait already", hint="try again in a moment")
        self._turn = self._turn or asyncio.Lock()
        if self._turn.locked():
            yield {"waiting": self.waiting + 1}
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        loop = asyncio.get_running_loop()
        answers: asyncio.Queue[Any] = asyncio.Queue()
        turn = self._turn

        def hand_out(part: Any) -> None:
            def arrive() -> None:
                answers.put_nowait(part)
                if part is _END:
                    turn.release()  # only now is the desk free: a stopped job may still have been computing

            if not loop.is_closed():
                loop.call_soon_threadsafe(arrive)

        order = _Order(job, hand_out, threading.Event())
        self._orders.put(order)
        try:
            while (part := await answers.get()) is not _END:
                if isinstance(part, _Failed):
                    raise part.error
                yield part
        finally:
            order.is_stopped.set()

    def check(self) -> None:
        """Raise `Stopped` if nobody waits for the job that calls this; elsewhere it does nothing."""
        order = self._current
        if order is not None and threading.current_thread() is self._thread and order.is_stopped.is_set():
            raise Stopped

    def watch(self, model: nn.Module) -> None:
        """Make each layer of a model check whether its job is to stop, so that a long drawing ends within a layer."""
        for module in model.modules():
            if not any(True for _ in module.children()):
                module.register_forward_pre_hook(lambda *_: self.check())

    def close(self) -> bool:
        """Stop the job of the moment, and return whether the thread has ended."""
        if (order := self._current) is not None:
            order.is_stopped.set()
        self._orders.put(None)
        self._thread.join(_JOIN)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            self._current = order
            try:
                order.job(lambda part, order=order: self._say(order, part))  # type: ignore[misc]
            except Stopped:
                pass
            except BaseException as error:
                order.hand_out(_Failed(error))
            self._current = None
            order.hand_out(_END)

    def _say(self, order: _Order, part: dict[str, Any]) -> None:
        self.check()
        order.hand_out(part)
