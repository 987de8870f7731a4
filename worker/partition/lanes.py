"""Ordered within a stream, parallel across streams."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

T = TypeVar("T")


class Lanes(Generic[T]):
    """A lane for each stream that has work waiting: its jobs run one after the other, beside those of other lanes.

    A lane exists only while it has a job, so that a million stream ids cost nothing once they are quiet.
    """

    def __init__(self, work: Callable[[T], Awaitable[None]], on_failure: Callable[[BaseException], None]) -> None:
        """``work`` does one job; an exception out of it ends its lane and goes to ``on_failure``."""
        self._work = work
        self._on_failure = on_failure
        self._waiting: dict[str, deque[T]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def put(self, lane: str, job: T) -> None:
        """Let a job wait for its turn in its lane."""
        if lane in self._waiting:
            self._waiting[lane].append(job)
            return
        self._waiting[lane] = deque([job])
        task = asyncio.create_task(self._run(lane), name=f"lane {lane}")
        self._running.add(task)
        task.add_done_callback(self._ended)

    @property
    def busy(self) -> Collection[str]:
        """The lanes that have a job."""
        return self._waiting.keys()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until no lane has work; False when time ran out first."""
        if not self._running:
            return True
        _, unfinished = await asyncio.wait(set(self._running), timeout=timeout_s)
        return not unfinished

    async def abandon(self) -> None:
        """Give up everything that waits or runs."""
        running = set(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        self._waiting.clear()

    async def _run(self, lane: str) -> None:
        jobs = self._waiting[lane]
        while jobs:
            await self._work(jobs[0])
            jobs.popleft()
        del self._waiting[lane]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)
