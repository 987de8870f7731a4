"""Threads for work that may never come back: they don't hold up the end of the process."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Task = tuple[Future[Any], "Callable[[], Any]"]


class Threads:
    """So many threads that work off one queue.

    An executor of the standard library waits for its threads when the interpreter ends; a run of a graph that never
    ends would keep a worker from ending.
    """

    def __init__(self, count: int) -> None:
        """Starts them; they are daemons."""
        self._queue: SimpleQueue[Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=_serve, args=(self._queue,), name=f"scoring-{number}", daemon=True)
            for number in range(count)
        ]
        self._closed = False
        for thread in self._threads:
            thread.start()

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Has a thread do it; called in the event loop. Raises RuntimeError after ``close``."""
        if self._closed:
            raise RuntimeError("no more is scored after the shutdown")
        future: Future[T] = Future()
        self._queue.put((future, work))
        return asyncio.wrap_future(future)

    def close(self, timeout_s: float) -> None:
        """Ends them after what they are at, and waits for that, but not longer than ``timeout_s``."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))


def _serve(queue: SimpleQueue[Task | None]) -> None:
    while (task := queue.get()) is not None:
        future, work = task
        if not future.set_running_or_notify_cancel():
            continue
        try:
            answer = work()
        except BaseException as error:  # noqa: BLE001 - it is told to who waits for it
            future.set_exception(error)
        else:
            future.set_result(answer)
        del task, future, work  # a picture is not kept until the next one comes
