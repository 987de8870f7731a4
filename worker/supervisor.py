"""Side tasks that nobody awaits: one that ends with an error ends all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from worker.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


class Supervisor:
    """Knows whether it is time to stop, and why."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def stopping(self) -> bool:
        """Whether it is time to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """It is time to stop."""
        self._stop.set()

    def fail(self, error: BaseException) -> None:
        """Stop because of an error; the first one is the one that is told."""
        self._failure = self._failure or error
        self._stop.set()

    def raise_failure(self) -> None:
        """Raise what it stopped because of, if it was an error."""
        if self._failure is not None:
            raise self._failure

    async def until_stopped(self) -> None:
        """Return when it is time to stop."""
        await self._stop.wait()

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return what comes of work; None where it was time to stop first, and the work was given up."""
        working = asyncio.create_task(work, name="start")
        stopped = asyncio.create_task(self._stop.wait(), name="stopped")
        try:
            await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            working.cancel()  # does nothing where it is done
            await asyncio.wait({working, stopped})
        return None if working.cancelled() else working.result()

    def supervise(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Let it run beside everything else."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def end(self) -> None:
        """End what runs."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            if (error := task.exception()) is not None:
                self.fail(error)
        elif not self.stopping:  # aiokafka's tasks can end so: nothing would go on, and nobody would say so
            self.fail(Stopped(f"{task.get_name()}: its task was cancelled, not by us"))
