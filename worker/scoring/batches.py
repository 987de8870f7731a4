"""Pictures of any segments that wait at the same time, joined into one run.

A batch has no outcome of its own: when its run fails, each of its pictures is scored alone, so that none fails for
another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from worker.errors import SegmentError
from worker.records import FrameScore, Picture

Run = Callable[[Sequence[Picture]], Awaitable[Sequence[FrameScore]]]
"""Scores so many pictures in one run, one score each in their order."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    picture: Picture
    since_s: float
    """When it came, in the event loop's time."""
    answer: asyncio.Future[FrameScore | None]


class Batches:
    """Lets pictures wait for each other; all of it happens in one event loop.

    While pictures wait there is one leader: a task that waits until a batch is full or its oldest picture has waited
    long enough, then for its turn, takes what is there by then, and leaves what is left to a new leader.
    """

    def __init__(self, run: Run, turns: asyncio.Semaphore, *, most: int, wait_s: float) -> None:
        """Nobody waits yet.

        Args:
            run: Scores a batch.
            turns: How many runs may be at once, of batches and of pictures alone together.
            most: Most pictures in a batch, at least 2.
            wait_s: How long a picture may wait for others while nothing else holds it up.
        """
        self._run = run
        self._turns = turns
        self._most = most
        self._wait_s = wait_s
        self._waiting: deque[_Waiting] = deque()
        self._full = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self, picture: Picture) -> FrameScore | None:
        """Returns the picture's score, or None where its batch failed: then it is to be scored alone.

        Raises:
            FramewatchError: What ends the worker, not the batch alone.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(picture, loop.time(), loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            self._lead()
        elif len(self._waiting) >= self._most:
            self._full.set()
        return await waiting.answer

    def _lead(self) -> None:
        self._full.clear()
        if len(self._waiting) >= self._most:
            self._full.set()
        task = asyncio.get_running_loop().create_task(self._next())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _next(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._waiting[0].since_s + self._wait_s):
                await self._full.wait()
        async with self._turns:
            batch = self._take()
            if self._waiting:
                self._lead()
            if batch:
                await self._answer(batch)

    def _take(self) -> list[_Waiting]:
        """The oldest that still wait: of a segment that was given up, none does."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._most:
            oldest = self._waiting.popleft()
            if not oldest.answer.done():
                batch.append(oldest)
        return batch

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        """Runs a batch; ends the run when all of its pictures were given up."""
        run = asyncio.ensure_future(self._run([one.picture for one in batch]))

        def given_up(_: object) -> None:
            if all(one.answer.done() for one in batch):
                run.cancel()

        for one in batch:
            one.answer.add_done_callback(given_up)
        await asyncio.wait({run})
        scores: Sequence[FrameScore | None] = [None] * len(batch)
        if run.cancelled():
            return
        error = run.exception()
        if error is None:
            scores = run.result()
        for one, score in zip(batch, scores, strict=True):
            if one.answer.done():
                continue
            if error is None or isinstance(error, SegmentError):
                one.answer.set_result(score)
            else:
                one.answer.set_exception(error)
